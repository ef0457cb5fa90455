"""The loop that keeps campaigning, for threads and for asyncio (S3-21, S3-22, F5-F7, F23).

A leader renews every third of its lease. It counts its lease from before it asked, by a clock that no one sets, and
steps down a tenth before the end: so it has stopped before another can start. The others ask every third of a lease
too, and at once when the lease they know of has ended.

    def lead(term): ...            # start what only the leader does; give `term` to what it writes
    with Candidate(rt, "npu-1", on_lead=lead, on_lose=stop):
        ...
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.errors import Refused, SwarmError
from swarmops.runtime.ids import name, new_id, number
from swarmops.runtime.registry.leader import LEASES, Leadership
from swarmops.runtime.settings import Settings

log = logging.getLogger(__name__)
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps


def clock() -> float:
    """Seconds since the machine started. Setting the time of day does not change it."""
    return time.clock_gettime(_CLOCK)


class Race:
    """What a candidate knows. Nobody waits here; the two loops below share it.

    term: the token while we lead, else 0; true by our own clock at every moment, whatever the loop is doing.
    """

    def __init__(self, id: str, lease: float):
        self.id, self.lease = name(id, "id"), number(lease, "lease", *LEASES)
        self.nonce = new_id()
        self.last: Leadership | None = None
        self._term, self._until, self._trouble = 0, 0.0, False

    @property
    def term(self) -> int:
        return self._term if clock() < self._until else 0

    @property
    def until(self) -> float:
        """When, by clock(), we stop leading unless we renew."""
        return self._until

    def answered(self, found: Leadership, asked: float) -> float:
        """Redis answered a campaign begun at `asked`; seconds until the next."""
        self.last, self._trouble = found, False
        if found.leading:
            self._term, self._until = found.term, asked + self.lease * 0.9
            return self.lease / 3
        self._until = 0.0
        late = random.uniform(0.005, 0.005 + min(0.1, self.lease / 20))
        return min(self.lease / 3, found.left_ms / 1000 + late)

    def failed(self, e: SwarmError) -> float:
        """Redis did not answer; seconds until the next try. Only the first failure of a row is logged."""
        if not self._trouble:
            log.warning("%s cannot campaign: %s", self.id, e)
        self._trouble = True
        return self.lease / 3 if isinstance(e, Refused) else min(self.lease / 10, 0.25) * random.uniform(0.5, 1.0)

    def left(self) -> None:
        self._until = 0.0


def _own(settings: Settings, lease: float) -> Settings:
    """A renewal that takes longer than this is of no use any more."""
    most = max(0.05, lease / 4)
    timeout, connect = min(settings.timeout, most), min(settings.connect_timeout, most)
    return settings.but(timeout=timeout, connect_timeout=connect, patience=0, connections=2)


class _Racing:
    """What both kinds tell of their race."""

    race: Race

    @property
    def term(self) -> int:
        return self.race.term

    @property
    def leading(self) -> bool:
        return self.race.term > 0


class Candidate(_Racing):
    """Campaigns in threads of its own, on a connection of its own, until `close`.

    on_lead(term) is called when it has won, on_lose() when it leads no more; one at a time, in one thread.
    `term` is the fencing token, 0 if it does not lead. Raises Invalid.
    """

    def __init__(
        self,
        rt: Runtime,
        id: str,
        lease: float | None = None,
        on_lead: Callable[[int], Any] | None = None,
        on_lose: Callable[[], Any] | None = None,
    ):
        self.race = Race(id, rt.settings.lease if lease is None else lease)
        self._rt = Runtime(_own(rt.settings, self.race.lease))
        self._on_lead, self._on_lose = on_lead, on_lose
        self._ended = threading.Event()
        self._news = threading.Condition()
        self._threads = [
            threading.Thread(target=loop, name=f"{what} {id}", daemon=True)
            for what, loop in (("campaign", self._campaign), ("lead", self._tell))
        ]

    def start(self) -> Candidate:
        for thread in self._threads:
            thread.start()
        return self

    def close(self) -> None:
        """Step down, tell on_lose, and resign so that another may lead at once. Never raises for want of Redis."""
        if self._ended.is_set():
            return
        self._ended.set()
        self.race.left()
        with self._news:
            self._news.notify_all()
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join()
        with contextlib.suppress(SwarmError):
            if self.race.last and self.race.last.leading:
                self._rt.leader.resign(self.race.id, self.race.last.term)
        self._rt.close()

    def __enter__(self) -> Candidate:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _campaign(self) -> None:
        race = self.race
        op = self._rt.leader.campaign.op(race.id, round(race.lease * 1000), nonce=race.nonce)
        pause = 0.0
        while not self._ended.wait(pause):
            asked = clock()
            try:
                found = self._rt.run(op)
            except SwarmError as e:
                pause = race.failed(e)
                continue
            pause = race.answered(found, asked)
            if self._ended.is_set():
                race.left()
                break
            with self._news:
                self._news.notify_all()

    def _tell(self) -> None:
        """Calls on_lead and on_lose, on_lose at the latest when our lease has ended by our own clock."""
        told = 0
        while True:
            with self._news:
                while (term := self.race.term) == told and not self._ended.is_set():
                    self._news.wait(max(0.0, self.race.until - clock()) + 0.001 if told else None)
            if told:
                told = 0
                _call(self._on_lose)
            if self._ended.is_set():
                return
            if term:
                told = term
                _call(self._on_lead, term)


class AsyncCandidate(_Racing):
    """The same as Candidate for asyncio. on_lead and on_lose may be coroutines."""

    def __init__(
        self,
        rt: AsyncRuntime,
        id: str,
        lease: float | None = None,
        on_lead: Callable[[int], Awaitable[Any] | Any] | None = None,
        on_lose: Callable[[], Awaitable[Any] | Any] | None = None,
    ):
        self.race = Race(id, rt.settings.lease if lease is None else lease)
        self._rt = AsyncRuntime(_own(rt.settings, self.race.lease))
        self._on_lead, self._on_lose = on_lead, on_lose
        self._ended, self._news = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> AsyncCandidate:
        self._tasks = [asyncio.create_task(self._campaign()), asyncio.create_task(self._tell())]
        return self

    async def close(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        self.race.left()
        self._news.set()
        await asyncio.gather(*self._tasks)
        with contextlib.suppress(SwarmError):
            if self.race.last and self.race.last.leading:
                await self._rt.leader.resign(self.race.id, self.race.last.term)
        await self._rt.close()

    async def __aenter__(self) -> AsyncCandidate:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _campaign(self) -> None:
        race = self.race
        op = self._rt.leader.campaign.op(race.id, round(race.lease * 1000), nonce=race.nonce)
        pause = 0.0
        while not await _within(self._ended, pause):
            asked = clock()
            try:
                found = await self._rt.run(op)
            except SwarmError as e:
                pause = race.failed(e)
                continue
            pause = race.answered(found, asked)
            if self._ended.is_set():
                race.left()
                break
            self._news.set()

    async def _tell(self) -> None:
        told = 0
        while True:
            while (term := self.race.term) == told and not self._ended.is_set():
                await _within(self._news, max(0.0, self.race.until - clock()) + 0.001 if told else None)
                self._news.clear()
            if told:
                told = 0
                await _await(_call(self._on_lose))
            if self._ended.is_set():
                return
            if term:
                told = term
                await _await(_call(self._on_lead, term))


def _call(what: Callable[..., Any] | None, *args: Any) -> Any:
    """A fault of a callback must not end the loop that would tell the next one."""
    try:
        return what(*args) if what else None
    except Exception:
        log.exception("a callback of a candidate failed")
        return None


async def _await(result: Any) -> None:
    if inspect.isawaitable(result):
        try:
            await result
        except Exception:
            log.exception("a callback of a candidate failed")


async def _within(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for `event`, `seconds` at most; whether it is set."""
    if seconds is not None and seconds <= 0:
        return event.is_set()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
