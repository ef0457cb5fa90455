"""One page about the fleet: every node's state and why, and where every service is (S4-09, S4-49)."""

from __future__ import annotations

import time
from typing import Any

from swarmops.health.verdict import Verdict
from swarmops.model.inventory import Host
from swarmops.model.network import address
from swarmops.model.project import Project
from swarmops.operate.nodes import BY_HAND, Book, judge

MORE = {"coordinator": {"docs": "/docs", "metrics": "/metrics"}, "ai": {"embeddings": "/v1/embeddings"}}
SCHEMES = {"redis": "redis"}


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
    ill = verdict.ill()
    return {
        "schema": "swarmops.status/1",
        "at": round(at, 3),
        "deployment": project.name,
        "tier": project.tier,
        "nodes": nodes,
        "services": [
            {**row, "state": "down" if row["node"] in ill.get(row["service"], ([], 0))[0] else "well"}
            for row in urls(project)
        ],
    }


def urls(project: Project) -> list[dict[str, Any]]:
    """Where each service is on each of its hosts: {service, node, url, more: {name: url}}."""
    found = []
    placed = project.distributed.hosts_of(project.inventory)
    for service, told in project.distributed.services.items():
        for host in placed.get(service, []):
            base = _base(service, told, host)
            if not base:
                continue
            more = {what: base + path for what, path in MORE.get(service, {}).items()}
            health = {"health": base + told["path"]} if told.get("path") else {}
            found.append({"service": service, "node": host.name, "url": base, "more": {**health, **more}})
    return found


def _base(service: str, told: dict[str, Any], host: Host) -> str:
    port = host.vars.get(f"{service}_port", told.get("port"))
    at = address(host)
    return (
        f"{told.get('scheme') or SCHEMES.get(service, 'http')}://{f'[{at}]' if ':' in at else at}:{port}"
        if port
        else ""
    )


def watched(project: Project, book: Book) -> list[str]:
    """The hosts that are looked at: all but those taken out of service by hand for good."""
    return [n for n in project.inventory.hosts if book.get(n).hand != BY_HAND[1]]


def services_of(project: Project) -> tuple[str, ...]:
    """The roles that serve others: those with a place in `services` and hosts."""
    placed = project.distributed.infrastructure
    return tuple(s for s in project.distributed.services if s in placed)
