"""What a run leaves beside the inventory: public keys, machine ids, and the hosts that failed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temp, "w") as f:
        json.dump(value, f, indent=1, sort_keys=True)
        f.write("\n")
        f.flush()
        os.fsync(f.fileno())
    temp.rename(path)


def peers(state: Path) -> dict[str, str]:
    """Host name -> public WireGuard key."""
    return _read(state / "peers.json")


def remember_peers(state: Path, made: Mapping[str, str]) -> None:
    _write(state / "peers.json", {**peers(state), **made})


def machines(state: Path) -> dict[str, str]:
    """Host name -> machine-id, as met in the first deploy."""
    return _read(state / "machines.json")


def remember_machines(state: Path, met: Mapping[str, str], *, replace: bool) -> None:
    known = machines(state)
    new = {n: m for n, m in met.items() if m and (replace or n not in known)}
    if new and {**known, **new} != known:
        _write(state / "machines.json", {**known, **new})


def failed(state: Path) -> list[str]:
    """Hosts that did not end well in the last deploy they were in."""
    hosts = _read(state / "failed.json").get("hosts", [])
    return [n for n in hosts if isinstance(n, str)] if isinstance(hosts, list) else []


def remember_failed(state: Path, hosts: list[str], played: Iterable[str]) -> None:
    """Of the hosts `played` now, `hosts` did not end well. Those that failed earlier and were not played stay."""
    before = failed(state)
    now = [*(n for n in before if n not in set(played)), *hosts]
    if now != before:
        _write(state / "failed.json", {"hosts": now})
