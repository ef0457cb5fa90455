"""What is answered when something is wrong: one JSON form for all, `{"error": sentence, "path": field}`.

No answer tells of our insides: what we did wrong ourselves is in the log, and the caller hears only that it is there.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from swarmops.runtime.errors import (
    Forbidden,
    Full,
    Invalid,
    Misconfigured,
    NotFound,
    SwarmError,
    TooLarge,
    Unavailable,
)
from swarmops.runtime.messages.records import retry_after

SHOWN = 2000  # characters of a sentence
FAULTS = 50  # wrong fields named in one answer
AGAIN = 5  # seconds until a queue that is full may have room
OURS = "something went wrong here; what it was is in the log"
log = logging.getLogger(__name__)


class Json(Response):
    """Compact JSON. What was stored by others may hold what JSON should not: it is shown, and is no fault of ours."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        try:
            return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except ValueError:  # NaN, or half a surrogate
            return json.dumps(_plain(content), separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


class Wrong(HTTPException):
    """An answer that ends the request. errors: all wrong fields, as (path, sentence)."""

    def __init__(
        self,
        status: int,
        sentence: str,
        path: str = "",
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(status, sentence, dict(headers or {}))
        self.status, self.sentence, self.path, self.errors = status, sentence, path, errors

    def answer(self) -> Json:
        body: dict[str, Any] = {"error": self.sentence[:SHOWN], "path": self.path[:SHOWN]}
        if self.errors:
            body["errors"] = [{"path": p[:SHOWN], "error": s[:SHOWN]} for p, s in self.errors[:FAULTS]]
        return Json(body, self.status, self.headers)


def closing(status: int, sentence: str, **headers: str) -> Json:
    """An answer after which the connection ends, because not all that was sent has been read."""
    return Wrong(status, sentence, headers={"connection": "close", **headers}).answer()


def status_of(e: SwarmError) -> int:
    """The HTTP status for an error of the runtime."""
    if isinstance(e, Unavailable):
        return 429 if e.kind == "memory" else 503
    for kind, status in _STATUS.items():
        if isinstance(e, kind):
            return status
    return 409


_STATUS: dict[type[SwarmError], int] = {
    TooLarge: 413,
    Invalid: 422,
    Misconfigured: 503,
    NotFound: 404,
    Full: 429,
    Forbidden: 403,
}


def answer(e: BaseException) -> Json:
    """What is answered for an error, whatever it is. What is not an error of the runtime is a fault of ours."""
    if isinstance(e, Wrong):
        return e.answer()
    if not isinstance(e, SwarmError):
        log.error("a request failed", exc_info=e)
        return Wrong(500, OURS).answer()
    status = status_of(e)
    path = e.path if isinstance(e, Invalid) else ""
    sentence = str(e).removeprefix(f"{path}: ") if path else str(e)
    headers = {}
    if status == 429:
        seconds = retry_after(e) if isinstance(e, Full) else 0.0
        headers["retry-after"] = str(max(1, math.ceil(seconds or AGAIN)))
    elif status == 503:
        headers["retry-after"] = "1"
    errors = [(path, sentence)] if status == 422 else ()
    return Wrong(status, sentence, path, errors=errors, headers=headers).answer()


async def refuse(said: Json, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """Answer with `said`, on a WebSocket before it is one."""
    if scope["type"] == "http":
        await said(scope, receive, send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        head = {"type": "websocket.http.response.start", "status": said.status_code, "headers": said.raw_headers}
        await send(head)
        await send({"type": "websocket.http.response.body", "body": said.body})
    else:
        await send({"type": "websocket.close", "code": 1008})
