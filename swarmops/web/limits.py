"""How much, how fast, and under which name: limits on bodies, headers, requests a second (cases 73, 83, 84, 85).

A body is read whole before anything is done with it, at most so many bytes in at most so many seconds; so nobody
further in has to count, and memory stays flat.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any

from swarmops.web.answers import Wrong, closing, refuse

BODY = 1 << 20
HEADERS = 16_384  # bytes of all headers
MANY = 100  # headers
URL = 8_192
SLOW = 30.0  # seconds for a whole body
LINGER = 3.0  # seconds in which what is too large is read on and dropped, so that the answer arrives
CALLERS = 10_000  # whose pace is remembered
_BAD_PATH = re.compile(r"(^|/)\.{1,2}(/|$)|//|\\|[\x00-\x1f\x7f]")
_BAD_RAW = re.compile(rb"%(2f|5c|00)", re.I)
Scope = MutableMapping[str, Any]


class Limits:
    """Reads bodies, and lets nobody ask too often.

    body: bytes; bodies: other limits for paths that begin so. rate: requests a second of one token (or, without one,
    of one address), as many at once in `burst`; 0 for no limit.
    """

    def __init__(
        self,
        app: Any,
        body: int = BODY,
        headers: int = HEADERS,
        rate: float = 200.0,
        *,
        burst: float | None = None,
        bodies: Mapping[str, int] | None = None,
        slow: float = SLOW,
    ):
        self.app, self.body, self.headers, self.slow = app, body, headers, slow
        self.bodies = dict(bodies or {})
        self.rate, self.burst = rate, burst or 2 * rate
        self._callers: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when that was

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if wait := self._too_fast(scope):
            said = Wrong(429, "too many requests", headers={"retry-after": str(math.ceil(wait))}).answer()
            await said(scope, receive, send)
            return
        fault = head_fault(scope, self.headers)
        if fault is not None:
            await closing(*fault)(scope, receive, send)
            return
        length, chunked, waits = _announced(scope)
        if not length and not chunked:
            await self.app(scope, receive, send)
            return
        most = next((n for path, n in self.bodies.items() if scope["path"].startswith(path)), self.body)
        try:
            body = await self._read(receive, length, most, waits)
        except Wrong as e:
            await closing(e.status, e.sentence)(scope, receive, send)
            return
        except ConnectionError:
            return
        await self.app(scope, _replay(body, receive), send)

    async def _read(self, receive: Any, length: int, most: int, waits: bool) -> bytes:
        """The whole body. Raises Wrong (413, 408), ConnectionError when the caller has gone."""
        too_large = Wrong(413, f"the body has more than {most:,} bytes, the most there may be")
        if length > most and waits:  # it asked before sending (Expect: 100-continue)
            raise too_large
        parts: list[bytes] = []
        size, over = 0, length > most
        try:
            async with asyncio.timeout(LINGER if over else self.slow) as limit:
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
                    if not over and size > most:
                        over, parts = True, []
                        limit.reschedule(asyncio.get_running_loop().time() + LINGER)
                    if not over:
                        parts.append(message.get("body", b""))
                    elif size > 4 * most:
                        break
        except TimeoutError:
            if not over:
                raise Wrong(408, f"the body did not arrive within {self.slow:g} seconds") from None
        if over:
            raise too_large
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_fast(self, scope: Scope) -> float:
        """Seconds until the caller may ask again, 0 for now."""
        if not self.rate:
            return 0.0
        grant = scope.get("state", {}).get("grant")
        caller = grant.id if grant else f"@{(scope.get('client') or ('', 0))[0]}"
        now = time.monotonic()
        left, since = self._callers.get(caller, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.rate)
        if len(self._callers) >= CALLERS and caller not in self._callers:
            self._callers.popitem(last=False)
        self._callers[caller] = (left - 1 if left >= 1 else left, now)
        self._callers.move_to_end(caller)
        return 0.0 if left >= 1 else (1 - left) / self.rate


def head_fault(scope: Scope, headers: int) -> tuple[int, str] | None:
    """What is wrong with the size of the head: (status, sentence)."""
    if len(scope["headers"]) > MANY or sum(len(k) + len(v) for k, v in scope["headers"]) > headers:
        return 431, f"the headers are more than {MANY}, or have more than {headers:,} bytes"
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL:
        return 414, f"the address has more than {URL:,} bytes"
    return None


def _announced(scope: Scope) -> tuple[int, bool, bool]:
    """(content length, whether it comes in chunks, whether the caller waits to be told to go on)."""
    length, chunked, waits = 0, False, False
    for key, value in scope["headers"]:
        if key == b"content-length":
            length = int(value) if value.isdigit() else 0
        elif key == b"transfer-encoding":
            chunked = True
        elif key == b"expect":
            waits = value.lower() == b"100-continue"
    return length, chunked, waits


def _replay(body: bytes, receive: Any) -> Any:
    """A `receive` that gives the body, and after it what comes."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class Hosts:
    """Answers only under names that are ours, and only for paths that are plain.

    hosts: what may stand in the header Host, without port. What proxies say of a request (X-Forwarded-...) is nowhere
    believed: nobody stands between us and our callers.
    """

    def __init__(self, app: Any, hosts: Collection[str]):
        self.app, self.hosts = app, frozenset(h.lower() for h in hosts)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and (why := self._fault(scope)):
            await refuse(closing(400, why), scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _fault(self, scope: Scope) -> str:
        named = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        if len(named) != 1 or host_in(named[0]) not in self.hosts:
            return "the header Host is none of the names of this server"
        raw = scope.get("raw_path") or b""
        if _BAD_PATH.search(scope["path"]) or _BAD_RAW.search(raw):
            return "the path is not plain: it has empty, dotted or hidden parts"
        return ""


def host_in(value: str) -> str:
    """The name in a Host header: without port, and without the brackets of IPv6."""
    found = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::\d{1,5})?|([^:\[\]]*)(?::\d{1,5})?", value.strip())
    return (found[1] or found[2] or "").lower() if found else ""
