"""One page about the fleet: every node's state and why, and where every service is (S4-09, S4-49)."""

from __future__ import annotations

import time
from typing import Any

from swarmops.health.verdict import HostHealth, State, Verdict, worst
from swarmops.model.addresses import address
from swarmops.model.project import Project
from swarmops.operate import loopback
from swarmops.operate.nodes import BY_HAND, Book, judge

WORDS = {State.OK: "well", State.WARNING: "degraded", State.CRITICAL: "down", State.UNKNOWN: "unknown"}
MORE = {"coordinator": {"docs": "/docs", "metrics": "/metrics"}, "ai": {"embeddings": "/v1/embeddings"}}


def survey(project: Project, verdict: Verdict, book: Book, now: float | None = None) -> dict[str, Any]:
    """The document. The book is not changed: one look is no history, so a node that does not answer is offline."""
    at = time.time() if now is None else now
    looks = {h.name: h for h in verdict.hosts}
    nodes = []
    for name, host in project.inventory.hosts.items():
        node = judge(book.get(name), book.past(name), looks.get(name), at, patient=False)
        roles = [r for r in looks[name].roles if r in verdict.services] if name in looks else []
        nodes.append(
            {"node": name, "status": str(node.status), "why": node.why, "roles": roles, "address": address(host)}
        )
    return {
        "schema": "swarmops.status/1",
        "at": round(at, 3),
        "deployment": project.name,
        "tier": project.tier,
        "nodes": nodes,
        "services": [{**row, "state": state_of(row["service"], looks.get(row["node"]))} for row in urls(project)],
    }


def state_of(service: str, look: HostHealth | None) -> str:
    """well, degraded, down, or unknown when nobody looked or the look said nothing."""
    if look is None:
        return "unknown"
    mine = [r.state for r in look.results if r.id == "reach" or r.service == service]
    return WORDS[worst(mine)] if len(mine) > 1 or worst(mine) is not State.OK else "unknown"


def urls(project: Project) -> list[dict[str, Any]]:
    """Where each service is on each of its hosts: {service, node, url, more: {name: url}}; `more` of one on loopback
    has the `tunnel` to it, a command."""
    found = []
    placed = project.distributed.hosts_of(project.inventory)
    for service, told in project.distributed.services.items():
        for host in placed.get(service, []):
            port = host.vars.get(f"{service}_port", told.get("port"))
            base = project.distributed.base(service, host, port) if port else ""
            if not base or service in loopback.PORTS:
                continue
            more = {what: base + path for what, path in MORE.get(service, {}).items()}
            health = {"health": base + told["path"]} if told.get("path") else {}
            found.append({"service": service, "node": host.name, "url": base, "more": {**health, **more}})
    return found + loopback.doors(project)


def watched(project: Project, book: Book) -> list[str]:
    """The hosts that are looked at: all but those taken out of service by hand for good."""
    return [n for n in project.inventory.hosts if book.get(n).hand != BY_HAND[1]]


def services_of(project: Project) -> tuple[str, ...]:
    """The roles that serve others: those with a place in `services` and hosts, and those on loopback."""
    placed = project.distributed.infrastructure
    return tuple(s for s in dict.fromkeys([*project.distributed.services, *loopback.PORTS]) if s in placed)
