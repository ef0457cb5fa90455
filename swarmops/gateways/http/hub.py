"""What happens, for all who want to hear of it: one reader of Redis' streams in a process, fanned out (S2-13)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from swarmops.runtime.errors import Invalid, SwarmError
from swarmops.runtime.observe.events import SLICE, Event

GATHER = 0.05  # seconds between two readings: what comes meanwhile goes out together
BEHIND = 2000  # events that one client may lag behind; then it is cut off, and asks again from where it was
PAGE = 500
log = logging.getLogger(__name__)
Marks = dict[str, str]  # queue -> place in its stream, "" is the registry


class Client:
    """One who listens. `texts` waits for what comes, None for a while in which nothing came."""

    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._some = asyncio.Event()
        self.over = False

    def put(self, texts: Sequence[str]) -> None:
        if len(self._texts) + len(texts) > BEHIND:
            self.close()
            return
        self._texts.extend(texts)
        self._some.set()

    def clear(self) -> None:
        self._texts.clear()

    def close(self) -> None:
        self.over = True
        self._some.set()

    async def get(self, wait: float) -> str | None:
        """All that has come, as one text; "" after `wait` seconds without any; None when it is over."""
        try:
            async with asyncio.timeout(wait):
                await self._some.wait()
        except TimeoutError:
            return ""
        if self.over:
            return None
        self._some.clear()
        said = "".join(self._texts)
        self._texts.clear()
        return said


class Hub:
    """Reads while somebody listens. hear(callback): for this process itself, called with each batch."""

    def __init__(self, runtime: Any, queues: Sequence[str]):
        self.runtime, self.queues = runtime, ("", *queues)
        self.marks: Marks = {}
        self.clients: set[Client] = set()
        self._listeners: list[tuple[Callable[[], bool], Callable[[list[Event]], Any]]] = []
        self._reader: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()

    def hear(self, wanted: Callable[[], bool], callback: Callable[[list[Event]], Any]) -> None:
        """`callback` gets what happens while `wanted()`; see `wake`."""
        self._listeners.append((wanted, callback))

    def wake(self) -> None:
        """Somebody wants to hear: read, if nobody does."""
        if self._reader is None or self._reader.done():
            self._begun = asyncio.Event()
            self._reader = asyncio.create_task(self._read())

    async def close(self) -> None:
        for client in list(self.clients):
            client.close()
        self._begun.set()
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    # -- the reader

    def _wanted(self) -> bool:
        return bool(self.clients) or any(wanted() for wanted, _ in self._listeners)

    async def _read(self) -> None:
        trouble = False
        while not self._begun.is_set():
            try:
                self.marks = await self._ends()
                self._begun.set()
            except SwarmError:
                await asyncio.sleep(0.3)
        while self._wanted():
            try:
                for group in self._groups():
                    events = await self.runtime.run(self.runtime.events.waiting(group, self._slice()))
                    if events:
                        await self._out(events)
                trouble = False
                await asyncio.sleep(GATHER)
            except SwarmError as e:
                if not trouble:
                    log.warning("events cannot be read: %s", e)
                trouble = True
                await asyncio.sleep(0.5)

    def _groups(self) -> list[Marks]:
        """On a cluster each stream is another node's."""
        apart = self.runtime.settings.kind == "cluster"
        return [{q: m} for q, m in self.marks.items()] if apart else [dict(self.marks)]

    def _slice(self) -> float:
        return 0.2 if self.runtime.settings.kind == "cluster" else SLICE

    async def _ends(self) -> Marks:
        found: Marks = {}
        for queue in self.queues:
            last = await self.runtime.events.newest(queue, 0, 1)
            found[queue] = last[-1].mark if last else "0-0"
        return found

    async def _out(self, events: list[Event]) -> None:
        texts = []
        for event in events:
            self.marks[event.queue] = event.mark
            if self.clients:
                texts.append(as_text(event, self.marks))
        for client in list(self.clients) if texts else ():
            client.put(texts)
            if client.over:
                self.clients.discard(client)
        for wanted, callback in self._listeners:
            if wanted():
                try:
                    await callback(events)
                except SwarmError as e:
                    log.warning("an event was not heeded: %s", e)

    # -- listening

    async def follow(self, since: Marks | None, beat: float = 15.0) -> AsyncIterator[str]:
        """Server-sent events after `since` (what is kept of them), then as they come; a comment when there are none."""
        client = Client()
        self.clients.add(client)
        self.wake()
        try:
            yield "retry: 2000\n: hello\n\n"
            await self._begun.wait()
            if since is not None and not client.over:
                client.clear()  # what came until now is among what was missed
                async for text in self._missed(since, dict(self.marks)):
                    yield text
            while (said := await client.get(beat)) is not None:
                yield said or ": still here\n\n"
        finally:
            self.clients.discard(client)

    async def _missed(self, since: Marks, until: Marks) -> AsyncIterator[str]:
        """What happened between two places of the streams, stream by stream in pages."""
        at = {queue: since.get(queue, since[""]) for queue in self.queues}
        for queue in self.queues:
            while _order(at[queue]) < _order(until[queue]):
                page = await self.runtime.events.page(queue, at[queue], PAGE)
                page = [e for e in page if _order(e.mark) <= _order(until[queue])]
                if not page:
                    break
                texts = []
                for event in page:
                    at[queue] = event.mark
                    texts.append(as_text(event, at))
                yield "".join(texts)
            at[queue] = max(at[queue], until[queue], key=_order)


def as_text(event: Event, marks: Marks) -> str:
    """One event as it goes over the wire. Its id holds the places of all streams, so that nothing is told twice."""
    id = ",".join(mark if not queue else f"{queue}={mark}" for queue, mark in marks.items())
    data = json.dumps(event.to_json(), ensure_ascii=True, separators=(",", ":"))
    return f"id: {id}\ndata: {data}\n\n"


def marks_of(text: str) -> Marks:
    """Of what was an id once, or one mark, or milliseconds since the epoch. Raises Invalid."""
    found: Marks = {}
    for part in text.split(",") if len(text) <= 10_000 else ():
        queue, _, mark = part.rpartition("=")
        ms, dash, n = mark.partition("-")
        if queue in found or not _digits(ms, 15) or (dash and not _digits(n, 20)):
            raise Invalid("since", f"{text[:80]!r} is no mark of an event and no milliseconds")
        found[queue] = f"{ms}-{n}" if dash else f"{max(0, int(ms) - 1)}-{(1 << 64) - 1}"
    if "" not in found:
        raise Invalid("since", f"{text[:80]!r} is no mark of an event and no milliseconds")
    return found


def _digits(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= most


def _order(mark: str) -> tuple[int, int]:
    ms, _, n = mark.partition("-")
    return int(ms), int(n or 0)
