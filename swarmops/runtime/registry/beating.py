"""The loops that keep agents and swarms alive, for threads and for asyncio (S2-03, S3-04).

    with Beating(AgentBeat(rt, "npu-1", ["gpu"], load=lambda: len(open_tasks))):
        ...                       # registered now, removed at the end

    ours = SwarmBeat(rt)
    with Beating(ours):
        ours.add(rt.swarms.create("...").id)

A beat that finds the agent gone (Redis lost it, or took it for dead) registers it again. While Redis is away the loop
goes on trying.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.errors import NotFound, Refused, SwarmError, Unavailable
from swarmops.runtime.ids import number
from swarmops.runtime.op import Op
from swarmops.runtime.registry.agents import Agents
from swarmops.runtime.registry.swarms import LIVE, Swarms

log = logging.getLogger(__name__)
AGAIN = 1.0  # seconds at most until the next try when Redis is away


class Beat(ABC):
    """What to send, and what the answer means. Nobody waits here."""

    rt: Any
    interval: float
    _trouble = False

    @abstractmethod
    def op(self) -> Op[Any] | None:
        """What to send now."""

    @abstractmethod
    def took(self, result: Any) -> float:
        """Seconds until the next, after this result, which may be an error."""

    def last(self) -> Op[Any] | None:
        """What to send at the end."""
        return None

    def failed(self, who: str, e: Exception) -> float:
        """Seconds until the next try. Only the first failure of a row is logged."""
        if not self._trouble:
            log.warning("%s cannot beat: %s", who, e)
        self._trouble = True
        return self.interval if isinstance(e, Refused) else min(AGAIN, self.interval / 3)


class AgentBeat(Beat):
    """Registers, beats, registers again, and removes the agent at the end. Arguments as of Agents.register; `load` and
    `status` are asked before each beat."""

    def __init__(
        self,
        rt: Runtime | AsyncRuntime,
        id: str,
        capabilities: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        parent: str | None = None,
        heartbeat: float | None = None,
        *,
        facts: Mapping[str, Any] | None = None,
        load: Callable[[], int] | None = None,
        status: Callable[[], str] | None = None,
    ):
        self.rt = rt
        agents: Agents[Any] = rt.agents
        self.agents, self.id, self.load, self.status = agents, id, load, status
        self.interval = rt.settings.heartbeat if heartbeat is None else heartbeat
        self.registration = agents.register.op(id, capabilities, metadata, parent, self.interval, facts=facts)
        self.registered = False

    def op(self) -> Op[Any]:
        if not self.registered:
            return self.registration
        return self.agents.beat.op(self.id, self.load() if self.load else None, self.status() if self.status else None)

    def took(self, result: Any) -> float:
        if isinstance(result, NotFound) and self.registered:
            log.warning("%s: Redis does not know it any more; it registers again", self.id)
            self.registered = False
            return 0.0
        if isinstance(result, Exception):
            return self.failed(self.id, result)
        self._trouble = False
        if not self.registered:
            self.registered = True
            return 0.0 if self.load or self.status else self.interval
        return self.interval

    def last(self) -> Op[Any] | None:
        return self.agents.remove.op(self.id, "it has ended") if self.registered else None


class SwarmBeat(Beat):
    """Beats for the swarms that were added. on_status(id, status) is called when one is no longer live, once."""

    def __init__(
        self,
        rt: Runtime | AsyncRuntime,
        ids: Sequence[str] = (),
        heartbeat: float | None = None,
        on_status: Callable[[str, str | None], Any] | None = None,
    ):
        self.rt = rt
        swarms: Swarms[Any] = rt.swarms
        self.swarms, self.on_status = swarms, on_status
        self.ids = dict.fromkeys(ids, True)  # id -> live when last seen
        self.interval = number(rt.settings.heartbeat if heartbeat is None else heartbeat, "heartbeat", 0.01, 86400)

    def add(self, id: str) -> None:
        """Beat for it too, from the next round on. (It was alive just now: it was created, or set active.)"""
        self.ids[id] = True

    def discard(self, id: str) -> None:
        self.ids.pop(id, None)

    def op(self) -> Op[Any] | None:
        return self.swarms.beat.op(*list(self.ids)) if self.ids else None

    def took(self, result: Any) -> float:
        if isinstance(result, Exception):
            return self.failed("swarms", result)
        self._trouble = False
        for id, status in (result or {}).items():
            if id not in self.ids:
                continue
            was, live = self.ids[id], status in LIVE
            if status in (None, "completed", "failed"):
                self.discard(id)
            else:
                self.ids[id] = live
            if was and not live and self.on_status:
                self.on_status(id, status)
        return self.interval


class Beating:
    """Beats in a thread, until `close`."""

    def __init__(self, beat: Beat):
        self.beat, self._rt = beat, beat.rt
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go, name="beating", daemon=True)

    def start(self) -> Beating:
        """Take the first step here. Raises what Redis refuses, as Full or Conflict; not that Redis is away."""
        self._first = self._step(strict=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop, and take leave if Redis is there. Twice is as once."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if op := self.beat.last():
            with contextlib.suppress(SwarmError):
                self._rt.run_many([op], patience=0)

    def __enter__(self) -> Beating:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _step(self, strict: bool = False) -> float:
        op = self.beat.op()
        if op is None:
            return self.beat.interval
        try:
            result = self._rt.run_many([op], patience=0)[0]
        except SwarmError as e:
            result = e
        return _taken(self.beat, result, strict)

    def _go(self) -> None:
        pause = self._first
        while not self._ended.wait(pause):
            try:
                pause = self._step()
            except Exception:  # of the caller's functions: the agent lives, whatever they do
                log.exception("beating")
                pause = self.beat.interval


class AsyncBeating:
    """The same as Beating, in a task."""

    def __init__(self, beat: Beat):
        self.beat, self._rt = beat, beat.rt
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> AsyncBeating:
        self._task = asyncio.create_task(self._go(await self._step(strict=True)))
        return self

    async def close(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        if self._task:
            await self._task
        if op := self.beat.last():
            with contextlib.suppress(SwarmError):
                await self._rt.run_many([op], patience=0)

    async def __aenter__(self) -> AsyncBeating:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _step(self, strict: bool = False) -> float:
        op = self.beat.op()
        if op is None:
            return self.beat.interval
        try:
            result = (await self._rt.run_many([op], patience=0))[0]
        except SwarmError as e:
            result = e
        return _taken(self.beat, result, strict)

    async def _go(self, pause: float) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ended.wait()
                    return
            try:
                pause = await self._step()
            except Exception:
                log.exception("beating")
                pause = self.beat.interval


def _taken(beat: Beat, result: Any, strict: bool) -> float:
    if strict and isinstance(result, Exception) and not isinstance(result, Unavailable):
        raise result
    return beat.took(result)
