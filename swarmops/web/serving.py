"""How a server starts and ends: several addresses, one loop, nobody cut off in the middle (case 83).

uvicorn does the work; it has no signal handlers here, because the process that serves also does other things and ends
when all of them have.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from swarmops.runtime.errors import Unavailable

HEAD = 10.0  # seconds in which the head of a request must be there
GRACE = 10  # seconds in which requests under way may end
MESSAGE = 1 << 20  # bytes of a WebSocket message; what is longer is closed with 1009
_FREEBIND = 15  # IP_FREEBIND of <linux/in.h>: an address of the mesh may come up after us
log = logging.getLogger(__name__)


class _Patient(H11Protocol):
    """Cuts off who does not say what they want within `head` seconds: from the connection on, or after an answer."""

    head = HEAD
    _cut: asyncio.TimerHandle | None = None
    _upgraded = False  # it is a WebSocket now, and no more ours

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._cut = self.loop.call_later(self.head, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        asking = self.cycle is not None and not self.cycle.response_complete
        if asking:
            self._forget()
        elif self._cut is None and not self._upgraded and not self.transport.is_closing():
            self._cut = self.loop.call_later(self.head, self.transport.abort)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._forget()
        self._upgraded = True
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _forget(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening(binds: Sequence[str], port: int) -> list[socket.socket]:
    """Sockets on these addresses. Port 0 takes a free one, the same for all. Raises Unavailable with the address."""
    found: list[socket.socket] = []
    try:
        for bind in binds:
            family = socket.AF_INET6 if ":" in bind else socket.AF_INET
            # The protocol is named, or asyncio leaves Nagle on and every answer waits 40 ms.
            sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            found.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_IP, _FREEBIND, 1)
            sock.bind((bind, port))
            sock.listen(2048)
            sock.setblocking(False)
            port = sock.getsockname()[1]
    except OSError as e:
        for sock in found:
            sock.close()
        why = e.strerror or str(e)
        raise Unavailable("bind", f"cannot listen on {bind} port {port}: {why}", unsent=True) from None
    return found


async def serve(
    app: Any,
    binds: Sequence[str],
    port: int,
    *,
    stopping: asyncio.Event,
    ready: Callable[[], None] | None = None,
    sockets: Sequence[socket.socket] | None = None,
    tls: ssl.SSLContext | None = None,
    grace: int = GRACE,
    head: float = HEAD,
) -> None:
    """Serve until `stopping` is set; then let requests under way end, and close the rest.

    ready: called when all addresses answer; systemd is told then too. sockets: from `listening`, to know the port
    before. head: seconds in which the head of a request must be there. Raises Unavailable for an address that is taken.
    """
    held = list(sockets) if sockets is not None else listening(binds, port)
    many_files()
    config = uvicorn.Config(
        app,
        http=type("_Patient", (_Patient,), {"head": head}),
        ws="websockets-sansio" if find_spec("websockets") else "none",  # only the coordinator's release has it
        ws_max_size=MESSAGE,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=grace,
        h11_max_incomplete_event_size=32_768,
    )
    if tls:
        config.load()
        config.ssl = tls
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=held))
    ended = asyncio.create_task(stopping.wait())
    try:
        while not server.started and not running.done() and not ended.done():
            await asyncio.wait([running, ended], timeout=0.005, return_when=asyncio.FIRST_COMPLETED)
        if server.started:
            if ready:
                ready()
            notify("READY=1")
        await asyncio.wait([running, ended], return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        server.should_exit = True
        await running
    finally:
        ended.cancel()
        for sock in held:
            sock.close()


def notify(state: str) -> None:
    """Tell systemd, where it wants to know (NOTIFY_SOCKET)."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if where:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as talk:
            talk.connect("\0" + where[1:] if where[0] == "@" else where)
            talk.sendall(state.encode())


def many_files() -> None:
    """As many connections as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
