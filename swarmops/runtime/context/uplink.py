"""Keeps a site's Redis and a central one in step (S0-30, S0-31): now, or every 300 s. How: see uplink_plans."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from typing import Any

from swarmops.runtime.context.uplink_plans import EVERY, Link, Synced, UplinkStatus
from swarmops.runtime.errors import SwarmError
from swarmops.runtime.flow import carry_out

__all__ = ["EVERY", "AsyncUplink", "Synced", "Uplink", "UplinkStatus"]


class Uplink(Link):
    """Between two `Runtime`s. `start` synchronises every `every` seconds in a thread, until `stop`."""

    _thread: threading.Thread | None = None

    def sync_now(self) -> Synced:
        """Once, now. Raises Unavailable when one of the two is away; the next one goes on where this ended."""
        result: Synced = carry_out(self.local, self.sync_steps())
        return result

    def resolve(self, ref: str | Mapping[str, Any]) -> bytes:
        """A context from here, or from the centre, and then it is here too. Raises NotFound, Corrupt, Unavailable."""
        result: bytes = carry_out(self.local, self.resolve_steps(ref))
        return result

    def status(self) -> UplinkStatus:
        """Asks this site only."""
        result: UplinkStatus = carry_out(self.local, self.status_steps())
        return result

    def start(self) -> Uplink:
        self._stopping, self._now = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name=self.worker, daemon=True)
        self._thread.start()
        return self

    def wake(self) -> None:
        """Have the thread synchronise at once."""
        self._now.set()

    def stop(self) -> None:
        """Ends the thread, after the synchronisation under way."""
        if self._thread:
            self._stopping.set()
            self._now.set()
            self._thread.join()
            self._thread = None

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._now.clear()
            with contextlib.suppress(SwarmError):  # noted; the site works on, and the next time catches up
                self.sync_now()
            self._now.wait(self.every)


class AsyncUplink(Link):
    """The same between two `AsyncRuntime`s. `await run()` synchronises every `every` seconds until cancelled."""

    async def sync_now(self) -> Synced:
        result: Synced = await carry_out(self.local, self.sync_steps())
        return result

    async def resolve(self, ref: str | Mapping[str, Any]) -> bytes:
        result: bytes = await carry_out(self.local, self.resolve_steps(ref))
        return result

    async def status(self) -> UplinkStatus:
        result: UplinkStatus = await carry_out(self.local, self.status_steps())
        return result

    async def run(self) -> None:
        while True:
            with contextlib.suppress(SwarmError):
                await self.sync_now()
            await asyncio.sleep(self.every)
