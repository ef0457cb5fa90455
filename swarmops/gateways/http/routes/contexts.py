"""Contexts: bytes kept by the SHA-256 of their content, for tasks to refer to (pages, images, models)."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from swarmops.gateways.http.router import done, needs, runtime, subject
from swarmops.runtime.errors import Invalid

router = subject("contexts")
REF = r"^(ctx:)?[0-9a-f]{64}$"
TYPE = r"^[a-z0-9][a-z0-9.+-]{0,40}/[a-z0-9][a-z0-9.+-]{0,60}$"
Ref = Annotated[str, Path(pattern=REF, description="ctx:<sha256>")]
# What a browser would run or render as a page of ours is only given as bytes.
_QUIET = re.compile(r"image/(png|jpeg|webp|gif)|application/(pdf|json|octet-stream)|text/(plain|csv)|audio/.*|video/.*")
BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


class Kept(BaseModel):
    """What is kept. size, stored: bytes, as given and as packed; times in ms."""

    ref: str
    id: str
    size: int
    stored: int
    chunks: int
    codec: str
    source: str
    created: int
    expires: int
    new: bool
    ratio: float


@router.put(
    "/api/contexts", status_code=201, response_model=Kept, dependencies=[needs("submit", "agent")],
    openapi_extra={"requestBody": {"required": True, **BYTES}},
)  # fmt: skip
async def store(
    request: Request,
    source: Annotated[str, Query(max_length=500, pattern=r"^[ -~]*$", description="where it comes from")] = "",
    ttl: Annotated[float, Query(ge=1, le=31_536_000, description="seconds kept after its last use")] = 86_400.0,
) -> Any:
    """Keep the body. The same content is kept once."""
    body = await request.body()
    if not body:
        raise Invalid("body", "is empty")
    return done((await runtime(request).contexts.store(body, source, ttl)).as_dict(), 201)


@router.get(
    "/api/contexts/{ref}",
    response_class=Response,
    responses={200: BYTES},
    dependencies=[needs("read", "submit", "agent")],
)
async def read(
    request: Request,
    ref: Ref,
    type: Annotated[str, Query(pattern=TYPE, description="what it is, as image/png")] = "application/octet-stream",
) -> Response:
    """Exactly what was stored, as a file to keep: never as a page."""
    if not _QUIET.fullmatch(type):
        raise Invalid("type", f"{type} is not given out as such; application/octet-stream is")
    data = await runtime(request).contexts.read(ref)
    name = f"{ref.removeprefix('ctx:')[:16]}.{type.partition('/')[2].partition('+')[0]}"
    head = {"content-disposition": f'attachment; filename="{name}"', "content-type": type}
    return Response(data, headers=head)


@router.get("/api/contexts/{ref}/about", response_model=Kept, dependencies=[needs("read", "submit", "agent")])
async def about(request: Request, ref: Ref) -> Any:
    """Size, source and how long it is kept; asking renews it."""
    return done((await runtime(request).contexts.about(ref)).as_dict())
