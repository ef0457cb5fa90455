"""Who may import whom. The rooms of the house stay apart, so that each can be read alone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "swarmops"
SEAM = {"target.wire"}
MAY = {
    "model": set(),
    "planning": {"model", "target"},
    "delivery": {"planning", "model", "target"},
    # The controller runs the hosts' own probes and speaks to Redis with their client.
    "health": {"model", "planning", "delivery", "target"},
    "backups": {"model", "planning", "delivery", "target"},
    "lab": {"model"},
    "target": set(),
    # The other half of the house: it knows nothing of provisioning, and provisioning nothing of it.
    "runtime": set(),
    "web": {"runtime"},  # manners of everything of ours that speaks HTTP: tokens, limits, how it starts and ends
    "gateways": {"runtime", "web"},
    "workers": {"runtime", "web"},
    "client": set(),  # what agents elsewhere import: standard library, and websockets where they stay connected
    # The day-to-day of a fleet: status, logs, start and stop, reconcile.
    "operate": {"model", "planning", "delivery", "health", "backups", "target"},
    "cli": {
        "model",
        "planning",
        "delivery",
        "health",
        "backups",
        "lab",
        "target.wire",
        "runtime",
        "web",
        "gateways",
        "workers",
        "client",
        "operate",
    },
}
ONLY_HERE = {"fabric": "delivery", "paramiko": "delivery", "invoke": "delivery"}


def _imports(file: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, a.name) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: import by its whole name"
            found.append((node.lineno, node.module or ""))
            if node.module in ("swarmops", "swarmops.target"):
                found += [(node.lineno, f"{node.module}.{a.name}") for a in node.names]
    return found


@pytest.mark.parametrize("room", [r for r in MAY if (ROOT / r).is_dir()])
def test_room_imports_only_what_it_may(room: str) -> None:
    faults = []
    for file in sorted((ROOT / room).rglob("*.py")):
        for line, name in _imports(file):
            top, _, rest = name.partition(".")
            if top == "swarmops":
                if not rest:
                    continue
                other = rest.split(".")[0]
                allowed = {room, *MAY[room]}
                if other not in allowed and rest not in allowed and other != "__version__":
                    faults.append(f"{file}:{line}: {room} imports {name}")
            elif ONLY_HERE.get(top, room) != room:
                faults.append(f"{file}:{line}: only {ONLY_HERE[top]} may import {top}")
            elif room == "runtime" and top not in sys.stdlib_module_names and top != "redis":
                faults.append(f"{file}:{line}: the runtime is redis and the standard library only, not {name}")
            elif room == "target" and top not in sys.stdlib_module_names:
                faults.append(f"{file}:{line}: what runs on hosts is standard library only, not {name}")
    assert not faults, "\n".join(faults)
