"""Whether Redis is there, looked at all the time, so that nobody has to wait to be told that it is not.

While it is away, requests that need it are answered 503 at once, and those under way are ended within two seconds.
When it is back they are served again, by nobody's hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection
from typing import Any

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.errors import SwarmError, Unavailable
from swarmops.runtime.op import command
from swarmops.runtime.settings import Settings
from swarmops.web.answers import answer

EVERY = 0.5  # seconds between two looks
WITHIN = 1.0  # seconds that one look may take
log = logging.getLogger(__name__)


def impatient(settings: Settings) -> Settings:
    """For those who answer requests: say soon that Redis is away, and let the caller try again."""
    return settings.but(patience=0.5, connect_timeout=min(1.0, settings.connect_timeout), lease=settings.lease)


class Pulse:
    """Looks at Redis over a connection of its own. up: it answered the last time. round_trip_ms: how fast."""

    def __init__(self, settings: Settings):
        self.settings = settings.but(patience=0, connect_timeout=WITHIN, timeout=WITHIN, connections=2)
        self.up, self.why, self.round_trip_ms = False, "it was not asked yet", 0.0
        self.since = time.monotonic()
        self._gates: list[Gate] = []

    async def run(self) -> None:
        """Look until cancelled."""
        async with AsyncRuntime(self.settings) as rt:
            while True:
                await self._look(rt)
                await asyncio.sleep(EVERY)

    async def _look(self, rt: AsyncRuntime) -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(WITHIN):
                await rt.run(command(rt.keys.registry(), "PING", safe=True))
        except (SwarmError, TimeoutError) as e:
            why = str(e) or f"{self.settings.place} did not answer within {WITHIN:g} s"
            if self.up or why != self.why:
                log.warning("Redis is away: %s", why)
            self._turn(False, why)
        else:
            self.round_trip_ms = round((time.perf_counter() - began) * 1000, 3)
            if not self.up:
                log.info("Redis is there: %s", self.settings.place)
            self._turn(True, "")

    def _turn(self, up: bool, why: str) -> None:
        if up != self.up:
            self.since = time.monotonic()
        self.up, self.why = up, why
        if not up:
            for gate in self._gates:
                gate.fell()

    def watched_by(self, gate: Gate) -> None:
        self._gates.append(gate)


class Gate:
    """Answers 503 while Redis is away, but for `open_paths`. Answers that have begun (streams) are left alone."""

    def __init__(self, app: Any, pulse: Pulse, open_paths: Collection[str] = ()):
        self.app, self.pulse, self.open_paths = app, pulse, frozenset(open_paths)
        self._under_way: set[asyncio.Task[Any]] = set()
        self._cut: set[asyncio.Task[Any]] = set()
        pulse.watched_by(self)

    def fell(self) -> None:
        """Redis went away: nobody waits on."""
        for task in self._under_way - self._cut:
            self._cut.add(task)
            task.cancel()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] in self.open_paths:
            await self.app(scope, receive, send)
            return
        if not self.pulse.up:
            await self._away()(scope, receive, send)
            return
        begun = False

        async def sending(message: Any) -> None:
            nonlocal begun
            begun = True
            self._under_way.discard(task)
            await send(message)

        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            await self.app(scope, receive, sending)
        except asyncio.CancelledError:
            if begun or task not in self._cut:
                raise
            task.uncancel()
        finally:
            self._under_way.discard(task)
            was_cut = task in self._cut
            self._cut.discard(task)
        if was_cut and not begun:
            with contextlib.suppress(OSError):
                await self._away()(scope, receive, send)

    def _away(self) -> Any:
        return answer(Unavailable("away", f"Redis cannot be used now: {self.pulse.why}"))
