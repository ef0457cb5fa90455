"""The coordinator: campaigns, and does the leader's duties while it leads (S3-21 to S3-24, S3-69).

    with Coordinator(rt, "coord-1"):      # or `swarmops coordinator run`
        ...

Start it wherever you like, as often as you like: one leads, the others wait. It has connections of its own, so that a
busy program delays no renewal. What it does is fenced: a coordinator that slept through its lease changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.coordinator.duties import LOOK, Done, Duties, Pace
from swarmops.runtime.errors import Stale, SwarmError, Unavailable
from swarmops.runtime.flow import drive_async, drive_sync
from swarmops.runtime.ids import name, new_id
from swarmops.runtime.registry.candidate import AsyncCandidate, Candidate
from swarmops.runtime.settings import Settings

AWAY = 0.25  # seconds between looks at a Redis that is away
log = logging.getLogger(__name__)


def _own(settings: Settings) -> Settings:
    """Connections that give up soon, so that the loop sees when it is to end. The loop itself tries again."""
    return settings.but(patience=0, connections=4)


class _Leading:
    """What both kinds tell of themselves."""

    _candidate: Candidate | AsyncCandidate
    _duties: Duties

    @property
    def term(self) -> int:
        """The fencing token, 0 while another leads."""
        return self._candidate.term

    @property
    def leading(self) -> bool:
        return self.term > 0

    @property
    def done(self) -> Done:
        return self._duties.done


class Coordinator(_Leading):
    """Does the duties in a thread while it leads, from `start` to `close`. lease: seconds (default settings.lease)."""

    _candidate: Candidate

    def __init__(self, rt: Runtime, id: str = "", pace: Pace | None = None, lease: float | None = None):
        self.id = name(id or f"coordinator-{new_id()}", "id")
        self._rt = Runtime(_own(rt.settings))
        self._duties = Duties(self._rt, pace or Pace(), self.id)
        self._news, self._ended = threading.Event(), threading.Event()
        self._candidate = Candidate(rt, self.id, lease, on_lead=lambda term: self._news.set())
        self._thread = threading.Thread(target=self._go, name=f"duties {self.id}", daemon=True)

    def start(self) -> Coordinator:
        self._candidate.start()
        self._thread.start()
        return self

    def close(self) -> None:
        """End after the duty in hand, resign if we lead, close the connections. Never raises for want of Redis."""
        if self._ended.is_set():
            return
        waiting = self.leading
        self._ended.set()
        self._news.set()
        if self._thread.is_alive():
            if waiting:
                with contextlib.suppress(SwarmError):
                    self._rt.run(self._duties.wake())
            self._thread.join()
        self._candidate.close()
        self._rt.close()

    def __enter__(self) -> Coordinator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _go(self) -> None:
        while not self._ended.is_set():
            self._news.clear()
            if term := self._candidate.term:
                self._lead(term)
            else:
                self._news.wait(LOOK)

    def _lead(self, term: int) -> None:
        self._duties.begin()
        while self._candidate.term == term and not self._ended.is_set():
            try:
                drive_sync(self._rt, self._duties.round(term))
                if self._duties.wait and self._rt.run(self._duties.hint()):
                    self._duties.at_once("distribute")
            except Stale:  # somebody else leads, whatever we believe: wait until we are told of a term of our own
                log.warning("%s leads no more: its term %d is over", self.id, term)
                while self._candidate.term == term and not self._ended.is_set():
                    self._news.wait(AWAY)
                return
            except Unavailable as e:
                log.warning("the duties of %s wait: %s", self.id, e)
                self._ended.wait(AWAY)


class AsyncCoordinator(_Leading):
    """The same for asyncio."""

    _candidate: AsyncCandidate

    def __init__(self, rt: AsyncRuntime, id: str = "", pace: Pace | None = None, lease: float | None = None):
        self.id = name(id or f"coordinator-{new_id()}", "id")
        self._rt = AsyncRuntime(_own(rt.settings))
        self._duties = Duties(self._rt, pace or Pace(), self.id)
        self._news, self._ended = asyncio.Event(), asyncio.Event()
        self._candidate = AsyncCandidate(rt, self.id, lease, on_lead=lambda term: self._news.set())
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> AsyncCoordinator:
        await self._candidate.start()
        self._task = asyncio.create_task(self._go())
        return self

    async def close(self) -> None:
        if self._ended.is_set():
            return
        waiting = self.leading
        self._ended.set()
        self._news.set()
        if self._task:
            if waiting:
                with contextlib.suppress(SwarmError):
                    await self._rt.run(self._duties.wake())
            await self._task
        await self._candidate.close()
        await self._rt.close()

    async def __aenter__(self) -> AsyncCoordinator:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _go(self) -> None:
        while not self._ended.is_set():
            self._news.clear()
            if term := self._candidate.term:
                await self._lead(term)
            else:
                await self._pause(LOOK)

    async def _lead(self, term: int) -> None:
        self._duties.begin()
        while self._candidate.term == term and not self._ended.is_set():
            try:
                await drive_async(self._rt, self._duties.round(term))
                if self._duties.wait > 0:
                    hinted = await self._rt.run(self._duties.hint())
                    if hinted:
                        self._duties.at_once("distribute")
            except Stale:
                log.warning("%s leads no more: its term %d is over", self.id, term)
                while self._candidate.term == term and not self._ended.is_set():
                    await self._pause(AWAY)
                return
            except Unavailable as e:
                log.warning("the duties of %s wait: %s", self.id, e)
                await self._pause(AWAY)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
