"""The line before one queue: hands its tasks to whichever connected agents are free, at once (S1-04).

However many agents there are, one connection waits for Redis' hints, and once a second one look is taken at what is
there. So idle agents cost Redis nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Any

from swarmops.gateways.desk.remote import Remote
from swarmops.runtime.errors import SwarmError
from swarmops.runtime.op import Op, good

if TYPE_CHECKING:
    from swarmops.gateways.desk.claims import Claims

log = logging.getLogger(__name__)
WAIT = 1.0  # seconds that Redis keeps us waiting
AT_ONCE = 64  # agents for whom is asked in one flush
KEYS = 1000  # capabilities that one wait covers


class Line:
    """Runs while it has agents."""

    def __init__(self, desk: Claims, queue: str):
        self.desk, self.queue = desk, queue
        self.name = f"desk-{secrets.token_hex(4)}"  # of the worker that looks after timers, and holds nothing
        self.agents: dict[str, Remote] = {}  # who got something last is last
        self._wake = desk.runtime.keys.queue(queue, "wake")
        self._bell = f"{self._wake}:{self.name}"
        self._waits_for: set[str] | None = None  # capabilities that the wait under way covers
        self._running = False
        self._kick = asyncio.Event()

    def joined(self, remote: Remote) -> None:
        """There is an agent that may be free."""
        self.agents.setdefault(remote.id, remote)
        self.agents[remote.id] = remote
        if not self._running:
            self._running = True
            self.desk.spawn(self._run())
        if remote.room:
            self.desk.spawn(self._first(remote))

    def left(self, remote: Remote) -> None:
        if self.agents.get(remote.id) is remote:
            del self.agents[remote.id]

    async def _first(self, remote: Remote) -> None:
        """What it can have now, and if that is nothing, a wait that covers what it can do."""
        try:
            if await self.desk.claim(remote):
                self.agents[remote.id] = self.agents.pop(remote.id, remote)
                return
        except SwarmError:
            pass  # the line looks again
        self.free(remote)

    def free(self, remote: Remote) -> None:
        """It waits for work: whatever the line waits for shall cover what it can do."""
        waits = self._waits_for
        self._kick.set()
        if waits is not None and not waits.issuperset(remote.caps):
            self.desk.spawn(self._ring())

    async def _ring(self) -> None:
        key = self._bell
        with contextlib.suppress(SwarmError):
            await self.desk.runtime.run_many(
                [Op("", (key,), ("LPUSH", key, "1")), Op("", (key,), ("PEXPIRE", key, 5000))]
            )

    # -- waiting and handing out

    async def _run(self) -> None:
        try:
            while self.agents and not self.desk.closing:
                try:
                    await self._wait()
                    await self._serve()
                except SwarmError:
                    await asyncio.sleep(0.3)
                except Exception:  # a fault of ours must not end the work of all
                    log.exception("handing out the tasks of queue %s", self.queue)
                    await asyncio.sleep(1)
        finally:
            self._running = False

    async def _wait(self) -> None:
        """Until there may be something for somebody who is free; a second at most."""
        caps: set[str] = set()
        free = False
        for remote in self.agents.values():
            if remote.room:
                free = True
                caps.update(remote.caps)
        if not free:
            self._kick.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT):
                    await self._kick.wait()
            return
        keys = [self._bell, self._wake, *(f"{self._wake}:{c}" for c in sorted(caps)[:KEYS])]
        self._waits_for = caps
        try:
            wait: Op[Any] = Op("", tuple(keys), ("BLPOP", *keys, WAIT), safe=True, block=WAIT)
            (told,) = await self.desk.runtime.run_many([wait], patience=0)
            if isinstance(told, Exception):
                raise told
        finally:
            self._waits_for = None
        if told and told[0].decode() != self._bell and not any(r.room for r in self.agents.values()):
            hint = told[0].decode()  # nobody is free any more: somebody else shall hear it
            await self.desk.runtime.run(Op("", (hint,), ("LPUSH", hint, "1")))

    async def _serve(self) -> None:
        """Look after timers, then give what is ready to those who can do it."""
        for lane in await self._lanes():
            size = 1
            while group := self._free(lane, size):
                got = await asyncio.gather(*(self.desk.claim(remote) for remote in group), return_exceptions=True)
                for e in got:
                    if isinstance(e, BaseException):
                        raise e
                for remote, n in zip(group, got):
                    if n and remote.id in self.agents:
                        self.agents[remote.id] = self.agents.pop(remote.id)
                if not all(got):
                    break
                size = min(size * 2, AT_ONCE)

    async def _lanes(self) -> list[str]:
        """The sets of needs for which there may be tasks."""
        key = self.desk.runtime.keys.queue(self.queue, "lanes")
        look = self.desk.runtime.tasks.step.op(self.name, lease_ms=0, queue=self.queue)
        asked = [look, Op("", (key,), ("SMEMBERS", key), safe=True)]
        found = good(await self.desk.runtime.run_many(asked, patience=0))
        return [lane.decode() for lane in found[1]]

    def _free(self, lane: str, most: int) -> list[Remote]:
        """Up to `most` agents that have room and can do what the lane needs."""
        needs = [n for n in lane.lstrip("!").split(",") if n]
        found: list[Remote] = []
        for remote in self.agents.values():
            if remote.room and all(n in remote.caps for n in needs):
                found.append(remote)
                if len(found) >= most:
                    break
        return found
