"""The heart of a desk: beats for its agents, and lets those go that are not heard of any more (S1-08, S1-15)."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from swarmops.gateways.desk.remote import Remote
from swarmops.runtime.errors import NotFound, SwarmError

if TYPE_CHECKING:
    from swarmops.gateways.desk.members import Members

log = logging.getLogger(__name__)
TICK = 0.5  # seconds between two looks
HOLDERS = 5.0  # seconds at most between two renewals of a lease


class Heart:
    """Runs as long as its desk."""

    def __init__(self, desk: Members):
        self.desk = desk

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                await self.tick()
            except SwarmError:
                continue  # Redis is away: leases are long enough to try again
            except Exception:
                log.exception("looking after remote agents")

    async def tick(self) -> None:
        """One look at all agents."""
        now, times = time.monotonic(), self.desk.times
        every, beat = min(HOLDERS, times.lease / 3), self.desk.runtime.settings.heartbeat * 0.8
        beats: list[Remote] = []
        renew: list[Remote] = []
        gone: list[tuple[Remote, str]] = []
        for remote in self.desk.remotes.values():
            if why := self._silent(remote, now):
                gone.append((remote, why))
                continue
            if remote.away:
                continue
            if now - remote.beat_at >= beat:
                beats.append(remote)
            if remote.holds and now - remote.spoke >= every:
                renew.append(remote)
        await self._beat(beats, now)
        for found in await asyncio.gather(*(self.desk.check(r) for r in renew), return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
        for remote, why in gone:
            await self.desk.forget(remote, why)

    def _silent(self, remote: Remote, now: float) -> str:
        """Why it is taken for gone, or "" """
        times = self.desk.times
        if remote.push is not None or (remote.poll is not None and not remote.poll.done()):
            return ""
        if remote.away:
            return "its connection is gone" if now - remote.away > times.grace else ""
        return f"not heard of for {times.silent:g} s" if now - remote.heard > times.silent else ""

    async def _beat(self, remotes: list[Remote], now: float) -> None:
        """Tell the registry that they live."""
        if not remotes:
            return
        agents = self.desk.runtime.agents
        ops = [agents.beat.op(r.id, len(r.holds) if r.load is None else r.load) for r in remotes]
        for remote, reply in zip(remotes, await self.desk.runtime.run_many(ops, patience=0)):
            if isinstance(reply, NotFound):  # Redis lost it: it registers again, and all is said anew
                await self.desk.lost_by_registry(remote)
            elif isinstance(reply, Exception):
                raise reply
            else:
                remote.beat_at = now
