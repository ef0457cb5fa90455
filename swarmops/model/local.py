"""This machine as a host of the fleet: `ansible_connection: local`, with root by sudo or without root (tier `local`).

A *rootless* host is deployed by the user who runs swarmops, even where that is root: nothing is written outside a
folder of the deployment's own, all services listen on loopback, and a process supervisor keeps them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swarmops.model.inventory import Host

LOOPBACK = "127.0.0.1"
UNNAMED = "swarmops"  # a deployment without a name
SYSTEM = {
    "config": "/etc/swarmops",
    "state": "/var/lib/swarmops",
    "logs": "/var/log/swarmops",
    "run": "/run/swarmops",
}


def truth(value: Any) -> bool:
    """A yes or no as Ansible reads it: an INI inventory gives text."""
    return value.strip().lower() in ("y", "yes", "on", "1", "true", "t") if isinstance(value, str) else bool(value)


def is_local(host: Host) -> bool:
    """Whether the host is the machine that swarmops itself runs on."""
    return host.vars.get("ansible_connection") == "local"


def is_rootless(host: Host) -> bool:
    """Whether the host is this machine and is deployed without root."""
    return is_local(host) and not truth(host.vars.get("ansible_become", False))


def home(deployment: str) -> Path:
    """The folder in which everything of a rootless deployment lies.

    Below $SWARMOPS_STATE, else $XDG_STATE_HOME, else ~/.local/state; the last part is the deployment's name, so that
    two of them on one machine stay apart.
    """
    named = os.environ.get("SWARMOPS_STATE") or os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(os.path.abspath(Path(named).expanduser())) / "swarmops" / deployment


def paths(rootless: bool, deployment: str) -> Mapping[str, str]:
    """The folders of a host: config, state, logs, run."""
    return {name: str(home(deployment) / name) for name in SYSTEM} if rootless else dict(SYSTEM)


def engine_state(deployment: str) -> str:
    """Where a rootless host keeps what the engine remembers between runs."""
    return str(home(deployment) / "engine-state")
