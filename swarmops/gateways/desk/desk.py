"""What remote agents may say, and what becomes of it: heartbeat, next, result, progress (see members.py for the rest).

Every remote agent is a worker of its own in Redis, by its id, with a lease of its own. So a task stays with its agent
when this process dies: the agent registers again, names what it holds, and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from swarmops.gateways.desk.heart import Heart
from swarmops.gateways.desk.members import Members
from swarmops.gateways.desk.remote import Message, Remote, task
from swarmops.gateways.desk.said import ids, outcome, whole
from swarmops.gateways.desk.times import Times
from swarmops.runtime import wire
from swarmops.runtime.errors import Illegal, SwarmError
from swarmops.runtime.ids import name, number
from swarmops.runtime.observe.events import Event
from swarmops.runtime.op import Op
from swarmops.runtime.tasks import Claim

TAKEN = {"task.cancelled", "task.retried", "task.dead", "task.orphaned", "task.released", "task.expired"}


class Desk(Members):
    """One in a process, for all agents connected to it. `start` and `close` in the event loop it lives in."""

    def __init__(self, runtime: Any, queues: tuple[str, ...] = ("default",), times: Times | None = None):
        super().__init__()
        self.runtime, self.queues, self.times = runtime, queues, times or Times()
        self.remotes = {}
        self.heart = Heart(self)
        self.config = (0, {})
        self.name = f"desk-{secrets.token_hex(4)}"

    async def start(self) -> None:
        self.spawn(self.heart.run())
        with contextlib.suppress(SwarmError):  # it is asked again when one was pushed
            await self._configuration()

    async def close(self) -> None:
        """Stop. Agents keep what they hold: they will come to the next process of ours, or their leases end."""
        self.closing = True
        for remote in self.remotes.values():
            remote.answer(None)
        for one in list(self._tasks):
            one.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def heartbeat(self, remote: Remote, said: Mapping[str, Any]) -> Message:
        """It lives. holds: what it works on; the answer names what of that is not its own any more."""
        if said.get("load") is not None:
            remote.load = whole(said["load"], "load", 0, 1_000_000)
        remote.heard = time.monotonic()
        lost = [id for id in ids(said.get("holds")) if id not in remote.holds]
        return {"lost": lost, "config_version": self.config[0]}

    async def result(
        self, remote: Remote, said: Mapping[str, Any], tell: Callable[[str], None] = lambda why: None
    ) -> str:
        """How a task went: "" when that was taken, or why it was refused; `tell` hears it before the next task is sent.

        Raises Invalid, TooLarge.
        """
        one, status = outcome(said)
        repeat = one.id, one.attempt, status
        if repeat in remote.done:
            tell("")
            return ""
        hold = remote.holds.get(one.id)
        if hold and hold.claim and remote.kinds and hold.claim.kind not in remote.kinds:
            one = replace(one, unknown=one.error is not None)  # it never said that it does these
        if hold:
            hold.reporting = True
        try:
            async with remote.lock:
                room = remote.room + (1 if hold and remote.push else 0)
                claimed = await self._step(remote, [one], want=min(room, remote.capacity))
        finally:
            if hold:
                hold.reporting = False
        why = dict(claimed.refused).get(one.id, "")
        if hold and remote.holds.get(one.id) is hold and (not why or hold.attempt == one.attempt):
            del remote.holds[one.id]
        if not why:
            remote.done.append(repeat)
        tell(why)
        self.got(remote, claimed)
        if not remote.holds:
            self.spawn(self._rest(remote))
        if remote.room:
            self.line(remote.queue).free(remote)
        return why

    async def progress(self, remote: Remote, said: Mapping[str, Any]) -> None:
        """Raises LeaseLost, Invalid."""
        fraction = number(said.get("fraction", 0), "fraction", 0, 1)
        text = str(said.get("text") or "")[:2000]
        id, attempt = name(said.get("task_id"), "task_id"), whole(said.get("attempt"), "attempt", 1, 1 << 31)
        if id not in remote.holds:
            raise Illegal(f"task {id} is not held by {remote.id}")
        await self.runtime.run(self.runtime.tasks.progress.op(id, attempt, fraction, text, queue=remote.queue))

    async def next(self, remote: Remote, wait: float) -> Message | None:
        """A task for an agent that asks: what it has and was not told of, or a new one within `wait` seconds."""
        remote.answer(None)  # it asks anew: its earlier question has nobody to answer to
        if len(remote.holds) >= remote.capacity:
            again = next((h for h in remote.holds.values() if h.claim), None)
            if again and again.claim:
                return task(again.claim)
            raise Illegal(f"{remote.id} holds {len(remote.holds)} tasks, which is all that it may")
        mine: asyncio.Future[Claim | None] = asyncio.get_running_loop().create_future()
        remote.poll = mine
        self.line(remote.queue).joined(remote)
        try:
            async with asyncio.timeout(wait):
                claim = await mine
        except TimeoutError:
            return None
        finally:
            if remote.poll is mine:
                remote.poll = None
            remote.heard = time.monotonic()
        return task(claim) if claim else None

    async def applied(self, remote: Remote, version: Any) -> None:
        """It has applied this version of the configuration (S1-06). Raises Illegal, Invalid."""
        remote.config = whole(version, "version", 0, 1 << 53)
        await self.runtime.messages.config(f"agent.{remote.id}", remote.config)

    async def pushed(self) -> None:
        """There is a new configuration: all that are connected get it."""
        version, config = await self._configuration()
        for remote in list(self.remotes.values()):
            if remote.push is not None and remote.config < version:
                remote.push({"type": "config_update", "version": version, "config": config})

    async def heard(self, events: Sequence[Event]) -> None:
        """What happened in Redis: a new configuration, or tasks that may not be our agents' any more."""
        if any(e.what == "config.pushed" for e in events):
            await self.pushed()
        taken = {id for e in events if e.what in TAKEN for id in e.id.split()}
        if taken:
            losers = [r for r in self.remotes.values() if r.holds and not taken.isdisjoint(r.holds)]
            await asyncio.gather(*(self.check(r) for r in losers))

    async def _configuration(self) -> tuple[int, dict[str, Any]]:
        key = self.runtime.keys.registry("config")
        version, config = await self.runtime.run(Op("", (key,), ("HMGET", key, "version", "d"), safe=True))
        self.config = (int(version or 0), wire.loads(config, "config") if config else {})
        return self.config
