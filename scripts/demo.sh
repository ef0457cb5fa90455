#!/bin/sh
# The whole story on this machine, without root: deploy, work with dependencies, a worker killed, health, backup.
# Usage: scripts/demo.sh [--once]     --once: end after the story; else the services stay up until Ctrl-C
set -eu
cd "$(dirname "$0")/.."
echo "swarmops on this machine: everything lies in one folder of its own, and is gone afterwards"
[ -t 0 ] || set -- --once
[ -z "${ONCE:-}" ] || set -- --once
exec .venv/bin/python scripts/demo.py "$@"
