"""Waiting for outcomes without polling (S2-07): each waiter has a list of its own in Redis, so that none steals.

What is pushed may be lost on the way with its connection; so a wait is a row of shorter ones, and each asks anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from swarmops.runtime.errors import Full, Late, NotFound, SwarmError, Unavailable
from swarmops.runtime.ids import name, new_id, number
from swarmops.runtime.op import Op
from swarmops.runtime.tasks.packing import queue_keys, value_of

if TYPE_CHECKING:
    from swarmops.runtime.tasks.room import Tasks

SLICE = 5.0  # seconds until it is asked again


class _Asking:
    def __init__(self, tasks: Tasks[Any]):
        self.keys, self.runtime = tasks.keys, tasks.runtime

    def _ask(self, queue: str, client: str, *ids: str) -> Op[list[int]]:
        return Op("wait", queue_keys(self.keys, queue, "wait"), (client,), list, True, items=tuple((i,) for i in ids))

    def _pop(self, queue: str, client: str, seconds: float) -> Op[Any]:
        key = self.keys.queue(queue, "reply", client)
        return Op("", (key,), ("BLPOP", key, seconds), safe=True, block=seconds)

    def _forget(self, queue: str, client: str, id: str) -> Op[Any]:
        return Op("unwait", queue_keys(self.keys, queue, "unwait"), (id, client), safe=True)


def _check(id: str, answer: Any) -> None:
    if isinstance(answer, Exception):
        raise answer
    if answer[0] == -1:
        raise NotFound(f"there is no task {id}")
    if answer[0] == -2:
        raise Full(f"too many wait for task {id}")


class Waits(_Asking):
    """A connection for each call under way."""

    def outcome(self, id: str, submit: Op[Any] | None, timeout: float, queue: str) -> Any:
        """The result of task `id`, which `submit` submits first. Raises TaskFailed, Late, NotFound, Full."""
        name(id, "id")
        runtime: Any = self.runtime
        client = new_id()
        end = time.monotonic() + number(timeout, "timeout", 0, 1e7)
        first = [submit] if submit else []
        if not submit:  # one that is not known is said at once, and not after a wait
            _check(id, runtime.run(self._ask(queue, client, id)))
        while True:
            seconds = max(0.01, min(SLICE, end - time.monotonic()))
            ops = [*first, self._ask(queue, client, id), self._pop(queue, client, seconds)]
            answers: list[Any] = runtime.run_many(ops)
            asked, popped = answers[-2:]
            if first and isinstance(answers[0], Exception):
                raise answers[0]
            _check(id, asked)
            first = []
            if isinstance(popped, Exception) and not isinstance(popped, Unavailable):
                raise popped
            if popped and not isinstance(popped, Exception):
                return value_of(id, popped[1].partition(b" ")[2])
            if time.monotonic() >= end:
                with contextlib.suppress(SwarmError):
                    runtime.run(self._forget(queue, client, id))
                raise Late(f"task {id} has not ended within {timeout:g} s")


class AsyncWaits(_Asking):
    """One connection for all waits on a queue, however many."""

    def __init__(self, tasks: Tasks[Any]):
        super().__init__(tasks)
        self._desks: dict[str, _Desk] = {}

    async def outcome(self, id: str, submit: Op[Any] | None, timeout: float, queue: str) -> Any:
        """See Waits."""
        name(id, "id")
        number(timeout, "timeout", 0, 1e7)
        if queue not in self._desks:
            self._desks[queue] = _Desk(self, queue)
        return await self._desks[queue].outcome(id, submit, timeout)


class _Desk:
    """Hands what arrives in its list to those who wait for it."""

    def __init__(self, asking: AsyncWaits, queue: str):
        self.asking, self.queue, self.client = asking, queue, new_id()
        self.runtime: Any = asking.runtime
        self.waiting: dict[str, list[asyncio.Future[bytes]]] = {}
        self.task: asyncio.Task[None] | None = None

    async def outcome(self, id: str, submit: Op[Any] | None, timeout: float) -> Any:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(id, []).append(future)
        try:
            async with asyncio.timeout(timeout or 0.001):
                await self._ask(id, submit)
                if self.task is None or self.task.done():
                    self.task = asyncio.create_task(self._serve())
                return value_of(id, await future)
        except TimeoutError:
            with contextlib.suppress(SwarmError):
                await self.runtime.run(self.asking._forget(self.queue, self.client, id))
            raise Late(f"task {id} has not ended within {timeout:g} s") from None
        finally:
            if future in self.waiting.get(id, ()):
                self.waiting[id].remove(future)
                if not self.waiting[id]:
                    del self.waiting[id]

    async def _ask(self, id: str, submit: Op[Any] | None) -> None:
        ask = self.asking._ask(self.queue, self.client, id)
        if submit:
            both = [self.runtime.run(submit), self.runtime.run(ask)]
            answers: list[Any] = await asyncio.gather(*both, return_exceptions=True)
            if isinstance(answers[0], BaseException):
                raise answers[0]
            if not isinstance(answers[1], BaseException) and answers[1][0] >= 0:
                return
        _check(id, await self.runtime.run(ask))

    async def _ask_again(self) -> None:
        ids = [*self.waiting]
        for id, there in zip(ids, await self.runtime.run(self.asking._ask(self.queue, self.client, *ids))):
            for future in self.waiting.get(id, []) if there == -1 else []:
                if not future.done():
                    future.set_exception(NotFound(f"there is no task {id} any more"))

    async def _serve(self) -> None:
        """Until nobody waits. Redis being away is waited out: those who wait have their own deadlines."""
        key = self.asking.keys.queue(self.queue, "reply", self.client)
        rest: Op[Any] = Op("", (key,), ("LPOP", key, 1000), safe=True)
        while self.waiting:
            try:
                first, more = await self.runtime.run_many([self.asking._pop(self.queue, self.client, SLICE), rest])
                arrived = [first[1]] if first and not isinstance(first, Exception) else []
                arrived += more if more and not isinstance(more, Exception) else []
                if not arrived and self.waiting:
                    await self._ask_again()
            except SwarmError:
                await asyncio.sleep(0.2)
                continue
            for one in arrived:
                id, _, outcome = one.partition(b" ")
                for future in self.waiting.pop(id.decode(), []):
                    if not future.done():
                        future.set_result(outcome)
