"""Requests that wait together go as one batch.

While a batch runs, others gather; so under load batches grow by themselves, and an idle batcher keeps nobody waiting
longer than `wait`. Each batch takes one item of each waiting request in turn: one with ten thousand items does not hold
up one with a single item. A request that is cancelled takes its items along; the others of its batch are served.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from swarmops.runtime.errors import Full

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False)
class _Request(Generic[T]):
    items: Sequence[T]
    done: asyncio.Future[list[Any]]
    results: list[Any]
    weight: int
    given: int = 0  # items that went into batches
    back: int = 0  # items that came back
    alone: bool = False


class Batcher(Generic[T, R]):
    """run: does a batch of items, and returns a result each. most: weight of a batch; wait: seconds that the first
    request of an idle batcher waits for others; room: items that may wait. weigh: the weight of an item."""

    def __init__(
        self,
        run: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        most: int = 32,
        wait: float = 0.002,
        room: int = 100_000,
        weigh: Callable[[T], int] = lambda _: 1,
    ):
        self.run, self.most, self.wait, self.room, self.weigh = run, most, wait, room, weigh
        self._waiting: deque[_Request[T]] = deque()
        self._bell = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return sum(len(r.items) - r.given for r in self._waiting)

    async def put(self, items: Sequence[T]) -> list[R]:
        """Results in the order of `items`. Raises Full when too much waits, and what `run` raises."""
        if not items:
            return []
        if self.waiting + len(items) > self.room:
            raise Full(f"{self.waiting:,} items wait already, the most is {self.room:,}: try again later")
        done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        request = _Request(items, done, [None] * len(items), sum(map(self.weigh, items)))
        self._waiting.append(request)
        self._bell.set()
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._work())
        try:
            return await done
        finally:
            self._drop(request)

    def _drop(self, request: _Request[T]) -> None:
        """It waits no more, if it still did. Asked first: a deque that lacks it says so with all its vectors in words,
        which took a third of the time of embedding."""
        if request in self._waiting:
            self._waiting.remove(request)

    async def close(self) -> None:
        """Those who still wait are cancelled."""
        if self._loop:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        for request in list(self._waiting):
            request.done.cancel()

    async def _work(self) -> None:
        while True:
            self._bell.clear()
            if not self._waiting:
                await self._bell.wait()
                await self._gather()
            batch = self._take()
            if batch:
                await self._do(batch)

    async def _gather(self) -> None:
        """A moment for others to come, unless a batch is full."""
        end = asyncio.get_running_loop().time() + self.wait
        while sum(r.weight for r in self._waiting) < self.most:
            self._bell.clear()
            try:
                async with asyncio.timeout_at(end):
                    await self._bell.wait()
            except TimeoutError:
                return

    def _take(self) -> list[tuple[_Request[T], int]]:
        """Items for one batch: one of each request in turn. A request whose batch failed goes by itself."""
        found: list[tuple[_Request[T], int]] = []
        room = self.most
        while self._waiting and room > 0:
            request = self._waiting[0]
            if request.done.done():
                self._waiting.popleft()
                continue
            if request.alone and found:
                break
            weight = self.weigh(request.items[request.given])
            if found and weight > room:
                break
            found.append((request, request.given))
            request.given, room = request.given + 1, room - weight
            if request.alone:
                room = min(room, self._rest(request, found, room))
            elif len(self._waiting) > 1:
                self._waiting.rotate(-1)
            if request.given == len(request.items):
                self._waiting.remove(request)
        return found

    def _rest(self, request: _Request[T], found: list[tuple[_Request[T], int]], room: int) -> int:
        """As much more of one request as there is room for; none is left for others."""
        while request.given < len(request.items) and self.weigh(request.items[request.given]) <= room:
            found.append((request, request.given))
            room -= self.weigh(request.items[request.given])
            request.given += 1
        return 0

    async def _do(self, batch: list[tuple[_Request[T], int]]) -> None:
        try:
            results = await self.run([request.items[i] for request, i in batch])
        except asyncio.CancelledError:
            for request, _ in batch:
                request.done.cancel()
            raise
        except Exception as e:
            self._failed(batch, e)
            return
        for (request, i), result in zip(batch, results, strict=True):
            request.results[i] = result
            request.back += 1
            if request.back == len(request.items) and not request.done.done():
                request.done.set_result(request.results)

    def _failed(self, batch: list[tuple[_Request[T], int]], e: Exception) -> None:
        """One of several spoiled it for the others, who meant nothing by going together: each is tried alone."""
        requests = {id(request): request for request, _ in batch}
        if len(requests) == 1:
            for request in requests.values():
                if not request.done.done():
                    request.done.set_exception(e)
            return
        for request in requests.values():
            self._drop(request)
            request.given, request.back, request.alone = 0, 0, True
            if not request.done.done():
                self._waiting.append(request)
        self._bell.set()
