"""What a desk tells Redis of its agents: each is a worker with a lease, and one call says and asks all at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from swarmops.gateways.desk.line import Line
from swarmops.gateways.desk.remote import Hold, Remote, task
from swarmops.gateways.desk.times import Times
from swarmops.runtime.errors import SwarmError
from swarmops.runtime.tasks import Claim, Claimed, Outcome

log = logging.getLogger(__name__)


class Claims:
    """The part of a desk that speaks with the queues. What concerns one agent is said under its lock."""

    runtime: Any
    times: Times
    remotes: dict[str, Remote]
    closing = False

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def line(self, queue: str) -> Line:
        if queue not in self.lines:
            self.lines[queue] = Line(self, queue)
        return self.lines[queue]

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Something that goes on beside, until the desk closes."""
        one = asyncio.create_task(coroutine)
        self._tasks.add(one)
        one.add_done_callback(self._ended)

    def _ended(self, one: asyncio.Task[Any]) -> None:
        self._tasks.discard(one)
        if not one.cancelled() and (e := one.exception()) is not None:
            log.error("the desk: %s", e, exc_info=None if isinstance(e, SwarmError) else e)

    async def _step(self, remote: Remote, results: Sequence[Outcome] = (), **more: Any) -> Claimed:
        lease = more.pop("lease_ms", round(self.times.lease * 1000))
        op = self.runtime.tasks.step.op(
            remote.id, results, caps=remote.caps, lease_ms=lease, queue=remote.queue, **more
        )
        claimed: Claimed = await self.runtime.run(op)
        remote.spoke = time.monotonic()
        return claimed

    async def claim(self, remote: Remote) -> int:
        """Ask for as much as it takes now. How many it got."""
        async with remote.lock:
            want = remote.room
            if not want:
                return 0
            claimed = await self._step(remote, want=want)
            self.got(remote, claimed)
            if not remote.holds:
                await self._at_rest(remote)
        return len(claimed.tasks)

    def got(self, remote: Remote, claimed: Claimed) -> None:
        """Hand over what was claimed."""
        for claim in claimed.tasks:
            remote.holds[claim.id] = Hold(claim.attempt, claim)
            if claim.fault:
                self.spawn(self._spoilt(remote, claim))
            elif remote.push is not None:
                remote.push({**task(claim), "type": "task", "kind": claim.kind})
            else:
                remote.answer(claim)

    async def check(self, remote: Remote) -> None:
        """Renew its lease, and hear what it has lost."""
        async with remote.lock:
            asked = {id: h for id, h in remote.holds.items() if not h.reporting}
            claimed = await self._step(remote, holding=list(remote.holds))
            for id in claimed.lost:
                if id in asked and remote.holds.get(id) is asked[id] and not asked[id].reporting:
                    del remote.holds[id]
                    if remote.push is not None:
                        why = {"type": "cancel", "task_id": id, "attempt": asked[id].attempt}
                        remote.push({**why, "reason": "it was cancelled, timed out or given to another"})
            await self._give_back(remote, claimed.strays)

    async def _give_back(self, remote: Remote, ids: list[str], **more: Any) -> None:
        if ids:
            await self._step(remote, released=ids, **more)

    async def _at_rest(self, remote: Remote) -> None:
        """It holds nothing: it needs no lease, which would have to be renewed. What Redis gave it and never came to it
        (an answer was lost) goes back, for without a lease nobody would miss it."""
        claimed = await self._step(remote, holding=[], lease_ms=0)
        await self._give_back(remote, claimed.strays, lease_ms=0)

    async def _rest(self, remote: Remote) -> None:
        async with remote.lock:
            if not remote.holds:
                await self._at_rest(remote)

    async def _spoilt(self, remote: Remote, claim: Claim) -> None:
        """A posted task that cannot be read: no agent should have to say so."""
        async with remote.lock:
            await self._step(remote, [Outcome.failed(claim, claim.fault, retry=False)])
            remote.holds.pop(claim.id, None)
