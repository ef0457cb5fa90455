"""What backups there are and whether they are good, as `swarmops collect-backups --publish` said it."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request

from swarmops.gateways.http.router import Body, done, needs, runtime, subject
from swarmops.web.answers import Json
from swarmops.web.guard import grant_of

router = subject("fleet")


class Kept(Body):
    """One backup of one host. verified: None when nobody has looked."""

    host: str = Field(min_length=1, max_length=253)
    backup: str = Field(min_length=1, max_length=253)
    at_ms: int = Field(ge=0, le=1 << 53)
    bytes: int = Field(ge=0, le=1 << 60)
    verified: bool | None = None


class Sets(Body):
    sets: list[Kept] = Field(max_length=5000)


@router.get("/api/backups", dependencies=[needs("read")])
async def backups(request: Request) -> Json:
    """The backups of the last collection; published_ms: None when none was published yet."""
    held = await runtime(request).fleet.published("backups")
    sets: Any = held.value if held else []
    return done({"sets": sets, "published_ms": held.at_ms if held else None})


@router.post("/api/backups", dependencies=[needs("admin")])
async def publish(request: Request, said: Sets) -> Json:
    """Replace what is known of the backups."""
    grant = grant_of(dict(request.scope))
    sets = [one.model_dump() for one in said.sets]
    at = await runtime(request).fleet.publish("backups", sets, grant.id if grant else "")
    return done({"published_ms": at, "sets": len(sets)})
