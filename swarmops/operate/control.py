"""Start, stop and restart services, host by host in the order of a deploy, by the kinds that a deploy uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from swarmops.delivery import records
from swarmops.delivery.access import access_to
from swarmops.delivery.fleet import Fleet
from swarmops.model.project import Project
from swarmops.operate.units import Unit

STATES = {"start": "started", "stop": "stopped", "restart": "restarted"}
FINE = ("ok", "changed")


@dataclass(frozen=True)
class Done:
    """What became of one service. code: 0 it is so, 1 it is not, 3 the host is out of reach."""

    unit: Unit
    text: str
    code: int


def control(project: Project, verb: str, wanted: Sequence[Unit]) -> Iterator[Done]:
    """Start, stop or restart these; what starts last stops first. Hosts one after the other, so that a role with
    several hosts is never away as a whole. Raises InputError."""
    order = list(reversed(wanted)) if verb == "stop" else list(wanted)
    hosts = dict.fromkeys(u.host for u in order)
    accesses = [access_to(project.inventory.hosts[name], project.store) for name in hosts]
    fleet = Fleet(accesses, project.state / "known_hosts")
    try:
        for host in hosts:
            yield from _on_host(project, fleet, verb, [u for u in order if u.host == host])
    finally:
        fleet.close()


def _on_host(project: Project, fleet: Fleet, verb: str, units: list[Unit]) -> Iterator[Done]:
    host = units[0].host
    envelope: dict[str, Any] = {
        "mode": "apply",
        "machine": records.machines(project.state).get(host),
        "owner": f"{project.name}/{project.tier}",
        "needs": {},
        "steps": [_step(verb, unit) for unit in units],
    }
    left = dict(enumerate(units))
    for _, event in fleet.run({host: envelope}):
        if event["e"] == "step" and event["i"] in left:
            unit = left.pop(event["i"])
            well = event["s"] in FINE
            text = STATES[verb] if event["s"] == "changed" else f"was {STATES[verb]} already"
            yield Done(unit, text if well else str(event.get("why") or event["s"]), 0 if well else 1)
        elif event["e"] == "end":
            why, gone = str(event.get("reason") or "it was not looked at"), event["status"] == "unreachable"
            yield from (Done(unit, why, 3 if gone else 1) for unit in left.values())


def _step(verb: str, unit: Unit) -> dict[str, Any]:
    args = {**unit.task["args"], "state": STATES[verb]}
    if "enabled" in args:  # whether it starts at boot is the deploy's affair
        args["enabled"] = None
    step = {"id": f"{unit.role}/{verb} {unit.name}", "role": f"{unit.role}/{unit.name}", "name": f"{verb} {unit.name}"}
    return {**step, "kind": unit.task["kind"], "args": args, "tags": []}
