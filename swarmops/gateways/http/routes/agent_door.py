"""Agents over plain HTTP: whoever can send a request can work (S1-13, S1-15 to S1-17). See docs/agents-http.md."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from swarmops.gateways.desk import Desk
from swarmops.gateways.http.hub import Hub
from swarmops.gateways.http.router import Body, Problem, done, gone, needs, stopping, subject
from swarmops.runtime.errors import SwarmError
from swarmops.web.answers import Json
from swarmops.web.guard import allow

router = subject("agents at work")
AGENT = [needs("agent")]
WAIT = 60.0  # seconds at most that a question for work may stay open
REFUSED: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "not this agent's, or not any more"}}


class Held(Body):
    task_id: str
    attempt: int = Field(ge=1)


class Registration(Body):
    """Who it is and what it can do. holds: what it still works on, after a break; left out by one that just started."""

    agent_id: str | None = None
    capabilities: list[str] | dict[str, Any] = Field(default_factory=list)
    kinds: list[str] = Field(default_factory=list)
    facts: dict[str, Any] = Field(default_factory=dict)
    queue: str | None = None
    capacity: int = Field(1, ge=1, le=100)
    config_version: int = Field(0, ge=0)
    holds: list[Held] | None = None


class Beat(Body):
    """holds: ids of tasks it works on. config_version: of the configuration that it has applied."""

    agent_id: str
    load: int | None = Field(None, ge=0, le=1_000_000)
    holds: list[str] = Field(default_factory=list)
    config_version: int = Field(0, ge=0)


class Leaver(Body):
    agent_id: str


class Report(Body):
    """How a task went. retry: false when another try would be in vain; retry_after: seconds until then."""

    agent_id: str
    task_id: str
    attempt: int = Field(ge=1)
    status: str = "completed"
    result: Any = None
    error: str | None = None
    retry: bool = True
    retry_after: float | None = Field(None, ge=0, le=86400)


class Progress(Body):
    agent_id: str
    task_id: str
    attempt: int = Field(ge=1)
    fraction: float = Field(0.0, ge=0, le=1)
    text: str = Field("", max_length=2000)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The desk for all agents of this process, and the hub that tells it what happens."""
    state = app.state
    state.hub = hub = Hub(state.runtime, state.config.queues)
    state.desk = desk = Desk(state.runtime, state.config.queues, state.config.agents)
    hub.hear(lambda: bool(desk.remotes), desk.heard)
    await desk.start()
    ender = asyncio.create_task(_at_the_end(app))
    try:
        yield
    finally:
        ender.cancel()
        await desk.close()
        await hub.close()


async def _at_the_end(app: FastAPI) -> None:
    """Streams end before the server waits for them; agents keep what they hold, for they will come back."""
    await app.state.stopping.wait()
    app.state.desk.closing = True
    await app.state.hub.close()


def desk_of(request: Any) -> Desk:
    """The desk of this process, which from now on hears what happens."""
    request.app.state.hub.wake()
    found: Desk = request.app.state.desk
    return found


def _door(method: str, *paths: str, **more: Any) -> Callable[[Any], Any]:
    """The first path is the documented one; the others are what agents of old ask for."""

    def add(function: Any) -> Any:
        for i, path in enumerate(paths):
            router.add_api_route(path, function, methods=[method], dependencies=AGENT, include_in_schema=i == 0, **more)
        return function

    return add


@_door("POST", "/api/agents/register", "/agents/register", "/api/register", responses=REFUSED)
async def register(request: Request, body: Registration) -> Json:
    """Register an agent, or register it again. Answers its id and how often it should be heard of, in seconds."""
    owner, desk = _who(request), desk_of(request)
    told = await desk.register(owner, body.model_dump(), "http")
    request.app.state.kinds.stale()
    return done(told)


@_door("POST", "/api/agents/heartbeat", "/agents/heartbeat", "/api/heartbeat", responses=REFUSED)
async def heartbeat(request: Request, body: Beat) -> Json:
    """Say that it lives. Answers which of `holds` it has lost. 404: it is not known, and must register again."""
    owner, desk = _who(request), desk_of(request)
    remote = await desk.known(owner, body.agent_id)
    if body.config_version > remote.config:
        await desk.applied(remote, body.config_version)
    said = await desk.heartbeat(remote, body.model_dump())
    if said["config_version"] > remote.config:
        said["config"] = desk.config[1]
    return done(said)


@_door("POST", "/api/agents/unregister", "/agents/unregister", "/api/unregister", responses=REFUSED)
async def unregister(request: Request, body: Leaver) -> Json:
    """Take an agent away; what it holds goes to others at once."""
    owner, desk = _who(request), desk_of(request)
    return done({"given_back": await desk.unregister(owner, body.agent_id)})


@_door(
    "GET",
    "/api/tasks/next",
    "/tasks/next",
    responses={**REFUSED, 204: {"description": "nothing to do; ask again"}},
)
async def next_task(request: Request, agent_id: str, wait: float = Query(25.0, ge=0, le=WAIT)) -> Response:
    """Ask for a task, waiting up to `wait` seconds for one. What it has and never reported is answered again."""
    owner, desk = _who(request), desk_of(request)
    remote = await desk.known(owner, agent_id)
    found = await _unless_gone(request, desk.next(remote, wait))
    return done(found) if found else Response(status_code=204)


@_door("POST", "/api/tasks/result", "/tasks/result", responses=REFUSED)
async def result(request: Request, body: Report) -> Json:
    """Report how a task went. Saying it twice is as once; 409 when the task is not this agent's any more."""
    owner, desk = _who(request), desk_of(request)
    why = await desk.result(await desk.known(owner, body.agent_id), body.model_dump())
    return done({"accepted": False, "error": why, "path": "attempt"}, 409) if why else done({"accepted": True})


@_door("POST", "/api/tasks/progress", "/tasks/progress", responses=REFUSED)
async def progress(request: Request, body: Progress) -> Json:
    """Say how far a task is. 409 when it is not this agent's any more."""
    owner, desk = _who(request), desk_of(request)
    await desk.progress(await desk.known(owner, body.agent_id), body.model_dump())
    return done({"noted": True})


def _who(request: Request) -> str:
    return allow(dict(request.scope), "agent").id


async def _unless_gone(request: Request, wanted: Coroutine[Any, Any, Any]) -> Any:
    """What is awaited; None when whoever asked has gone, or we are to end."""
    work = asyncio.ensure_future(wanted)
    ends = [asyncio.ensure_future(gone(request)), asyncio.ensure_future(stopping(request).wait())]
    try:
        await asyncio.wait([work, *ends], return_when=asyncio.FIRST_COMPLETED)
        return await work if work.done() else None
    finally:
        for one in (work, *ends):
            if not one.done():
                one.cancel()
                with contextlib.suppress(asyncio.CancelledError, SwarmError):
                    await one
