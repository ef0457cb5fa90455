"""Tokens in Redis: made, listed and revoked over HTTP. Those of the deploy's file are not seen here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Request
from pydantic import BaseModel, Field

from swarmops.gateways.http.router import Body, done, needs, runtime, subject
from swarmops.gateways.http.shapes import NAME, Name
from swarmops.runtime.access import Token, issue

router = subject("tokens")
TokenId = Annotated[str, Path(pattern=NAME)]
Scope = Literal["read", "submit", "agent", "admin"]


class NewToken(Body):
    """lasts: seconds until it expires; without it, never."""

    id: Name
    scopes: list[Scope] = Field(min_length=1, max_length=4)
    lasts: float | None = Field(None, ge=1, le=315_360_000)
    note: str = Field("", max_length=200, pattern=r"^[ -~]*$")


class OneToken(BaseModel):
    id: str
    scopes: list[str]
    expires: float | None
    created_ms: int
    note: str


class MadeToken(OneToken):
    """token: what to send, shown this once."""

    token: str


class ManyTokens(BaseModel):
    tokens: list[OneToken]


class Revoked(BaseModel):
    id: str


@router.post("/api/tokens", status_code=201, response_model=MadeToken, dependencies=[needs("admin")])
async def create(request: Request, said: NewToken) -> Any:
    """A new token. Only its hash is kept: this answer is the only one that shows it."""
    text, digest = issue(said.id)
    made: Token = await runtime(request).access.create(said.id, digest, said.scopes, said.lasts, said.note)
    return done({"token": text, **made.as_dict()}, 201)


@router.get("/api/tokens", response_model=ManyTokens, dependencies=[needs("admin")])
async def many(request: Request) -> Any:
    """All tokens in Redis, without what would open anything."""
    return done({"tokens": [t.as_dict() for t in await runtime(request).access.list()]})


@router.delete("/api/tokens/{id}", response_model=Revoked, dependencies=[needs("admin")])
async def revoke(request: Request, id: TokenId) -> Any:
    """It counts no more: here at once, elsewhere within seconds."""
    await runtime(request).access.revoke(id)
    await request.app.state.tokens.refresh()
    return done({"id": id})
