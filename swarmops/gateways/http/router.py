"""What routes are made of: strict reading, and the scope each of them asks for.

    router = subject("things")

    @router.get("/api/things", dependencies=[needs("read")])
    async def things(request: Request) -> Json:
        return Json({"things": await runtime(request).things.list()})

Errors of the runtime may simply be raised: they are answered as in web/answers.py. A route without `needs` or `is_open`
is refused when the application is made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from swarmops.gateways.http.config import Config
from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.errors import Late, SwarmError
from swarmops.web.answers import Json, Wrong, answer
from swarmops.web.guard import allow
from swarmops.web.strict import StrictRequest, check_type, invalid

T = TypeVar("T")


class Body(BaseModel):
    """The body of a request: no unknown field, and no field of another type than it says."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Fault(BaseModel):
    """One field that is wrong."""

    path: str
    error: str


class Problem(BaseModel):
    """What went wrong. path: the first field that is wrong; errors: all of them."""

    error: str
    path: str
    errors: list[Fault] | None = None


class StrictRoute(APIRoute):
    """Reads JSON strictly, and answers every error in the one form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        takes_json = self.body_field is not None

        async def strict(request: Request) -> Response:
            mine = StrictRequest(request.scope, request.receive)
            try:
                if takes_json and await mine.body():
                    check_type(mine.headers.get("content-type", ""))
                return await handler(mine)
            except RequestValidationError as e:
                return invalid(e.errors()).answer()
            except (SwarmError, Wrong) as e:
                return answer(e)
            except HTTPException:
                raise
            except Exception as e:
                return answer(e)

        return strict


def subject(tag: str) -> APIRouter:
    """A router for one subject of the API."""
    return APIRouter(route_class=StrictRoute, tags=[tag])


class Needs:
    """Asks for a token with one of these scopes. Without any: open to all."""

    def __init__(self, *any_of: str):
        self.any_of = any_of

    async def __call__(self, request: HTTPConnection) -> None:
        if self.any_of:
            allow(request.scope, *self.any_of)


def needs(*any_of: str) -> Any:
    """For `dependencies=[...]` of a route: read, submit, agent or admin; one of them is enough."""
    return Depends(Needs(*any_of), use_cache=False)


def is_open() -> Any:
    """For `dependencies=[...]` of a route that everybody may ask. Its path must also be in app.OPEN."""
    return Depends(Needs(), use_cache=False)


def runtime(connection: HTTPConnection) -> AsyncRuntime:
    """The runtime that requests work on."""
    found: AsyncRuntime = connection.app.state.runtime
    return found


def config(connection: HTTPConnection) -> Config:
    found: Config = connection.app.state.config
    return found


def stopping(connection: HTTPConnection) -> asyncio.Event:
    """Set when the server is to end: streams and long waits end then too."""
    found: asyncio.Event = connection.app.state.stopping
    return found


async def unless_stopping(request: Request, wanted: Awaitable[T]) -> T:
    """What is awaited, or Late as soon as the server is to end, or whoever asked has gone."""
    ends = [asyncio.ensure_future(stopping(request).wait()), asyncio.ensure_future(gone(request))]
    work = asyncio.ensure_future(wanted)
    try:
        await asyncio.wait([*ends, work], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise Late("this server is about to end: ask again")
        return await work
    finally:
        for end in ends:
            end.cancel()
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, SwarmError):
                await work


async def gone(request: Request) -> None:
    """Ends when whoever asked has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def done(value: Any, status: int = 200, **headers: str) -> Json:
    return Json(value, status, headers or None)
