"""The fleet: every node with its services, how they answer, and what check-health found (S4-39, S4-44)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI, Query
from starlette.requests import Request

from swarmops.gateways.http.router import config, done, needs, runtime, subject
from swarmops.gateways.http.watch import CRITICAL, OK, UNKNOWN, Seen, Watch, worst
from swarmops.runtime.errors import Invalid
from swarmops.runtime.fleet import Published
from swarmops.web.answers import Json
from swarmops.web.guard import grant_of

router = subject("fleet")
SCHEMA = "swarmops.health/1"
OLD = 900.0  # seconds after which what check-health found says nothing of now
POINTS = 400  # of one series


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The watch over the services that the configuration names."""
    app.state.watch = watch = Watch(app.state.runtime, app.state.config.services, app.state.trust)
    looking = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


@router.get("/api/fleet", dependencies=[needs("read")])
async def fleet(request: Request) -> Json:
    """Every node that was declared: its services as they answer now, and the checks of the last check-health."""
    health = await runtime(request).fleet.published("health")
    watch: Watch = request.app.state.watch
    nodes = [_node(declared, watch.seen, _host(health, declared), health) for declared in config(request).nodes]
    return done({"at_ms": round(time.time() * 1000), "nodes": nodes, "links": _links(nodes, health)})


@router.post("/api/fleet", dependencies=[needs("admin")])
async def publish(request: Request, document: dict[str, Any]) -> Json:
    """Take what `swarmops check-health --json` said of the whole fleet."""
    if document.get("schema") != SCHEMA or not isinstance(document.get("hosts"), list):
        raise Invalid("schema", f"the document is not one of {SCHEMA}")
    for i, host in enumerate(document["hosts"]):
        if not isinstance(host, dict) or not isinstance(host.get("host"), str) or not _checks(host):
            raise Invalid(f"hosts[{i}]", "is not an object with host and checks")
    grant = grant_of(dict(request.scope))
    at = await runtime(request).fleet.publish("health", document, grant.id if grant else "")
    return done({"published_ms": at, "hosts": len(document["hosts"])})


@router.get("/api/fleet/history", dependencies=[needs("read")])
async def history(request: Request, minutes: float = Query(60.0, gt=0, le=1440)) -> Json:
    """How fast each service answered: series of [ms since the epoch, latency in ms or null]."""
    samples = await runtime(request).fleet.samples(minutes)
    every = max(1, len(samples) // POINTS)
    series: dict[str, list[list[float | None]]] = {}
    for i, (at, latencies) in enumerate(samples):
        lapse = i % every == 0
        for name, latency in latencies.items():
            if lapse or latency is None:  # a failure is never thinned out
                series.setdefault(name, []).append([at, latency])
    return done({"series": series})


def _checks(host: Mapping[str, Any]) -> bool:
    checks = host.get("checks")
    return isinstance(checks, list) and all(isinstance(c, dict) for c in checks)


def _host(health: Published | None, node: Mapping[str, Any]) -> dict[str, Any] | None:
    hosts = health.value["hosts"] if health else ()
    return next((h for h in hosts if h["host"] == node.get("name")), None)


def _node(
    declared: Mapping[str, Any], seen: list[Seen], host: Mapping[str, Any] | None, health: Published | None
) -> dict[str, Any]:
    name = declared.get("name", "")
    services = [s.now() for s in seen if s.node == name]
    states = [s["state"] for s in services]
    whys = [f"{s['role'] or s['name']}: {s['why']}" for s in services if s["state"] != OK]
    checked = health.at_ms if health and host else None
    fresh = checked is not None and time.time() - checked / 1000 < OLD
    checks = [_check(c) for c in (host or {}).get("checks", ())]
    if host and fresh:
        states.append(_state(host.get("state")))
        whys += [f"{c['name']}: {c['detail']}" for c in checks if c["state"] != OK]
    if not states:
        whys.append("check-health found it long ago" if host else "nothing of it was looked at yet")
    return {
        "name": name,
        "roles": list(declared.get("roles", ())),
        "address": declared.get("address"),
        "mesh_address": declared.get("mesh_address"),
        "state": worst(states),
        "why": "; ".join(whys)[:1000],
        "services": services,
        "checks": checks,
        "checked_ms": checked,
    }


def _state(word: Any) -> str:
    """Nagios' words as ours."""
    small = str(word).lower()
    return small if small in (OK, "warning", CRITICAL) else UNKNOWN


def _check(said: Mapping[str, Any]) -> dict[str, Any]:
    named = str(said.get("name") or said.get("id") or "")[:200]
    return {
        "name": f"{said['role']}: {named}" if said.get("role") else named,
        "state": _state(said.get("state")),
        "detail": str(said.get("detail") or "")[:500],
    }


def _links(nodes: list[dict[str, Any]], health: Published | None) -> list[dict[str, Any]]:
    """Ways between nodes: what check-health measured on them, and from us to each service.

    A host knows the oldest handshake with any of its peers, so that of one pair is at most the younger of the two.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def way(a: str, b: str) -> dict[str, Any]:
        key = (a, b) if (b, a) not in found else (b, a)
        return found.setdefault(key, {"from": a, "to": b, "latency_ms": None, "handshake_age_s": None})

    here = next((n["name"] for n in nodes if "coordinator" in n["roles"]), None)
    for node in nodes if here else ():
        latencies = [s["latency_ms"] for s in node["services"] if s["latency_ms"] is not None]
        if node["name"] != here and node["services"]:
            way(str(here), node["name"])["latency_ms"] = min(latencies, default=None)
    names, ages = {n["name"] for n in nodes}, dict[str, float]()
    for host in health.value["hosts"] if health else ():
        for check in host["checks"]:
            value = check.get("value")
            if host["host"] not in names or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            to = str(check.get("name", "")).removeprefix("to ")
            if check.get("probe") == "latency" and to in names and to != host["host"]:
                way(host["host"], to)["latency_ms"] = value
            elif check.get("probe") == "wireguard":
                ages[host["host"]] = value
    for a, b in itertools.combinations(sorted(ages), 2):
        way(a, b)["handshake_age_s"] = min(ages[a], ages[b])
    return list(found.values())
