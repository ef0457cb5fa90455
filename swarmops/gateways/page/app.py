"""The application: the page's files, which coordinator it belongs to, and that the process is well."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swarmops.gateways.page.files import File, read_files

__all__ = ["make_app"]


def make_app(coordinator: str, files: Mapping[str, File] | None = None) -> ASGIApp:
    """coordinator: origin of the API, `http://172.16.168.20:8002`. Raises Invalid when the page is not built."""
    table = read_files() if files is None else files
    index = table["index.html"]

    def file(request: Request) -> Response:
        path = request.path_params["path"]
        found = table.get(path)
        if found is None and "." not in path and not path.startswith("assets/"):
            found = index  # an address within the page, typed or kept as a bookmark
        return _answer(request, found) if found else PlainTextResponse("there is no such file\n", 404)

    def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "role": "frontend"}, headers={"Cache-Control": "no-store"})

    def config(request: Request) -> Response:
        return JSONResponse({"coordinator": coordinator}, headers={"Cache-Control": "no-store"})

    routes = [Route("/health", health), Route("/config.json", config), Route("/{path:path}", file)]
    return Headers(Starlette(routes=routes), coordinator)


def _answer(request: Request, file: File) -> Response:
    headers = {"ETag": file.tag, "Cache-Control": file.cache, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    body = file.body
    if file.zipped and "gzip" in request.headers.get("accept-encoding", ""):
        body = file.zipped
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type=file.type, headers=headers)


class Headers:
    """Sends with every answer what a browser may do with it: own scripts only, one coordinator, in no frame."""

    def __init__(self, app: ASGIApp, coordinator: str):
        self.app = app
        policy = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
            f"manifest-src 'self'; connect-src 'self' {coordinator}; base-uri 'none'; form-action 'none'; "
            f"frame-ancestors 'none'"
        )
        self.headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self.headers]
            await send(message)

        await self.app(scope, receive, more if scope["type"] == "http" else send)
