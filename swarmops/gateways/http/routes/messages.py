"""Messages: into inboxes (agent.<id>, swarm.<id>) that keep them until acknowledged, and channels."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Request
from pydantic import BaseModel, Field

from swarmops.gateways.http.router import Body, done, needs, runtime, subject
from swarmops.gateways.http.shapes import NAME, Many, Name
from swarmops.runtime.messages.envelope import Envelope
from swarmops.web.guard import grant_of

router = subject("messages")
ADDRESS = r"^(agent|swarm)\.[a-z0-9][a-z0-9_-]{0,62}$"
TYPE = r"^[a-z0-9_-]{1,40}(\.[a-z0-9_-]{1,40}){0,4}$"
MARK = r"^[0-9]{1,15}-[0-9]{1,15}$"
Inbox = Annotated[str, Path(pattern=ADDRESS)]
Channel = Annotated[str, Path(pattern=NAME)]


class NewMessage(Body):
    """to: an inbox, or the name of a channel; ttl: seconds after which nobody wants it (0: never)."""

    to: str = Field(pattern=rf"{ADDRESS}|{NAME}")
    type: str = Field(pattern=TYPE)
    payload: Any = None
    id: Name | None = None
    correlation: Name | None = None
    ttl: float = Field(0.0, ge=0, le=604_800)


class Sent(BaseModel):
    """new: false when this id was sent before; waiting: messages in that inbox; members: of the channel."""

    id: str
    to: str
    new: bool
    waiting: int
    members: int


class OneMessage(BaseModel):
    id: str
    type: str
    to: str
    sender: str
    timestamp_ms: int
    version: int
    payload: Any = None
    correlation: str
    retry_count: int
    mark: str


class ManyMessages(BaseModel):
    messages: list[OneMessage]


class Handled(Body):
    marks: list[Annotated[str, Field(pattern=MARK)]] = Field(min_length=1, max_length=1000)


@router.post("/api/messages", status_code=202, response_model=Sent, dependencies=[needs("submit")])
async def send(request: Request, said: NewMessage) -> Any:
    """Send, signed with the id of the token: nobody can speak for another."""
    grant = grant_of(request.scope)
    room = runtime(request).messages.bound(grant.id if grant else "client")
    more: dict[str, Any] = {"id": said.id or ""}
    if "." in said.to:
        more |= {"correlation": said.correlation or "", "ttl": said.ttl}
        return done((await room.send(said.to, said.type, said.payload, **more)).as_dict(), 202)
    return done((await room.broadcast(said.type, said.payload, channel=said.to, **more)).as_dict(), 202)


@router.get("/api/messages/history/{channel}", response_model=ManyMessages, dependencies=[needs("read")])
async def history(request: Request, channel: Channel, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Any:
    """What was said in a channel in the last hour, the newest first. `dead`: what was given up."""
    return _shown(await runtime(request).messages.history(channel, limit))


@router.get("/api/messages/{inbox}", response_model=ManyMessages, dependencies=[needs("submit", "agent")])
async def take(request: Request, inbox: Inbox, count: Annotated[int, Query(ge=1, le=1000)] = 64) -> Any:
    """Take messages: nobody else gets them for a minute. Acknowledge them when they are handled."""
    return _shown(await runtime(request).messages.take(inbox, count))


@router.post("/api/messages/{inbox}/ack", response_model=Many, dependencies=[needs("submit", "agent")])
async def ack(request: Request, inbox: Inbox, said: Handled) -> Any:
    """They are handled: forget them. How many were still there."""
    return done({"count": await runtime(request).messages.ack(inbox, *said.marks)})


def _shown(found: list[Envelope]) -> Any:
    return done({"messages": [_one(e) for e in found]})


def _one(envelope: Envelope) -> dict[str, Any]:
    said = envelope.to_json()
    return {**said, "sender": said.pop("from"), "timestamp_ms": said.pop("timestamp")}
