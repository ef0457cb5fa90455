"""The application: one router file a subject in routes/, wrapped in the manners of swarmops.web.

A file in routes/ has `router` (see router.py) and, where something must run beside the requests, an async context
manager `lifespan(app)`. It finds `app.state.runtime`, `.config`, `.pulse`, `.tokens`, `.counts` and `.stopping`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import pkgutil
import time
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

import swarmops.gateways.http.routes as subjects
from swarmops.gateways.http.config import Config
from swarmops.gateways.http.counts import Counts
from swarmops.gateways.http.document import document
from swarmops.gateways.http.router import Needs
from swarmops.gateways.http.tls import trusted
from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.errors import SwarmError
from swarmops.web.answers import Json, Wrong, answer
from swarmops.web.manners import polite
from swarmops.web.pulse import Pulse, impatient
from swarmops.web.strict import invalid
from swarmops.web.tokens import Tokens

OPEN = ("/api/health", "/docs", "/docs/page.js", "/docs/page.css")
FEW = {404: "there is nothing here", 405: "not this method; see the header Allow"}


def make_app(config: Config, runtime: AsyncRuntime, tokens: Tokens | None = None) -> FastAPI:
    """The whole API on `runtime`, which stays the caller's. Serve what `wrapped` makes of it.

    tokens: those that count; by default those of the configured file and those in Redis.
    """
    app = FastAPI(title="swarmops", openapi_url=None, docs_url=None, redoc_url=None, lifespan=_life)
    app.router.redirect_slashes = False
    state = app.state
    state.config, state.runtime, state.began = config, runtime, time.time()
    state.pulse, state.counts, state.stopping = Pulse(runtime.settings), Counts(), asyncio.Event()
    state.tokens = (tokens or Tokens(config.tokens)).with_store(runtime)
    state.trust = trusted(config)
    state.modules = modules()
    # Not include_router: routes as they are, those without parameters first (/api/tasks/next before /api/tasks/{id}).
    app.router.routes += sorted((r for m in state.modules for r in m.router.routes), key=_generality)
    for kind in (SwarmError, Wrong, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _answered)
    faults = [f"{r} asks for no scope and is not open" for r in app.routes if _unguarded(r)]
    assert not faults, "; ".join(faults)
    app.openapi = lambda: document(app, OPEN)  # type: ignore[method-assign]
    return app


def wrapped(app: FastAPI) -> Any:
    """The application behind guard, limits and counts: what is served."""
    config: Config = app.state.config
    inner = polite(
        app,
        tokens=app.state.tokens,
        hosts=config.all_hosts,
        open_paths=OPEN,
        origins=config.origins,
        body=config.limits.body,
        bodies={"/api/contexts": config.limits.context},
        rate=config.limits.rate,
        slow=config.limits.slow,
        pulse=app.state.pulse,
        away_paths=(*OPEN, "/openapi.json"),
    )
    return app.state.counts.counting(inner)


def modules() -> list[ModuleType]:
    """The files of routes/, by name."""
    found = sorted(m.name for m in pkgutil.iter_modules(subjects.__path__))
    return [importlib.import_module(f"{subjects.__name__}.{name}") for name in found]


def settings_for(settings: Any) -> Any:
    """Settings of the runtime that requests work on: quick to say that Redis is away."""
    return impatient(settings)


@contextlib.asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for work in (app.state.pulse.run(), app.state.tokens.run()):
            task = asyncio.create_task(work)
            stack.push_async_callback(_ended, task)
        for module in app.state.modules:
            if living := getattr(module, "lifespan", None):
                await stack.enter_async_context(living(app))
        yield
        app.state.stopping.set()


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _answered(request: Request, e: Exception) -> Response:
    if isinstance(e, RequestValidationError):
        return invalid(e.errors()).answer()
    if isinstance(e, HTTPException) and not isinstance(e, Wrong):
        head = {"allow": _allowed(request)} if e.status_code == 405 else e.headers
        said: Json = Wrong(e.status_code, FEW.get(e.status_code, str(e.detail)), headers=head).answer()
        return said
    return answer(e)


def _allowed(request: Request) -> str:
    """The methods of a path: those of all its routes, not only of the first one that fits."""
    routes = [r for r in request.app.routes if r.matches(request.scope)[0] != Match.NONE]
    return ", ".join(sorted({m for r in routes if r.path == routes[0].path for m in r.methods}))


def _generality(route: Any) -> list[bool]:
    return ["{" in part for part in route.path.split("/")]


def _unguarded(route: Any) -> bool:
    if not isinstance(route, APIRoute | APIWebSocketRoute):
        return True
    return not any(isinstance(d.call, Needs) for d in route.dependant.dependencies)
