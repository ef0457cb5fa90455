#!/bin/sh
# The whole story on six real hosts of this machine: deploy, deploy again, work, reach, health, logs, backup, restore.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH:/usr/sbin:/sbin"
lab=demo
in_lab="swarmops lab exec --lab $lab"

say() { printf '\n== %s\n' "$*"; }
# Runs a command and says how long it took.
timed() {
    began=$(date +%s%N)
    "$@" && code=0 || code=$?
    printf '   %d.%02d s\n' $((($(date +%s%N) - began) / 1000000000)) $((($(date +%s%N) - began) / 10000000 % 100))
    return $code
}

[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] || {
    echo "make demo-lab boots real hosts with systemd-nspawn: run it as root on Debian or Ubuntu (sudo make demo-lab)"
    exit 1
}

say "six hosts from inventory/lan, booted on this machine in a network of their own"
if swarmops lab status --lab $lab >/dev/null 2>&1; then
    echo "   still up from last time"
else
    timed swarmops lab up lan --lab $lab
fi
swarmops secrets init 2>/dev/null | tail -1

say "everything that was declared is checked before a host is contacted"
timed swarmops validate

# The browser has one page to look at: nothing else can be reached from a lab.
page=172.16.168.21
wish='{"redis_vector_sets": true, "browser_options": {"allow": ["172.16.168.21:5173"], "allow_private": ["172.16.168.21/32"]},
       "frontend_clients": ["coordinator", "controller", "browser"]}'

say "deploy: base, WireGuard mesh, Redis, firewall, and on each host its service with a Python of its own"
timed $in_lab -- swarmops deploy lan --yes -e "$wish" 2>/tmp/swarmops-demo.$$ || { cat /tmp/swarmops-demo.$$; exit 1; }
rm -f /tmp/swarmops-demo.$$

say "deploy again: nothing to do"
timed $in_lab -- swarmops deploy lan --yes -e "$wish" 2>&1 | tail -2

say "tasks go in at the coordinator and are done by the hosts that can"
SWARMOPS_TOKEN="worker.$(swarmops secrets show api.worker --yes-print)"
export SWARMOPS_TOKEN
timed $in_lab -- .venv/bin/python scripts/demo_lab_tasks.py http://172.16.168.20:8002 http://$page:5173/
unset SWARMOPS_TOKEN

say "who reaches Redis?"
# Speaks to Redis as ai-1's programs would: by the environment file and the password file that were deployed.
redis='import os, socket, sys
s = socket.socket(); s.settimeout(2)
def ask(*words):
    s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
    return s.makefile("rb").readline().decode().strip()
try:
    s.connect((sys.argv[1], 6379))
    if "login" in sys.argv:
        ask("AUTH", "app", open("/etc/swarmops/redis-app.pass").read().strip())
    print("  ", sys.argv[2], "->", [ask(*command.split()) for command in sys.argv[3].split(";")][-1])
except OSError as e:
    print("  ", sys.argv[2], "-> no connection:", e)'
on_ai="$in_lab ai-1 -- python3 -c"
$on_ai "$redis" 10.77.0.23 "ai-1 through the mesh, no password" PING
$on_ai "$redis" 10.77.0.23 "ai-1 through the mesh, as user app" PING login
$on_ai "$redis" 10.77.0.23 "user app asks for what is not its own" "CONFIG GET dir" login
swarmops lab exec --lab $lab --outside -- python3 -c "$redis" 172.16.168.23 "a stranger" PING

say "health of the fleet, and every address"
timed $in_lab -- swarmops check-health lan --publish auto || [ $? = 1 ]
$in_lab -- swarmops status lan | tail -6

say "one host is gone; the others go on"
swarmops lab stop npu-1 --lab $lab
$in_lab -- swarmops check-health lan | tail -1 || true
swarmops lab start npu-1 --lab $lab

say "backup: collected, then proved by booting a scratch Redis on the copy"
$on_ai "$redis" 10.77.0.23 "ai-1 writes swarm:finding" "SET swarm:finding 42" login
timed $in_lab -- swarmops collect-backups lan 2>&1 | tail -3
timed $in_lab -- swarmops backups verify -i lan | tail -3

say "something is lost, and restored"
$on_ai "$redis" 10.77.0.23 "ai-1 deletes swarm:finding" "DEL swarm:finding" login
timed $in_lab -- swarmops backups restore latest -i lan --host redis-1 --backup "redis/redis dump" --replace --yes 2>&1 |
    tail -3
$on_ai "$redis" 10.77.0.23 "swarm:finding is there again" "EXISTS swarm:finding" login

say "the hosts stay up; try next"
cat <<'END'
   .venv/bin/swarmops lab exec -- swarmops deploy lan -C -D -e redis_maxmemory=512mb   # what would change?
   .venv/bin/swarmops lab exec -- swarmops logs npu -f
   .venv/bin/swarmops lab fault pause redis-1; .venv/bin/swarmops lab exec -- swarmops check-health lan
   .venv/bin/swarmops lab down                                                         # leaves nothing behind
END
