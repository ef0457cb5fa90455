"""Between two batches of a deploy: are the hosts well that were just changed (S4-40)?"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from swarmops.health.collect import Target, look
from swarmops.health.verdict import Result, State
from swarmops.model.project import Project

PATIENCE = 60.0  # seconds for hosts to become well
PAUSE = 1.0  # seconds between two looks
WELL = (State.OK, State.WARNING)

Checks = Mapping[str, list[dict[str, Any]]]


def unwell(project: Project, changed: Checks, coming: Checks, patience: float = PATIENCE) -> Iterator[dict[str, str]]:
    """After each look, until all are well or `patience` seconds are over: host -> what is wrong with it, of `changed`.

    Both arguments are host -> its checks. A check counts as long as a host still to come passes it: where none does,
    as in a first deploy, going on can make nothing worse.
    """
    end = time.monotonic() + patience
    protected: set[str] | None = None
    while bad := _failing(project, changed, quiet=False):
        protected = _passed(project, coming) if protected is None else protected
        bad = {host: left for host, found in bad.items() if (left := _only(found, protected))}
        yield {host: "; ".join(f"{r.label}: {r.detail}" for r in found.values()) for host, found in bad.items()}
        if not bad or time.monotonic() > end:
            return
        time.sleep(PAUSE)  # a look costs the host something, and nobody tells us when it is well
    yield {}


def _passed(project: Project, hosts: Checks) -> set[str]:
    """The ids of checks that some of these hosts passes."""
    failing = _failing(project, hosts, quiet=True)
    return {c["id"] for host, checks in hosts.items() for c in checks if c["id"] not in failing.get(host, {})}


def _only(found: Mapping[str, Result], ids: Collection[str]) -> dict[str, Result]:
    return {id: result for id, result in found.items() if id in ids or id == "reach"}


def _failing(project: Project, hosts: Checks, *, quiet: bool) -> dict[str, dict[str, Result]]:
    """Host -> its checks that it does not pass. quiet: also those that only repeat another trouble."""
    from swarmops.delivery.access import access_to

    targets = []
    for name, checks in hosts.items():
        host = project.inventory.hosts[name]
        roles = dict.fromkeys(c["role"] for c in checks)
        declared = host.vars.get("latency_class")
        targets.append(Target(name, tuple(roles), list(checks), access_to(host, project.store), declared))
    seen = look(targets, project.state / "known_hosts")
    bad = {h.name: {r.id: r for r in h.results if r.state not in WELL and (quiet or not r.quiet)} for h in seen.hosts}
    return {name: found for name, found in bad.items() if found}
