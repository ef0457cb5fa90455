"""Two Redis hosts, a client on the LAN and one behind NAT: replication, mesh with hub, TLS, rights, rotation, faults.

The NAT is a real one: the network between hides nat-1's address and lets nobody in who was not called.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from swarmops.lab import Guest
from swarmops.model.authority import make_ca
from swarmops.planning.certificates import leaf, public_part
from tests.infra.small import Small, until

LAN = {"redis-1": "10.61.0.11", "redis-2": "10.61.0.12", "hub-1": "10.61.0.13"}
MESH = {"redis-1": "10.63.0.11", "redis-2": "10.63.0.12", "hub-1": "10.63.0.13", "nat-1": "10.63.0.14"}
GUESTS = [Guest(name, address) for name, address in LAN.items()] + [Guest("nat-1", "10.62.0.14")]
GATEWAY = "10.61.0.1"  # all that anybody on the LAN ever sees of nat-1
NAT = """
table ip nat_box {
  chain out { type nat hook postrouting priority 100; ip saddr 10.62.0.0/24 ip daddr 10.61.0.0/24 masquerade; }
  chain in {
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    iifname "lab0" oifname "lab0" ip daddr 10.62.0.0/24 drop
  }
}
"""
SECTIONS: dict[str, Any] = {
    "deployment": {"name": "roles", "tier": "lan"},
    "infrastructure": {"base": "all", "wireguard": "all", "redis": "redis", "client": "clients", "firewall": "all"},
    "services": {"redis": {"port": 6379, "maxmemory": "64mb", "maxclients": 12000}},
    "network": {
        "subnet": "10.61.0.0/24",
        "controllers": ["10.61.0.1/32", "10.62.0.1/32"],
        "mesh": {"mode": "wireguard", "range": "10.63.0.0/24", "hub": "hub-1"},
    },
    "security": {"tls": True},
}
TOUCH = """
import socket, sys
s = socket.socket(); s.settimeout(1.5)
try:
    s.connect((sys.argv[1], int(sys.argv[2]))); s.sendall(b"PING\\r\\n"); print("said", s.recv(60))
except OSError as e:
    print("nothing:", e)
"""


def declare(small: Small, *clients: str) -> None:
    hosts = {name: {"ansible_host": address, "mesh_address": MESH[name]} for name, address in LAN.items()}
    hosts["redis-2"]["redis_primary"] = "redis-1"
    hosts["nat-1"] = {"ansible_host": "10.62.0.14", "mesh_address": MESH["nat-1"], "wireguard_nat": True}
    network = {**SECTIONS["network"], **({"allow_outside": ["nat-1"]} if "nat-1" in clients else {})}
    groups = {"redis": {n: hosts[n] for n in ("redis-1", "redis-2")}, "clients": {n: hosts[n] for n in clients}}
    small.declare({**SECTIONS, "network": network}, groups)


@pytest.fixture(scope="module")
def three(can_lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """Deployed without nat-1."""
    small = Small.up("roles", GUESTS, tmp_path_factory.mktemp("roles"))
    try:
        small.lab.exec(None, ["nft", "-f", "-"], input=NAT, check=True)
        declare(small, "hub-1")
        assert small.controller.run("secrets", "init").code == 0
        first = small.controller.deploy()
        assert first.code == 0, first
        yield small
    finally:
        small.lab.down(now=True)


def peers(small: Small, host: str) -> dict[str, list[str]]:
    """public key -> [psk, endpoint, allowed, handshake, received, sent, keepalive]."""
    rows = small.on(host, "wg show wg0 dump").splitlines()[1:]
    return {row.split("\t")[0]: row.split("\t")[1:] for row in rows}


@pytest.fixture(scope="module")
def joined(three: Small) -> dict[str, Any]:
    """nat-1 joins, while redis-1 pings the hub through the tunnel. What was seen of it."""
    ping = three.lab.host_argv("redis-1", ["ping", "-i", "0.02", MESH["hub-1"]])
    seen: dict[str, Any] = {}
    # Both ends call when they start; an unanswered call is tried again after 5 s, whoever called meanwhile.
    until(lambda: all(0 < int(p[3]) < time.time() - 7 for h in LAN for p in peers(three, h).values()), 20, "a rest")
    with subprocess.Popen(ping, stdout=subprocess.PIPE, text=True) as pings:
        seen["before"] = {host: (time.time(), peers(three, host)) for host in LAN}
        declare(three, "hub-1", "nat-1")
        seen["said"] = three.controller.deploy()
        seen["after"] = {host: (time.time(), peers(three, host)) for host in LAN}
        three.on("redis-1", "pkill -INT ping")
        assert pings.stdout
        seen["pings"] = pings.stdout.read()
    assert seen["said"].code == 0, seen["said"]
    return seen


@pytest.fixture
def fleet(three: Small, joined: dict[str, Any]) -> Small:
    """All four hosts."""
    return three


def admin(small: Small, host: str, *command: str) -> str:
    password = small.controller.run("secrets", "show", "redis.admin", "--yes-print").out.strip()
    argv = small.lab.host_argv(host, ["sh", "-c", 'read -r REDISCLI_AUTH; export REDISCLI_AUTH; exec "$@"', "sh"])
    argv += ["redis-cli", "-e", "--no-auth-warning", "--user", "admin", *command]
    done = subprocess.run(argv, input=password + "\n", capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def as_app(small: Small, host: str, script: str, *args: str) -> str:
    """A script with `r`, a client as the host's environment file says, run in that host's network."""
    head = "import sys; from pathlib import Path; import redis, redis_user; r = redis_user.connect(Path(sys.argv[1]))\n"
    return small.python(host, head + script, str(small.files_of(host)), *args)


# -- the mesh


def test_a_peer_that_joins_disturbs_nobody(joined: dict[str, Any]) -> None:
    """The others keep preshared keys, counters and sessions: `wg syncconf`, no new handshake, no packet lost."""
    for host in LAN:
        (_, before), (now, after) = joined["before"][host], joined["after"][host]
        assert set(before) <= set(after)
        for key, (psk, _, allowed, shaken, received, *_) in before.items():
            assert after[key][0] == psk != "(none)"
            assert set(allowed.split(",")) <= set(after[key][2].split(","))
            assert int(after[key][4]) >= int(received)  # a peer that is dropped and made again counts from 0
            # WireGuard itself renews a session after 120 s; before that a new handshake would be our doing.
            assert after[key][3] == shaken or now - int(shaken) > 115, (host, key)
    sent, got = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", joined["pings"]).groups())  # type: ignore[union-attr]
    assert sent > 20 and sent - got <= 1, joined["pings"][-300:]
    changed = set(joined["said"].json["hosts"])
    assert changed == {*LAN, "nat-1"}
    tasks = {s["id"] for s in joined["said"].json["steps"] if s["status"] == "changed" and s["host"] != "nat-1"}
    assert "wireguard/take in the peers" in tasks and "wireguard/restart the tunnel" not in tasks


def test_a_host_behind_nat_is_reached_through_the_hub(fleet: Small) -> None:
    """It calls the hub and keeps the way open; nobody knows an endpoint for it, and all traffic passes the hub."""
    conf = fleet.on("nat-1", "cat /etc/wireguard/wg0.conf")
    assert f"Endpoint = {LAN['hub-1']}:51820" in conf and "PersistentKeepalive = 25" in conf
    assert conf.count("[Peer]") == 1 and all(f"{MESH[h]}/32" in conf for h in LAN)
    hub = fleet.on("hub-1", "cat /etc/wireguard/wg0.conf").split("# nat-1\n")[1].split("\n\n")[0]
    assert "Endpoint" not in hub and "PersistentKeepalive" not in hub and f"AllowedIPs = {MESH['nat-1']}/32" in hub
    assert "# nat-1" not in fleet.on("redis-1", "cat /etc/wireguard/wg0.conf")
    # The NAT is one: the hub sees the gateway, and what it sends to nat-1's own address gets lost.
    nat = next(p for p in peers(fleet, "hub-1").values() if p[2] == f"{MESH['nat-1']}/32")
    assert nat[1].startswith(GATEWAY + ":") and int(nat[3]) > 0
    assert "1 received" not in fleet.on("hub-1", "ping -c1 -W1 10.62.0.14", well=False)
    for near, far in (("redis-1", "nat-1"), ("nat-1", "redis-2"), ("hub-1", "nat-1")):
        fleet.on(near, f"ping -c2 -i0.1 -W2 -q {MESH[far]}")
    assert f"AUTOBOT_REDIS_HOST={MESH['redis-1']}" in fleet.on("nat-1", "cat /etc/swarmops/.env")
    assert f"AUTOBOT_REDIS_HOST={LAN['redis-1']}" in fleet.on("hub-1", "cat /etc/swarmops/.env")


# -- Redis


def test_the_fleet_is_well_and_a_second_deploy_changes_nothing(fleet: Small) -> None:
    again = fleet.controller.deploy()
    assert again.code == 0 and fleet.controller.changed(again) == [], again
    # A primary takes a replica's lost connection for good until it times out: the replica knows it first.
    until(lambda: "master_link_status:up" in fleet.ask("redis-2", "info replication"), 30, "the replica's link")
    until(lambda: "state=online" in fleet.ask("redis-1", "info replication"), 15, "replica online")
    seen = fleet.health()
    assert seen["exit"] == 0, seen["bad"]
    assert {h["host"] for h in seen["hosts"]} == set(MESH)


def test_what_is_written_to_the_primary_is_on_the_replica(fleet: Small) -> None:
    """From the LAN by TLS, from behind NAT through the hub; the replica follows by TLS and takes no writes."""
    for host in ("hub-1", "nat-1"):
        as_app(fleet, host, f"r.set('swarm:from:{host}', 'x')")
        until(lambda key=f"swarm:from:{host}": fleet.ask("redis-2", "get", key) == "x", 10, f"{host}'s value")
    said = fleet.ask("redis-2", "info replication")
    assert "role:slave" in said and f"master_host:{MESH['redis-1']}" in said and "master_port:6380" in said
    assert "READONLY" in as_app(
        fleet,
        "hub-1",
        f"r.connection_pool.connection_kwargs['host'] = {LAN['redis-2']!r}\n"
        "try: r.set('swarm:a', 1); print('written')\nexcept Exception as e: print('READONLY', e)",
    )


def test_the_firewall_lets_only_clients_in(fleet: Small) -> None:
    """S4-33, S6: each door for those who need it; the plain port only inside the tunnel."""
    open_to = {
        ("hub-1", LAN["redis-1"], 6380): True,
        ("hub-1", LAN["redis-1"], 6379): False,
        ("hub-1", MESH["redis-1"], 6379): True,
        ("nat-1", MESH["redis-1"], 6379): True,
        ("redis-2", MESH["redis-1"], 6380): True,
        ("redis-2", MESH["redis-1"], 6379): False,
        ("redis-2", LAN["redis-1"], 22): False,
        ("hub-1", LAN["redis-2"], 6380): True,
        ("redis-1", LAN["redis-2"], 6379): False,
    }
    touch = lambda door: fleet.python(door[0], TOUCH, door[1], str(door[2]))  # noqa: E731
    with ThreadPoolExecutor() as pool:
        for door, said in zip(open_to, pool.map(touch, open_to)):
            assert ("nothing: timed out" not in said) is open_to[door], (door, said)
    for run in (fleet.lab.outside_exec, lambda argv: fleet.lab.exec(None, argv)):
        for port in ("6379", "6380"):
            assert "nothing: timed out" in run(["python3", "-c", TOUCH, LAN["redis-1"], port]).stdout


TLS_TRY = """
import socket, ssl, sys
ca, cert, key, name, old, address = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if cert: context.load_cert_chain(cert, key)
if old:
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[old]
try:
    with context.wrap_socket(socket.create_connection((address, 6380), 5), server_hostname=name) as s:
        s.sendall(b"PING\\r\\n")
        print("said", s.recv(60))
except (ssl.SSLError, OSError) as e:
    print("refused", type(e).__name__, e)
"""


def test_tls_asks_both_sides_for_a_certificate_of_our_ca(fleet: Small, tmp_path: Path) -> None:
    """S4: no certificate, another CA on either side, another name, old TLS and plain TCP are all refused."""
    tls = fleet.files_of("hub-1") / "etc/swarmops"
    ours, cert, key = (str(tls / n) for n in ("ca.crt", "client.crt", "client.key"))
    other = make_ca("another")
    their_key, their_cert = leaf(other, "hub-1", ("hub-1",))
    for name, text in (("ca", public_part(other)), ("crt", their_cert), ("key", their_key)):
        (tmp_path / name).write_text(text)
    theirs, their_crt, their_k = (str(tmp_path / n) for n in ("ca", "crt", "key"))
    redis = LAN["redis-1"]

    def attempt(ca: str = ours, cert: str = cert, key: str = key, name: str = redis, old: str = "") -> str:
        return fleet.python("hub-1", TLS_TRY, ca, cert, key, name, old, redis)

    assert "NOAUTH" in attempt() and "NOAUTH" in attempt(old="TLSv1_2")
    assert "refused" in attempt(cert="")
    assert "refused" in attempt(cert=their_crt, key=their_k)
    assert "refused SSLCertVerificationError" in attempt(ca=theirs)
    assert "refused SSLCertVerificationError" in attempt(name="redis-9")
    old = attempt(old="TLSv1_1")
    assert "refused" in old and "NO_PROTOCOLS" not in old and "NO_CIPHERS" not in old, old  # not by our own side
    plain = fleet.python("hub-1", TOUCH, redis, "6380")
    assert "PONG" not in plain and "NOAUTH" not in plain and "timed out" not in plain, plain
    mode = fleet.on("redis-1", "stat -c '%a %U' /etc/redis/tls/redis.key; stat -c '%a %U' /etc/redis/tls")
    assert mode.splitlines() == ["640 redis", "750 redis"]


FORBIDDEN = """CONFIG GET *|KEYS *|FLUSHALL|FLUSHDB|EVAL return(1) 0|MODULE LIST|DEBUG SLEEP 0|SHUTDOWN NOSAVE|
REPLICAOF NO ONE|ACL LIST|ACL SETUSER x|MONITOR|CLIENT KILL ID 1|CLIENT LIST|SAVE|BGREWRITEAOF|FUNCTION LIST|SWAPDB 0 1|
SLOWLOG GET|LATENCY RESET|SYNC|GET outside|SET outside 1|PUBLISH outside x|SUBSCRIBE outside|COPY swarm:a outside"""
RIGHTS = """
import json
said = {}
for line in sys.argv[2].replace("\\n", "").split("|"):
    try:
        said[line] = repr(r.execute_command(*line.split()))
    except Exception as e:
        said[line] = "refused: " + str(e)
print(json.dumps(said))
"""


def test_the_app_user_has_no_right_too_many(fleet: Small) -> None:
    """S2, S3: and those that it needs it has."""
    said = json.loads(as_app(fleet, "hub-1", RIGHTS, FORBIDDEN))
    got = {k: v for k, v in said.items() if not re.match(r"refused: .*(no permission|not allowed)", v, re.I)}
    assert len(said) == 26 and got == {}, got
    wanted = "SET swarm:a 1|GET swarm:a|XADD swarm:s * a 1|LPUSH swarm:l 1|EXPIRE swarm:a 9|PUBLISH swarm:c x|TIME"
    said = json.loads(as_app(fleet, "hub-1", RIGHTS, wanted + "|SCRIPT LOAD return(1)|INFO server|WAIT 1 2000"))
    assert not [v for v in said.values() if v.startswith("refused")], said
    assert said["WAIT 1 2000"] == "1"
    assert "off" in admin(fleet, "redis-1", "acl", "getuser", "default").split()
    assert "NOAUTH" in fleet.on("redis-1", "redis-cli -e ping 2>&1", well=False)


def test_the_running_redis_is_as_declared(fleet: Small) -> None:
    """S3-56 to S3-59, S5: asked of the server itself, not of its file."""
    declared = {
        **{"maxclients": "12000", "appendonly": "yes", "appendfsync": "everysec", "timeout": "0", "databases": "16"},
        **{"tcp-keepalive": "300", "maxmemory": str(64 << 20), "maxmemory-policy": "noeviction"},
        **{"save": "900 1 300 10 60 10000", "protected-mode": "yes", "tls-auth-clients": "yes"},
    }
    for host in ("redis-1", "redis-2"):
        rows = admin(fleet, host, "config", "get", *declared).splitlines()
        assert dict(zip(rows[::2], rows[1::2])) == declared
        limits = fleet.on(host, "grep 'open files' /proc/$(systemctl show -p MainPID --value redis-server)/limits")
        assert limits.split()[3:5] == ["13024", "13024"]
        listening = set(re.findall(r"(\S+):63(?:79|80)\b", fleet.on(host, "ss -Hltn")))
        assert listening == {"127.0.0.1", "[::1]", LAN[host], MESH[host]}


def test_more_clients_than_the_host_allows_are_named(fleet: Small) -> None:
    """S3-59: Redis lowers maxclients silently; health says so."""
    drop_in = "/run/systemd/system/redis-server.service.d/99-test.conf"
    few = f"mkdir -p $(dirname {drop_in}); printf '[Service]\\nLimitNOFILE=4096\\n' > {drop_in}; "
    try:
        fleet.on("redis-2", few + "systemctl daemon-reload; systemctl restart redis-server")
        bad = fleet.health("-l", "redis-2")["bad"]
        said = next(why for name, why in bad.items() if "allows as many clients" in name)
        assert "lowered maxclients from 12000 to 4064" in said, bad
    finally:
        fleet.on("redis-2", f"rm {drop_in}; systemctl daemon-reload; systemctl restart redis-server")


def test_a_redis_that_refuses_to_end_is_asked_again(fleet: Small) -> None:
    """A replica that just copied everything writes its first AOF, and forgets a SIGTERM that comes meanwhile."""
    as_app(fleet, "hub-1", "p = r.pipeline()\nfor i in range(1500): p.set(f'swarm:slow:{i}', 'x', 600)\np.execute()")
    until(lambda: int(fleet.ask("redis-2", "dbsize")) >= 1500, 10, "the copies")
    was = fleet.on("redis-2", "systemctl show -p MainPID --value redis-server").strip()
    admin(fleet, "redis-2", "config", "set", "rdb-key-save-delay", "1000")  # microseconds a key
    for state in ("no", "yes"):
        admin(fleet, "redis-2", "config", "set", "appendonly", state)
    assert "aof_rewrite_in_progress:1" in admin(fleet, "redis-2", "info", "persistence")
    fleet.on("redis-2", "systemctl restart redis-server")
    said = fleet.on("redis-2", "cat /var/log/redis/redis-server.log; journalctl -u redis-server --no-pager -o cat")
    assert "Writing initial AOF, can't exit" in said
    assert fleet.on("redis-2", "systemctl show -p MainPID --value redis-server").strip() != was
    until(lambda: "master_link_status:up" in fleet.ask("redis-2", "info replication"), 30, "the replica's link")


# -- rotation


OWN = ["redis.replica", "redis.health", "redis.backup"]


@pytest.mark.parametrize("names", [["redis.app"], OWN], ids=["app", "own"])
def test_a_rotation_has_no_gap(fleet: Small, names: list[str]) -> None:
    """S0-12, F44: two programs work all the while and see not one failure; then the old value is of no use."""
    run, deploy = fleet.controller.run, fleet.controller.deploy
    show = lambda: [run("secrets", "show", name, "--yes-print").out.strip() for name in names]  # noqa: E731
    let_in = lambda values: [login(fleet, n.split(".")[1], v) for n, v in zip(names, values)]  # noqa: E731
    old = show()
    with fleet.user("hub-1") as near, fleet.user("nat-1") as far:
        for name in names:
            assert run("secrets", "rotate", name).code == 0
        assert run("secrets", "rotate", names[0]).code == 2  # would cut off who still has the first value
        both = deploy()
        assert both.code == 0 and fleet.controller.changed(both), both
        assert fleet.controller.changed(deploy()) == []
        new = show()
        assert not set(old) & set(new) and all(let_in(old)) and all(let_in(new))
        for name in names:
            assert run("secrets", "rotate", name, "--finish").code == 0
        done = deploy()
        assert done.code == 0, done
        assert not any(let_in(old)) and all(let_in(new))
    assert near.said["failures"] == far.said["failures"] == []
    assert min(near.said["done"], far.said["done"]) > 50
    if names == ["redis.app"]:
        assert near.said["passwords"] == far.said["passwords"] == 2
    store = Path(fleet.controller.env["SWARMOPS_SECRETS"]).read_text()
    assert not [value for value in old if value in store]
    assert fleet.controller.changed(deploy()) == []
    until(lambda: fleet.health()["exit"] == 0, 60, "a fleet that is well")


def test_a_new_ca_cuts_nobody_off(fleet: Small) -> None:
    """While both are trusted, a client that has not heard of the new one yet goes on."""
    before = fleet.on("hub-1", "cat /etc/swarmops/ca.crt")
    works = lambda: as_app(fleet, "hub-1", "print(r.ping())") == "True"  # noqa: E731
    assert fleet.controller.run("secrets", "rotate", "tls.ca").code == 0
    assert fleet.controller.deploy("-l", "redis").code == 0
    assert fleet.on("hub-1", "cat /etc/swarmops/ca.crt") == before and works()
    assert fleet.controller.deploy().code == 0 and works()


def login(small: Small, user: str, password: str) -> bool:
    script = "import sys, redis\nr = redis.Redis(username=sys.argv[1], password=sys.stdin.read())\n"
    script += "try: r.ping(); print(True)\nexcept redis.AuthenticationError: print(False)"
    argv = small.network_of("redis-1", [sys.executable, "-c", script, user])
    done = subprocess.run(argv, input=password, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() == "True"


# -- faults


def test_a_redis_that_keeps_dying_keeps_coming_back_and_is_named(fleet: Small) -> None:
    """F10: six kills in five seconds."""
    # Each of them another process: one that is about to end can be killed twice.
    kill = (
        "p=$(systemctl show -p MainPID --value redis-server); [ $p -gt 0 ] && [ $p != 'LAST' ] && kill -9 $p && echo $p"
    )
    ask = "/usr/local/lib/swarmops/redis ask ping"
    try:
        last = "0"
        for _ in range(6):
            again = kill.replace("LAST", last)
            last = until(lambda script=again: fleet.on("redis-2", script, well=False), 10, "another Redis to kill")
        until(lambda: "PONG" in fleet.on("redis-2", ask, well=False), 10, "an answer")
        seen = fleet.health("-l", "redis-2")
        said = seen["bad"]["redis-2 redis is up"]
        assert seen["exit"] == 2 and "keeps restarting" in said, seen["bad"]
        assert int(re.search(r"restarted (\d+) times", said)[1]) >= 6, said  # type: ignore[index]
        after = fleet.controller.deploy("-l", "redis-2")
        assert after.code == 0 and fleet.controller.changed(after) == [], after
    finally:
        fleet.on("redis-2", "systemctl restart redis-server")  # counts from 0 again


def test_a_redis_that_does_not_start_gets_its_old_config_back(fleet: Small) -> None:
    """F30: the trial finds nothing wrong, yet somebody else has the port. Clients go on with the old one."""
    squat = "import socket; s = socket.create_server(('0.0.0.0', 7000)); s.accept()"
    fleet.on("redis-1", f'systemd-run -q --unit=squat python3 -c "{squat}"')
    until(lambda: fleet.on("redis-1", "ss -Hltn sport = :7000"), 5, "the port taken")
    before = fleet.on("redis-1", "sha256sum /etc/redis/redis.conf")
    said = fleet.controller.deploy("-l", "redis-1", "-t", "redis", "-e", "redis_port=7000")
    why = fleet.controller.failed(said)["redis-1 redis/restart redis"]
    assert said.code == 1 and "Address already in use" in why, said
    assert "the previous /etc/redis/redis.conf is back and running" in why
    assert max(s["ms"] for s in said.json["steps"]) < 10_000
    assert fleet.on("redis-1", "sha256sum /etc/redis/redis.conf") == before
    assert fleet.ask("redis-1", "ping") == "PONG"
    assert as_app(fleet, "nat-1", "print(r.ping())") == "True"
    fleet.on("redis-1", "systemctl stop squat")
    after = fleet.controller.deploy()
    assert after.code == 0, after
    assert fleet.controller.changed(fleet.controller.deploy()) == []


@pytest.mark.parametrize(("kind", "value", "hosts"), [("loss", 20, ["redis-1", "redis-2"]), ("delay", 40, list(MESH))])
def test_a_bad_line_is_slow_and_no_more(fleet: Small, kind: str, value: float, hosts: list[str]) -> None:
    """F15: both Redis hosts lose 20 % each way, or everybody is 80 ms away. Nobody is taken for down."""
    until(lambda: fleet.health()["exit"] == 0, 60, "a fleet that is well")
    try:
        fleet.lab.fault(kind, *hosts, value=value)
        said = fleet.controller.deploy("-e", f"base_journald_max_use={value}M")
        assert said.code == 0, said
        changed = fleet.controller.changed(said)
        tasks = ("limit the journal", "restart journald")
        assert changed == sorted(f"{h} base/{task}" for h in MESH for task in tasks), changed
        for _ in range(3):
            seen = fleet.health()
            # A login that the losses held up is "slow" (UNKNOWN): the next look says more. It is never "down".
            assert not [h for h in seen["hosts"] if h["state"] == "CRITICAL"], seen["bad"]
        until(lambda: fleet.health()["exit"] < 2, 60, "everybody seen, on a bad line")
    finally:
        fleet.lab.heal()
