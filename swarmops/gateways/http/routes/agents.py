"""Agents as registered, and the kinds of tasks they do. They themselves come in by agent_door and websocket."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Request
from pydantic import BaseModel

from swarmops.gateways.http.router import done, needs, runtime, subject
from swarmops.gateways.http.shapes import NAME, Ids

router = subject("agents")
AgentId = Annotated[str, Path(pattern=NAME)]
Capability = Annotated[list[Annotated[str, Query(pattern=NAME)]], Query(max_length=64)]


class OneAgent(BaseModel):
    """health: alive, suspect or dead; status: its own word; load: tasks it has open."""

    id: str
    health: str
    status: str
    load: int
    parent: str | None
    beat_ms: int
    registered_ms: int
    capabilities: list[str]
    facts: dict[str, Any]
    metadata: dict[str, Any]


class ManyAgents(BaseModel):
    agents: list[OneAgent]


class KindCount(BaseModel):
    agents: int


class AllKinds(BaseModel):
    kinds: dict[str, KindCount]


@router.get("/api/agents", response_model=ManyAgents, dependencies=[needs("read")])
async def many(request: Request, capability: Capability = [], dead: bool = False) -> Any:  # noqa: B006
    """All agents, or those that have all these capabilities. dead: also those not yet swept."""
    agents = runtime(request).agents
    found = await (agents.find(capability, dead=dead) if capability else agents.list(dead=dead))
    return done({"agents": [a.as_dict() for a in found]})


@router.get("/api/agents/{id}", response_model=OneAgent, dependencies=[needs("read")])
async def one(request: Request, id: AgentId) -> Any:
    """One agent, with its facts."""
    return done((await runtime(request).agents.get(id)).as_dict())


@router.delete("/api/agents/{id}", response_model=Ids, dependencies=[needs("admin")])
async def remove(request: Request, id: AgentId) -> Any:
    """Remove an agent and its children; one that lives registers again at its next beat."""
    return done({"ids": await runtime(request).agents.remove(id, "removed over HTTP")})


@router.get("/api/kinds", response_model=AllKinds, dependencies=[needs("read", "submit")])
async def kinds(request: Request) -> Any:
    """The types of tasks that somebody does, and how many agents do each."""
    known = request.app.state.kinds
    await known.refresh()
    return done({"kinds": {kind: {"agents": n} for kind, n in sorted(known.agents.items())}})
