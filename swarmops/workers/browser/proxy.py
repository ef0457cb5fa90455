"""The only door of a page: a proxy of the task's own, on loopback, that lets through what the policy allows.

Chromium sends everything through it (pages, what they load, redirects, WebSockets), resolves no name itself, and has no
other way out: so the policy holds for every request. HTTPS passes unopened (CONNECT); certificates are looked at by
Chromium.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from swarmops.workers.browser.policy import NotAllowed, Policy, Resolved

HEAD = 64 << 10  # bytes of the head of a request or an answer
CONNECT = 10.0  # seconds
CHUNK = 64 << 10
HOP = {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate"}
# What Chromium itself would like to talk to while a page is open. No page means these.
OF_CHROMIUM = {
    "content-autofill.googleapis.com",
    "optimizationguide-pa.googleapis.com",
    "safebrowsing.googleapis.com",
    "update.googleapis.com",
    "clients2.google.com",
}
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class TaskProxy:
    """`async with` it: `url` is what the browser is told. most: bytes that may come in, all answers together.

    refused: (host, port) -> why. too_much: that limit was met, and everything is closed.
    """

    def __init__(self, policy: Policy, most: int):
        self.resolved, self.most = Resolved(policy), most
        self.refused: dict[tuple[str, int], str] = {}
        self.received = 0
        self.too_much = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> TaskProxy:
        self._server = await asyncio.start_server(self._came, "127.0.0.1", 0, limit=HEAD)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    async def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._serve((reader, writer))
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            pass  # one of the two has gone, or does not speak HTTP
        except asyncio.CancelledError:
            pass  # the task has ended
        finally:
            writer.close()

    async def _serve(self, client: Streams) -> None:
        """One request, then the connection ends: the next may be for another host."""
        line, _, rest = (await client[0].readuntil(b"\r\n\r\n")).partition(b"\r\n")
        method, target, _ = line.split(b" ", 2)
        tunnel = method == b"CONNECT"
        parts = urlsplit(f"//{target.decode('latin-1')}" if tunnel else target.decode("latin-1"))
        host, port = parts.hostname or "", parts.port or 80
        if not tunnel and parts.scheme != "http":
            raise ValueError("not a request to a proxy")
        if host in OF_CHROMIUM:
            await _answer(client[1], b"403 Forbidden", "no")
            return
        try:
            there = await self._connected(host, port)
        except NotAllowed as e:
            self.refused[host, port] = str(e)
            await _answer(client[1], b"403 Forbidden", str(e))
            return
        except OSError:
            await _answer(client[1], b"502 Bad Gateway", f"{host}:{port} does not answer")
            return
        try:
            if tunnel:
                client[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._both_ways(client, there)
            else:
                path = parts.path or "/"
                path += f"?{parts.query}" if parts.query else ""
                there[1].write(b"%s %s HTTP/1.1\r\n%s" % (method, path.encode("latin-1"), _single(rest)))
                await self._both_ways(client, there, heads=True)
        finally:
            there[1].close()

    async def _connected(self, host: str, port: int) -> Streams:
        """Raises NotAllowed, OSError."""
        addresses = await self.resolved.addresses(host, port)
        last: OSError = ConnectionRefusedError()
        for address in addresses[:4]:
            try:
                async with asyncio.timeout(CONNECT):
                    return await asyncio.open_connection(str(address), port, limit=HEAD)
            except TimeoutError:
                last = OSError("no answer")
            except OSError as e:
                last = e
        raise last

    async def _both_ways(self, client: Streams, there: Streams, heads: bool = False) -> None:
        """Until one of the two ends."""
        out = asyncio.create_task(_pipe(client[0], there[1]))
        back = asyncio.create_task(self._back(there[0], client[1], heads))
        try:
            await asyncio.wait([out, back], return_when=asyncio.FIRST_COMPLETED)
            if out.done() and not out.exception():  # it has said all, and may still listen
                with contextlib.suppress(OSError):
                    there[1].write_eof()
                await asyncio.wait([back])
        finally:
            for task in (out, back):
                task.cancel()
            await asyncio.gather(out, back, return_exceptions=True)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heads: bool) -> None:
        while heads:
            line, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            informs = line.split(b" ", 2)[1][:1] == b"1" and b" 101" not in line
            writer.write(line + b"\r\n" + (rest if informs else _single(rest)))
            heads = informs
        while data := await reader.read(CHUNK):
            self.received += len(data)
            if self.received > self.most:
                self.too_much.set()
                return
            writer.write(data)
            await writer.drain()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


def _single(head: bytes) -> bytes:
    """The header lines without those that are between two neighbours only; the connection ends after this one."""
    lines = [line for line in head.split(b"\r\n") if line and line.partition(b":")[0].strip().lower() not in HOP]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


async def _answer(writer: asyncio.StreamWriter, status: bytes, why: str) -> None:
    body = why.encode()
    head = b"HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    writer.write(head % (status, len(body)) + body)
    await writer.drain()
