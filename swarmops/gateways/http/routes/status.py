"""Whether all is well, and how much there is of what: /api/health, /api/status, /api/leader, /metrics."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from swarmops import __version__
from swarmops.gateways.http.router import config, done, is_open, needs, runtime, subject
from swarmops.runtime.observe.prometheus import prometheus
from swarmops.runtime.observe.stats import Snapshot, alerts
from swarmops.web.guard import grant_of

router = subject("status")
TEXT: dict[int | str, Any] = {200: {"content": {"text/plain": {}}}}


class Health(BaseModel):
    status: str


@router.get(
    "/api/health", response_model=Health, dependencies=[is_open()], responses={503: {"model": Health}}
)  # fmt: skip
async def health(request: Request) -> Any:
    """200 while this server and its Redis are there. No detail: anybody may ask."""
    up = request.app.state.pulse.up and not request.app.state.stopping.is_set()
    return done({"status": "ok" if up else "down"}, 200 if up else 503)


class RedisStatus(BaseModel):
    place: str
    ok: bool
    used_memory: int | None
    maxmemory: int | None
    round_trip_ms: float


class Status(BaseModel):
    version: str
    uptime_s: float
    redis: RedisStatus
    queues: dict[str, dict[str, int | float | None]]
    agents: dict[str, int]
    swarms: dict[str, int]
    leader: dict[str, Any] | None
    alerts: list[dict[str, Any]]
    scopes: list[str]


@router.get("/api/status", response_model=Status, dependencies=[needs("read")])
async def status(request: Request) -> Any:
    """Everything at one look: Redis, queues, agents, swarms, the leader, what is above its limit; and your scopes."""
    rt = runtime(request)
    found: Snapshot = await rt.stats.snapshot(config(request).queues)
    who = await rt.leader.who()
    registry, state = found.registry, request.app.state
    return done(
        {
            "version": __version__,
            "uptime_s": round(time.time() - state.began, 1),
            "redis": {
                "place": rt.settings.place,
                "ok": state.pulse.up,
                "used_memory": found.server.get("used_memory"),
                "maxmemory": found.server.get("maxmemory"),
                "round_trip_ms": state.pulse.round_trip_ms,
            },
            "queues": {q.name: {**q.counters, **q.depth, **_means(q)} for q in found.queues},
            "agents": {"alive": registry.agents_alive, "all": registry.agents},
            "swarms": registry.swarms,
            "leader": _leader(who),
            "alerts": [a.as_dict() for a in alerts(found, most=rt.settings.swarm_max)],
            "scopes": sorted(grant.scopes) if (grant := grant_of(request.scope)) else [],
        }
    )


def _means(queue: Any) -> dict[str, float | None]:
    return {"mean_wait_ms": queue.wait_ms, "mean_run_ms": queue.run_ms}


class Leading(BaseModel):
    leader: dict[str, Any] | None


@router.get("/api/leader", response_model=Leading, dependencies=[needs("read")])
async def leader(request: Request) -> Any:
    """Who leads, with its fencing token; null when nobody does."""
    who = await runtime(request).leader.who()
    return done({"leader": _leader(who)})


def _leader(who: Any) -> dict[str, Any] | None:
    return who and {"id": who.holder, "term": who.term, "since_ms": who.since_ms, "expires_ms": who.until_ms}


@router.get("/metrics", dependencies=[needs("read")], response_class=Response, responses=TEXT)
async def metrics(request: Request) -> Response:
    """Prometheus text: the numbers of the runtime, and requests by route."""
    found = await runtime(request).stats.snapshot(config(request).queues)
    text = prometheus(found) + request.app.state.counts.text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
