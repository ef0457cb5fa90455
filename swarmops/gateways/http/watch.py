"""Looks at every service of the fleet every ten seconds, all at once, and remembers what it saw (S4-39, S4-44)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import h11

from swarmops.runtime.errors import SwarmError

EVERY = 10.0  # seconds between two looks
WITHIN = 3.0  # seconds in which a service has to answer
STALE = 3.5 * EVERY  # seconds after which what was seen says nothing any more
MOST = 64 * 1024  # bytes of an answer that are read
OK, WARNING, CRITICAL, UNKNOWN = "ok", "warning", "critical", "unknown"
BADNESS = (OK, UNKNOWN, WARNING, CRITICAL)


@dataclass(frozen=True, slots=True)
class Seen:
    """A service as it was at_ms. latency_ms: until it had answered, None when it did not.

    server_name: by which its certificate is checked, "" for the host of its url.
    """

    name: str
    role: str
    node: str
    url: str
    state: str = UNKNOWN
    why: str = "it was not looked at yet"
    latency_ms: float | None = None
    at_ms: int | None = None
    server_name: str = ""

    def now(self) -> dict[str, Any]:
        """As it is told: what is old says nothing."""
        found = asdict(self)
        del found["server_name"]
        if self.at_ms is not None and (old := time.time() - self.at_ms / 1000) > STALE:
            found |= {
                "state": UNKNOWN,
                "why": f"it was not looked at for {old:.0f} s; before: {self.why or self.state}",
            }
        return found


class Watch:
    """One in a process. Where several coordinators run, each looks for itself."""

    def __init__(self, runtime: Any, services: Sequence[Mapping[str, Any]], tls: ssl.SSLContext | None = None):
        self.runtime, self.tls = runtime, tls
        self.seen = []
        for one in services:
            name, role, node, url = (str(one.get(key, "")) for key in ("name", "role", "node", "url"))
            self.seen.append(Seen(name, role, node, url, server_name=str(one.get("server_name", ""))))

    async def run(self) -> None:
        """Look until cancelled."""
        while self.seen:
            began = time.monotonic()
            await self.look()
            await asyncio.sleep(max(1.0, EVERY - (time.monotonic() - began)))

    async def look(self) -> None:
        """At all of them, once."""
        self.seen = await asyncio.gather(*(self._one(seen) for seen in self.seen))
        latencies = {s.name: s.latency_ms for s in self.seen}
        with contextlib.suppress(SwarmError):  # Redis is away: what was seen is still told
            await self.runtime.fleet.sample(latencies, {s.name: (s.state, s.why) for s in self.seen})

    async def _one(self, seen: Seen) -> Seen:
        began = time.perf_counter()
        latency = None
        try:
            async with asyncio.timeout(WITHIN):
                status, body = await get(seen.url, self.tls, seen.server_name)
            latency = round((time.perf_counter() - began) * 1000, 2)
            state, why = _judged(status, body)
        except TimeoutError:
            state, why = CRITICAL, f"it did not answer within {WITHIN:g} s"
        except ConnectionRefusedError:
            state, why = CRITICAL, "nobody listens there"
        except ssl.SSLCertVerificationError as e:
            state, why = CRITICAL, f"its certificate is not trusted: {e.verify_message}"[:200]
        except ssl.SSLError as e:
            state, why = CRITICAL, f"TLS: {e.reason or e}"
        except (OSError, h11.RemoteProtocolError, ValueError) as e:
            state, why = CRITICAL, (getattr(e, "strerror", None) or str(e) or type(e).__name__)[:200]
        at = round(time.time() * 1000)
        return replace(seen, state=state, why=why, latency_ms=latency, at_ms=at)


def worst(states: Sequence[str]) -> str:
    """critical, else warning, else unknown, else ok; unknown when there are none."""
    return max(states, key=BADNESS.index, default=UNKNOWN)


def _judged(status: int, body: bytes) -> tuple[str, str]:
    """(state, why) of an answer of /health."""
    said: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(body)
    word = said.get("status") if isinstance(said, dict) else None
    why = said.get("why") if isinstance(said, dict) else None
    told = str(why)[:200] if isinstance(why, str) and why else f"it says {str(word)[:40]}" if word else ""
    if status == 200 and word in (None, "ok"):
        return OK, ""
    if status == 200:
        return WARNING, told
    return CRITICAL, f"it answers {status}{': ' + told if told else ''}"


async def get(url: str, tls: ssl.SSLContext | None = None, server_name: str = "") -> tuple[int, bytes]:
    """(status, body) of a GET. Raises OSError, h11.RemoteProtocolError, ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url[:100]!r} is no address of a service")
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    security = (tls or ssl.create_default_context()) if secure else None
    name = server_name or parts.hostname if secure else None
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=security, server_hostname=name)
    try:
        talk = h11.Connection(h11.CLIENT)
        headers = [("host", parts.netloc), ("user-agent", "swarmops"), ("connection", "close")]
        asked = h11.Request(method="GET", target=parts.path or "/", headers=headers)
        writer.write((talk.send(asked) or b"") + (talk.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        return await _answer(talk, reader)
    finally:
        writer.close()


async def _answer(talk: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    status, body = 0, b""
    while True:
        event = talk.next_event()
        if event is h11.NEED_DATA:
            talk.receive_data(await reader.read(MOST))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MOST:
                return status, body[:MOST]
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            if not status:
                raise ValueError("it closed the connection without an answer")
            return status, body
