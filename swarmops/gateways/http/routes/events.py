"""What happens, as it happens: server-sent events, and the newest ones for those who ask now and then (S4-44)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from swarmops.gateways.http.hub import Hub, marks_of
from swarmops.gateways.http.router import config, done, needs, runtime, stopping, subject
from swarmops.web.answers import Json

router = subject("events")
BEAT = 15.0  # seconds after which a quiet stream says that it is there
MOST = 200  # streams at once
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "events, each with an id to go on from"}
}


@router.get("/api/events", dependencies=[needs("read")], responses=STREAM)
async def events(request: Request, since: str | None = Query(None, max_length=10_000)) -> Response:
    """Server-sent events from now on, or after `since` (an id, or milliseconds) or the header Last-Event-ID.

    A client that lags far behind is cut off, and goes on from its last id when it asks again.
    """
    hub: Hub = request.app.state.hub
    last = request.headers.get("last-event-id") or since
    marks = marks_of(last) if last else None
    if len(hub.clients) >= MOST:
        return done({"error": f"{MOST} streams are open, which is the most", "path": ""}, 503, **{"retry-after": "5"})
    return StreamingResponse(
        _until_the_end(request, hub.follow(marks, BEAT)),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _until_the_end(request: Request, texts: AsyncIterator[str]) -> AsyncIterator[str]:
    """The same, ending when the server is to end."""
    end = stopping(request)
    async for text in texts:
        yield text
        if end.is_set():
            return


@router.get("/api/events/recent", dependencies=[needs("read")])
async def recent(
    request: Request, limit: int = Query(100, ge=1, le=1000), since: int = Query(0, ge=0, le=1 << 50)
) -> Json:
    """The newest events not before `since` (ms), the oldest of them first."""
    found = await runtime(request).events.read(since, config(request).queues, limit)
    return done({"events": [event.to_json() for event in found]})
