"""Swarms: groups of agents with an objective."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request
from pydantic import BaseModel, Field

from swarmops.gateways.http.router import Body, done, needs, runtime, subject
from swarmops.gateways.http.shapes import NAME, Limit, Name, Offset
from swarmops.runtime.registry.swarms import Swarm

router = subject("swarms")
SwarmId = Annotated[str, Path(pattern=NAME)]
Status = Literal["initializing", "active", "recovering", "interrupted", "completed", "failed"]


class NewSwarm(Body):
    """metadata: priority (high, normal, low), phase, capabilities, tags and what else is JSON."""

    objective: str = Field(min_length=1, max_length=4096)
    strategy: Literal["development", "research", "devops"] = "development"
    mode: Literal["mesh", "hierarchical"] = "mesh"
    max_agents: int = Field(5, ge=1, le=10_000)
    metadata: dict[str, Any] | None = None
    id: Name | None = None
    heartbeat: float | None = Field(None, ge=0.01, le=86_400)


class Change(Body):
    """One step to another status, and why."""

    status: Status
    why: str = Field("", max_length=200)


class ManySwarms(BaseModel):
    swarms: list[Swarm]


class Changed(BaseModel):
    id: str
    was: str
    status: str


class Archived(BaseModel):
    id: str
    status: str
    archived_ms: int
    reason: str


@router.post("/api/swarms", status_code=201, response_model=Swarm, dependencies=[needs("submit")])
async def create(request: Request, said: NewSwarm) -> Any:
    """A new swarm, initializing; it must beat, or it is interrupted."""
    given = said.model_dump(exclude={"objective"})
    return done((await runtime(request).swarms.create(said.objective, **given)).as_dict(), 201)


@router.get("/api/swarms", response_model=ManySwarms, dependencies=[needs("read")])
async def many(
    request: Request,
    status: Annotated[Status | None, Query()] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Any:
    """The newest first."""
    found = await runtime(request).swarms.list(status, limit=limit, offset=offset)
    return done({"swarms": [s.as_dict() for s in found]})


@router.get("/api/swarms/{id}", response_model=Swarm, dependencies=[needs("read")])
async def one(request: Request, id: SwarmId) -> Any:
    """One swarm."""
    return done((await runtime(request).swarms.get(id)).as_dict())


@router.patch("/api/swarms/{id}", response_model=Changed, dependencies=[needs("submit")])
async def change(request: Request, id: SwarmId, said: Change) -> Any:
    """To another status; 409 names those that are possible."""
    was = await runtime(request).swarms.status(id, said.status, said.why)
    return done({"id": id, "was": was, "status": said.status})


@router.delete("/api/swarms/{id}", response_model=Archived, dependencies=[needs("admin")])
async def remove(request: Request, id: SwarmId) -> Any:
    """Out of every index; it stays in the archive for seven days."""
    gone = await runtime(request).swarms.remove(id, "removed over HTTP")
    return done({"id": id, "status": gone.status, "archived_ms": gone.archived_ms, "reason": gone.reason})
