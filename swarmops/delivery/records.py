"""What a run leaves beside the inventory: public keys, machine ids, when hosts were deployed and which failed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

PYTHON = {"python", "arch", "libc"}


def read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, value: dict) -> None:
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
    return read(state / "peers.json")


def remember_peers(state: Path, made: Mapping[str, str]) -> None:
    write(state / "peers.json", {**peers(state), **made})


def machines(state: Path) -> dict[str, str]:
    """Host name -> machine-id, as met in the first deploy."""
    return read(state / "machines.json")


def remember_machines(state: Path, met: Mapping[str, str], *, replace: bool) -> None:
    known = machines(state)
    new = {n: m for n, m in met.items() if m and (replace or n not in known)}
    if new and {**known, **new} != known:
        write(state / "machines.json", {**known, **new})


def pythons(state: Path) -> dict[str, dict[str, str]]:
    """Host name -> what it runs Python with: python, arch, libc, as met last."""
    found = read(state / "pythons.json")
    return {n: f for n, f in found.items() if isinstance(f, dict) and {k for k in f if isinstance(f[k], str)} == PYTHON}


def remember_pythons(state: Path, met: Mapping[str, Mapping[str, object]]) -> None:
    known = pythons(state)
    new = {n: {k: str(f[k]) for k in PYTHON} for n, f in met.items() if all(f.get(k) for k in PYTHON)}
    if {**known, **new} != known:
        write(state / "pythons.json", {**known, **new})


def failed(state: Path) -> list[str]:
    """Hosts that did not end well in the last deploy they were in, or that it did not come to: those to retry."""
    hosts = read(state / "failed.json").get("hosts", [])
    return [n for n in hosts if isinstance(n, str)] if isinstance(hosts, list) else []


def remember_failed(state: Path, hosts: list[str], played: Iterable[str]) -> None:
    """Of the hosts `played` now, `hosts` did not end well. Those that failed earlier and were not played stay."""
    before = failed(state)
    now = [*(n for n in before if n not in set(played)), *hosts]
    if now != before:
        write(state / "failed.json", {"hosts": now})


def begin_deploy(state: Path, hosts: Iterable[str]) -> None:
    """These hosts are being deployed by this process, from now on."""
    told = read(state / "deploys.json")
    write(state / "deploys.json", {**told, **{n: {**_told(told, n), "by": os.getpid()} for n in hosts}})


def end_deploy(state: Path, well: Iterable[str], failed: Iterable[str]) -> None:
    """The deploy of these hosts is over."""
    told, now = read(state / "deploys.json"), round(time.time(), 3)
    for ok, names in ((True, well), (False, failed)):
        told.update({n: {"ended": now, "ok": ok} for n in names})
    mine = {
        n: {k: v for k, v in _told(told, n).items() if k != "by"}
        for n in told
        if _told(told, n).get("by") == os.getpid()
    }
    write(state / "deploys.json", {**told, **mine})


def broken(state: Path) -> list[str]:
    """Hosts that the last deploy which did something there did not bring to a good end."""
    told = read(state / "deploys.json")
    return [n for n in told if _told(told, n).get("ok") is False]


def deployed_before(state: Path, moment: float) -> list[str]:
    """Hosts that were deployed some time, and not to a good end since `moment` (seconds since 1970)."""
    told = {n: _told(told, n) for told in [read(state / "deploys.json")] for n in told}
    return [n for n, of in told.items() if "ended" in of and not (of.get("ok") and of["ended"] >= moment)]


def deploying(state: Path) -> list[str]:
    """Hosts that a deploy is at work on."""
    told = read(state / "deploys.json")
    return [n for n in told if isinstance(pid := _told(told, n).get("by"), int) and Path(f"/proc/{pid}").exists()]


def deployed(state: Path) -> dict[str, float]:
    """Hosts that a deploy went to its end on, well or not, and when the last one did (seconds since 1970)."""
    told = read(state / "deploys.json")
    return {n: float(at) for n in told if isinstance(at := _told(told, n).get("ended"), int | float)}


def _told(told: Mapping[str, object], name: str) -> dict:
    found = told.get(name)
    return found if isinstance(found, dict) else {}
