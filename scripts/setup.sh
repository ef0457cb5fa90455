#!/bin/sh
# Sets up all that `make demo` and `make test` need: system packages where we are root, and .venv.
# Usage: scripts/setup.sh demo|test
set -eu
cd "$(dirname "$0")/.."
extra=""
[ "${1:-demo}" = test ] && extra="[test]"

# What each program is for, and the Debian package that has it.
wanted="systemd-nspawn:systemd-container debootstrap:debootstrap nft:nftables wg:wireguard-tools
wireguard-go:wireguard-go ip:iproute2 ssh-keygen:openssh-client sshd:openssh-server redis-server:redis-server
dpkg-scanpackages:dpkg-dev age:age"
PATH="$PATH:/usr/sbin:/sbin"
lacking=""
for pair in $wanted; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || lacking="$lacking ${pair##*:}"
done
if ! command -v uv >/dev/null 2>&1 && ! python3 -c 'import ensurepip' >/dev/null 2>&1; then
    lacking="$lacking python3-venv"
fi
if [ -n "$lacking" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing:$lacking"
        apt-get update -qq
        # Services of these packages are for the lab's hosts, not for this machine.
        printf '#!/bin/sh\nexit 101\n' >/tmp/swarmops-policy.$$ && chmod +x /tmp/swarmops-policy.$$
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then mv /tmp/swarmops-policy.$$ $policy; made=1; else rm /tmp/swarmops-policy.$$; made=0; fi
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking >/tmp/swarmops-apt.log 2>&1 ||
            { code=$?; tail -5 /tmp/swarmops-apt.log; [ $made = 1 ] && rm -f $policy; exit $code; }
        if [ $made = 1 ]; then rm -f $policy; fi
    else
        case "$lacking" in
        *python3-venv*) echo "missing: run  sudo apt install$lacking  and try again"; exit 1 ;;
        *) echo "not installed:$lacking (as root: apt install$lacking); what needs them is left out" ;;
        esac
    fi
fi

stamp=".venv/.set-up$(printf %s "$extra" | tr -d '[]' | sed 's/^./-&/')"
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    echo "setting up .venv"
    if command -v uv >/dev/null 2>&1; then
        [ -x .venv/bin/python ] || uv venv -q .venv
        uv pip install -q --python .venv/bin/python -e ".$extra"
    else
        [ -x .venv/bin/pip ] || python3 -m venv .venv
        .venv/bin/pip install -qq --disable-pip-version-check -e ".$extra"
    fi
    touch "$stamp"
fi
