"""All the manners at once, each in its place: what an application of ours is wrapped in before it is served."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from swarmops.web.answers import Wrong
from swarmops.web.guard import Guard, Needs
from swarmops.web.limits import BODY, HEADERS, Hosts, Limits
from swarmops.web.pulse import Gate, Pulse
from swarmops.web.tokens import Tokens

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ASKED = ("Authorization", "Content-Type", "Last-Event-ID")
SHOWN = ("Retry-After", "Content-Disposition", "Location")
LOCAL = ("127.0.0.1", "::1", "localhost")
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-site"),
)
POLICY = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
)
FRESH = (b"cache-control", b"no-store")


def polite(
    app: Any,
    *,
    tokens: Tokens | None,
    hosts: Collection[str],
    open_paths: Collection[str] = ("/health",),
    needs: Needs | Mapping[str, Sequence[str]] | None = None,
    origins: Collection[str] = (),
    body: int = BODY,
    bodies: Mapping[str, int] | None = None,
    headers: int = HEADERS,
    rate: float = 200.0,
    slow: float = 30.0,
    pulse: Pulse | None = None,
    away_paths: Collection[str] = (),
) -> Any:
    """`app` behind all of them.

    hosts: names and addresses it answers under (loopback always). tokens: None for what only listens on loopback.
    pulse: with it, everything but `open_paths` and `away_paths` is 503 while Redis is away. The rest: see Guard
    and Limits.
    """
    inner = Gate(app, pulse, {*open_paths, *away_paths}) if pulse else app
    inner = Limits(inner, body, headers, rate, bodies=bodies, slow=slow)
    inner = Guard(inner, tokens, open_paths, needs, origins)
    if origins:
        inner = Origins(inner, origins)
    return Secured(Hosts(inner, {*hosts, *LOCAL}))


class Origins(CORSMiddleware):
    """CORS for listed origins only; all others see no CORS header at all (S17, case 86)."""

    def __init__(self, app: Any, origins: Collection[str]):
        super().__init__(
            app, allow_origins=origins, allow_methods=METHODS, allow_headers=ASKED, expose_headers=SHOWN, max_age=600
        )
        self.simple_headers = {}

    def preflight_response(self, request_headers: Any) -> Response:
        if not self.is_allowed_origin(request_headers["origin"]):
            return Wrong(400, "this origin is not on the list").answer()
        return super().preflight_response(request_headers)

    @staticmethod
    def allow_explicit_origin(headers: Any, origin: str) -> None:
        CORSMiddleware.allow_explicit_origin(headers, origin)
        headers["Access-Control-Expose-Headers"] = ", ".join(SHOWN)


class Secured:
    """Adds the headers that browsers heed, unless an answer has its own."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                said = list(message.get("headers", ()))
                there = {key.lower() for key, _ in said}
                said += [pair for pair in (*SECURITY, POLICY, FRESH) if pair[0] not in there]
                message = {**message, "headers": said}
            await send(message)

        await self.app(scope, receive, sending)
