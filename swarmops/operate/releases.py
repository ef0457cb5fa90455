"""Releases of roles on their hosts: what is in use since when, and the way back to the one before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from swarmops.delivery import records, release
from swarmops.delivery.access import access_to
from swarmops.delivery.fleet import Fleet
from swarmops.model.project import Project
from swarmops.operate.window import Switch
from swarmops.planning.plan import Plan

PATIENCE = 20.0  # seconds for hosts to say which releases they have
DONE, ILL, NOT_DONE = 0, 1, 3


def asked(plan: Plan, roles: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Link -> the task that brings it, of those of these roles that bring a release."""
    found: dict[str, list[dict[str, Any]]] = {}
    for step in release.steps_of(plan):
        if step["role"] in roles:
            found.setdefault(f"{step['args']['root'].rstrip('/')}/{step['args']['name']}", []).append(step)
    return found


def switches(
    project: Project, plans: Mapping[str, Plan], ill: Mapping[str, Collection[str]]
) -> dict[str, dict[str, Switch]]:
    """Host -> role -> its release, of these roles of these hosts. A host that does not say it is left out."""
    links = {host: mine for host, roles in ill.items() if (mine := asked(plans[host], roles))}
    if not links:
        return {}
    fleet = _fleet(project, links)
    found: dict[str, dict[str, Switch]] = {}
    try:
        envelopes = {host: {"mode": "releases", "links": list(mine)} for host, mine in links.items()}
        for host, event in fleet.run(envelopes, deadline=PATIENCE):
            for step in links[host][event["link"]] if event["e"] == "release" else ():
                switch = Switch(step["id"], event["now"], event.get("before") or "", event.get("age") or 0.0)
                known = found.setdefault(host, {})
                if step["role"] not in known or _later(switch, known[step["role"]]):
                    known[step["role"]] = switch
    finally:
        fleet.close()
    return found


def _later(a: Switch, b: Switch) -> bool:
    """Of a role with several releases it is the newest that is in doubt."""
    return bool(a.before) and (not b.before or a.age < b.age)


def go_back(project: Project, plan: Plan, switch: Switch) -> tuple[int, str]:
    """Put the release before in place of this one, with what came with it, and restart the service.

    (DONE, what was done), (ILL, why the service does not run with it either), (NOT_DONE, why nothing was done).
    """
    role = next(s["role"] for s in plan.steps if s["id"] == switch.step)
    steps = [s for s in plan.steps if s["role"] == role]
    envelope: dict[str, Any] = {
        "mode": "apply",
        "machine": records.machines(project.state).get(plan.host),
        "owner": f"{project.name}/{project.tier}",
        "steps": steps,
        "back": {"step": switch.step, "now": switch.now, "before": switch.before},
    }
    fleet, said = _fleet(project, [plan.host]), (NOT_DONE, "it was not looked at")
    try:
        for _, event in fleet.run({plan.host: envelope}):
            if event["e"] == "step":
                code = {"changed": DONE, "failed": ILL}.get(event["s"], NOT_DONE)
                said = code, str(event.get("why") or event["s"])
            elif event["e"] == "end" and said[0] == NOT_DONE and event.get("reason"):
                # Once it has begun the host goes on by itself, also when nobody is there to hear of it.
                said = (ILL if event["status"] == "lost" else NOT_DONE), str(event["reason"])
    finally:
        fleet.close()
    return said


def _fleet(project: Project, hosts: Collection[str]) -> Fleet:
    accesses = [access_to(project.inventory.hosts[name], project.store) for name in hosts]
    return Fleet(accesses, project.state / "known_hosts")
