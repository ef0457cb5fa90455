"""Releases of a deploy: which hosts get one, for which Python, and the wheels that each is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmops.delivery import records
from swarmops.model.faults import Faults, Mark
from swarmops.planning.plan import Plan

if TYPE_CHECKING:  # their libraries take time to load, and most deploys bring no release
    from swarmops.delivery.fleet import Fleet
    from swarmops.delivery.release.parts import Wheel
    from swarmops.delivery.session import Event

Files = dict[str, dict[str, Path]]


def steps_of(plan: Plan) -> list[dict[str, Any]]:
    """The steps of a plan that bring a release."""
    found = [s for s in plan.steps if s["kind"] == "release" and not s.get("skip")]
    return [s for s in found if s["args"].get("state") != "absent"]


def locks(state: Path) -> Path:
    """Where the locks of an inventory are."""
    return state / "releases"


def check(plans: Mapping[str, Plan], faults: Faults) -> None:
    """Extras that swarmops does not have are faults, before any host is contacted."""
    if not any(steps_of(p) for p in plans.values()):
        return
    from swarmops.delivery.release.parts import ReleaseError
    from swarmops.delivery.release.wanted import requirements

    for extras, steps in _by_extras(plans.values()).items():
        try:
            requirements(extras)
        except ReleaseError as e:
            for id in sorted({s["id"] for s in steps}):
                faults.add(Mark(), f"{id}: extras", str(e))


def _by_extras(plans: Iterable[Plan]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for plan in plans:
        for step in steps_of(plan):
            found.setdefault(_extras(step), []).append(step)
    return found


def _extras(step: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted({str(e) for e in step["args"].get("extras") or ()}))


def ask(fleet: Fleet, plans: Mapping[str, Plan], state: Path) -> Iterator[tuple[str, Event]]:
    """Ask the hosts that get a release for their Python, those that were never met, and record it.

    Yields how each of these questions ended.
    """
    known = records.pythons(state)
    met: dict[str, dict[str, Any]] = {}
    for name, event in fleet.run({n: {"mode": "facts"} for n, p in plans.items() if n not in known and steps_of(p)}):
        if event["e"] == "facts":
            met[name] = event["facts"]
        elif event["e"] == "end":
            yield name, event
    records.remember_pythons(state, met)


def prepare(plans: Mapping[str, Plan], python: Mapping[str, str], state: Path) -> list[str]:
    """Choose and fetch the wheels of every release of `plans` ahead of a deploy that cannot reach an index.

    python  python, arch and libc of the hosts; the names of what was chosen. Raises ReleaseError.
    """
    from swarmops.delivery.release.lock import locked
    from swarmops.delivery.release.parts import Target

    target, found = Target(**python), list(_by_extras(plans.values()))
    for extras in found:
        locked(locks(state), extras, target)
    return [", ".join(extras) or "runtime" for extras in found]


def lacking(plans: Mapping[str, Plan], pythons: Mapping[str, Mapping[str, str]], state: Path) -> list[str]:
    """What `fill` must first get from an index, which takes a while: one sentence each."""
    if not any(steps_of(p) for p in plans.values()):
        return []
    from swarmops.delivery.release.lock import ready
    from swarmops.delivery.release.parts import Target

    pairs = {
        (_extras(step), Target(**pythons[host]))
        for host, plan in plans.items()
        for step in (steps_of(plan) if host in pythons else ())
    }
    found = sorted((e, str(t)) for e, t in pairs if not ready(locks(state), e, t))
    return [f"choosing wheels for {target}: {', '.join(extras) or 'runtime'}" for extras, target in found]


def fill(plans: Mapping[str, Plan], pythons: Mapping[str, Mapping[str, str]], state: Path) -> Files:
    """Give every release of `plans` its Python and wheels. Returns the files that each host may ask for.

    pythons  host -> python, arch, libc; hosts that are not among them are left as they are
    Raises ReleaseError with every reason.
    """
    if not any(steps_of(p) for p in plans.values()):
        return {}
    from swarmops.delivery.release.cache import path_of
    from swarmops.delivery.release.lock import locked
    from swarmops.delivery.release.parts import ReleaseError, Target

    files: Files = {}
    chosen: dict[tuple[tuple[str, ...], Target], list[Wheel]] = {}
    why: dict[str, None] = {}
    for host, plan in plans.items():
        for step in steps_of(plan) if host in pythons else ():
            target, extras = Target(**pythons[host]), _extras(step)
            try:
                target.check(host)
                if (extras, target) not in chosen:
                    chosen[extras, target] = locked(locks(state), extras, target)
            except ReleaseError as e:
                why.update(dict.fromkeys(e.lines()))
                continue
            ours, path = _own()
            wheels = [ours, *chosen[extras, target]]
            step["args"]["python"] = target.python
            step["args"]["wheels"] = [{"name": w.file, "sha256": w.sha256, "size": w.size} for w in wheels]
            files.setdefault(host, {}).update({w.sha256: path_of(w) for w in wheels[1:]})
            files[host][ours.sha256] = path
    if why:
        raise ReleaseError(*why)
    return files


@cache
def _own() -> tuple[Wheel, Path]:
    """Our wheel, made once in a run: it is of the code that runs."""
    from swarmops.delivery.release.cache import own

    return own()
