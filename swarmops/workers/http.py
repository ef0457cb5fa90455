"""The HTTP door of a worker: /health for everybody, /metrics and the executors' routes for those with a token."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from swarmops.runtime.errors import SwarmError
from swarmops.web.answers import Json, Wrong, answer
from swarmops.web.guard import Guard, Hosts, Limits, grant_of
from swarmops.web.serving import listening, serve
from swarmops.web.tokens import Tokens
from swarmops.workers.metrics import page

if TYPE_CHECKING:
    from swarmops.workers.process import WorkerProcess

RATE = 200.0  # requests a second of one caller


def make_app(process: WorkerProcess, tokens: Tokens | None) -> Any:
    """The ASGI application, with everything that stands before it. Without tokens whoever reaches it may do all."""

    async def health(request: Request) -> Json:
        why = await process.complaints()
        out = process.away or process.draining
        status = "draining" if process.draining else "degraded" if why else "ok"
        said: dict[str, Any] = {"status": status, "role": ",".join(process.config.roles)}
        if grant_of(dict(request.scope)):
            said |= _more(process, why)
        return Json(said, 503 if out else 200)

    async def metrics(request: Request) -> PlainTextResponse:
        return PlainTextResponse(page(process), media_type="text/plain; version=0.0.4")

    own = [route for executor in process.executors.values() for route in executor.routes()]
    app: Any = Starlette(
        routes=[Route("/health", health), Route("/metrics", metrics), *own],
        exception_handlers={SwarmError: _said, Wrong: _said, HTTPException: _http, Exception: _said},
    )
    app = Limits(app, body=process.config.body, rate=RATE)
    app = Guard(app, tokens, {"/health"}, {"/metrics": ("read", "submit"), "": ("submit",)})
    return Hosts(app, _names(process))


async def _said(request: Request, e: Exception) -> Json:
    return answer(e)


async def _http(request: Request, e: Exception) -> Json:
    assert isinstance(e, HTTPException)
    return Wrong(e.status_code, "there is no such path" if e.status_code == 404 else str(e.detail)).answer()


def _names(process: WorkerProcess) -> set[str]:
    """The names under which it may be asked."""
    here = socket.gethostname().lower()
    return {*process.config.bind, *process.config.hosts, process.config.name, here, here.split(".")[0], "localhost"}


def _more(process: WorkerProcess, why: list[str]) -> dict[str, Any]:
    """What only those with a token are told."""
    return {
        "name": process.config.name,
        "why": why,
        "kinds": process.kinds,
        "capabilities": process.capabilities,
        "facts": process.facts,
        "lacking": process.lacking,
        "running": process.running,
        "queue": process.config.queue,
        "uptime_s": round(time.monotonic() - process.began, 1),
    }


@contextlib.asynccontextmanager
async def serving(process: WorkerProcess) -> AsyncIterator[asyncio.Task[None]]:
    """The door is open meanwhile. The task given ends by itself only if the door does. Raises Unavailable (an address
    that is taken), Invalid (the file of tokens)."""
    config = process.config
    tokens = Tokens.of_file(config.tokens) if config.tokens else None
    sockets = listening(config.bind, config.port or 0)
    stopping = asyncio.Event()
    app = make_app(process, tokens.with_store(process.runtime) if tokens else None)
    task = asyncio.create_task(serve(app, config.bind, config.port or 0, stopping=stopping, sockets=sockets))
    fresh = asyncio.create_task(tokens.run()) if tokens else None
    try:
        yield task
    finally:
        stopping.set()
        if fresh:
            fresh.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
