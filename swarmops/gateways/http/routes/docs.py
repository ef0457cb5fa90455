"""The API described: /openapi.json for programs, with a token; /docs for people, empty until they give theirs."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import Request
from starlette.responses import Response

from swarmops.gateways.http.router import done, is_open, needs, subject

router = subject("docs")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
FILES = {
    "/docs": ("page.html", "text/html"),
    "/docs/page.js": ("page.js", "text/javascript"),
    "/docs/page.css": ("page.css", "text/css"),
}


@router.get(
    "/openapi.json", dependencies=[needs("read", "submit", "agent")],
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)  # fmt: skip
async def openapi(request: Request) -> Any:
    """This document."""
    return done(request.app.openapi())


@router.get("/docs", dependencies=[is_open()], include_in_schema=False)
@router.get("/docs/page.js", dependencies=[is_open()], include_in_schema=False)
@router.get("/docs/page.css", dependencies=[is_open()], include_in_schema=False)
async def page(request: Request) -> Response:
    """A static page without data, all of it from here."""
    name, kind = FILES[request.url.path]
    data = (files("swarmops.gateways.http") / "reader" / name).read_bytes()
    head = {"content-security-policy": POLICY, "content-type": f"{kind}; charset=utf-8", "cache-control": "no-cache"}
    return Response(data, headers=head)
