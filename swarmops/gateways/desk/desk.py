"""What remote agents may say, and what becomes of it: register, heartbeat, next, result, progress, unregister.

Every remote agent is a worker of its own in Redis, by its id, with a lease of its own. So a task stays with its agent
when this process dies: the agent registers again, names what it holds, and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swarmops.gateways.desk.claims import Claims
from swarmops.gateways.desk.heart import Heart
from swarmops.gateways.desk.remote import Hold, Message, Remote, task
from swarmops.gateways.desk.said import Introduction, ids, outcome, whole
from swarmops.gateways.desk.times import Times
from swarmops.runtime import wire
from swarmops.runtime.errors import Forbidden, Full, Illegal, NotFound, SwarmError
from swarmops.runtime.ids import name, new_id, number
from swarmops.runtime.observe.events import Event
from swarmops.runtime.op import Op
from swarmops.runtime.tasks import Claim

MOST = 5000  # agents at one desk
TAKEN = {"task.cancelled", "task.retried", "task.dead", "task.orphaned", "task.released", "task.expired"}


class Desk(Claims):
    """One in a process, for all agents connected to it. `start` and `close` in the event loop it lives in."""

    def __init__(self, runtime: Any, queues: tuple[str, ...] = ("default",), times: Times | None = None):
        super().__init__()
        self.runtime, self.queues, self.times = runtime, queues, times or Times()
        self.remotes = {}
        self.heart = Heart(self)
        self.config: tuple[int, dict[str, Any]] = (0, {})
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

    # -- coming and going

    async def register(
        self, owner: str, said: Mapping[str, Any], door: str, push: Callable[[Message], None] | None = None
    ) -> Message:
        """Take an agent up, or up again. Raises Invalid, Forbidden (the id is another's), Full."""
        intro = Introduction.of(said, self.queues, lambda: f"agent-{new_id()}")
        known = self.remotes.get(intro.id)
        fresh = known is None
        if known is None:
            if len(self.remotes) >= MOST:
                raise Full(f"there are {MOST} agents at this desk, which is the most")
            known = self.remotes[intro.id] = Remote(intro, owner, time.monotonic())
        elif known.owner != owner:
            raise Forbidden(f"agent {intro.id} belongs to another token")
        try:
            async with known.lock:
                lost = await self._take_up(known, intro, owner, door)
        except BaseException:
            if fresh:
                self.remotes.pop(intro.id, None)
            raise
        if known.push is not None and known.push != push:
            known.push({"type": "error", "error": "another connection registered this agent", "fatal": True})
        known.push, known.away, known.heard = push, 0.0, time.monotonic()
        self.line(known.queue).joined(known)
        version, config = self.config
        answer = {"agent_id": intro.id, "heartbeat_s": self.times.heartbeat, "config_version": version, "lost": lost}
        return {**answer, "config": config} if version > intro.config else answer

    async def _take_up(self, remote: Remote, intro: Introduction, owner: str, door: str) -> list[str]:
        """In the registry, and what it holds as Redis knows it. The ids that it holds no more."""
        await self._ours(intro.id, owner)
        agents, messages = self.runtime.agents, self.runtime.messages
        metadata = {
            "door": door, "token": owner, "kinds": list(intro.kinds), "queue": intro.queue, "desk": self.name
        }  # fmt: skip
        made = agents.register.op(intro.id, intro.caps, metadata, facts=intro.facts)
        for reply in await self.runtime.run_many([made, messages.join.op("agents", f"agent.{intro.id}")]):
            if isinstance(reply, Exception):
                raise reply
        if remote.queue != intro.queue:
            self.line(remote.queue).left(remote)
        remote.told(intro)
        remote.registration, remote.beat_at = made, time.monotonic()
        if intro.holds is None:
            await self._started_anew(remote)
            return []
        claimed = await self._step(remote, holding=list(intro.holds))
        remote.holds = {
            id: remote.holds.get(id) or Hold(attempt) for id, attempt in intro.holds.items() if id not in claimed.lost
        }
        await self._give_back(remote, claimed.strays)
        if not remote.holds:
            await self._at_rest(remote)
        return claimed.lost

    async def _ours(self, id: str, owner: str) -> None:
        """Raises Forbidden when somebody else lives under this name."""
        with contextlib.suppress(NotFound):
            there = await self.runtime.agents.get(id)
            if there.health != "dead" and there.metadata.get("token") != owner:
                raise Forbidden(f"agent {id} is there already, and not by this token")

    async def _started_anew(self, remote: Remote) -> None:
        """It knows of nothing: what it held died with it, which counts as a death, so that no task kills for ever."""
        remote.holds.clear()
        claimed = await self._step(remote, holding=[], lease_ms=1)
        if claimed.strays:
            await asyncio.sleep(0.005)
            await self.runtime.tasks.step(self.line(remote.queue).name, lease_ms=0, queue=remote.queue)
        else:
            await self._at_rest(remote)

    async def unregister(self, owner: str, id: str) -> int:
        """It goes: what it holds is given back at once. How many that were. Raises NotFound, Forbidden."""
        remote = await self.known(owner, id)
        async with remote.lock:
            n: int = await self.runtime.run(self.runtime.tasks.leave.op(remote.id, queue=remote.queue))
            remote.holds.clear()
        await self.forget(remote, "it has ended")
        return n

    async def forget(self, remote: Remote, why: str) -> None:
        """Out of this desk and the registry. What it still holds is freed by the end of its lease."""
        if self.remotes.get(remote.id) is remote:
            del self.remotes[remote.id]
        self.line(remote.queue).left(remote)
        agents, messages = self.runtime.agents, self.runtime.messages
        with contextlib.suppress(NotFound):
            if (await agents.get(remote.id)).metadata.get("desk") != self.name:
                return  # it has gone to another process of ours
        if remote.holds:
            await self._step(remote, lease_ms=1)
        await self.runtime.run_many(
            [agents.remove.op(remote.id, why), messages.leave.op("agents", f"agent.{remote.id}")], patience=0
        )

    async def hung_up(self, remote: Remote, push: Callable[[Message], None]) -> None:
        """Its WebSocket is gone. It may come back within the time of grace."""
        if remote.push != push:  # it has another connection already
            return
        remote.push, remote.away = None, time.monotonic()
        with contextlib.suppress(SwarmError):
            async with remote.lock:
                if remote.holds and remote.push is None and not self.closing:
                    await self._step(remote, lease_ms=round(self.times.grace * 1000))

    async def known(self, owner: str, id: Any) -> Remote:
        """An agent of this token; one of another process of ours is taken over. Raises NotFound, Forbidden."""
        remote = self.remotes.get(name(id, "agent_id")) or await self._taken_over(owner, id)
        if remote.owner != owner:
            raise Forbidden(f"agent {id} belongs to another token")
        remote.heard = time.monotonic()
        return remote

    async def _taken_over(self, owner: str, id: str) -> Remote:
        there = await self.runtime.agents.get(id)
        if there.health == "dead":
            raise NotFound(f"no agent {id} is registered")
        if there.metadata.get("token") != owner:
            raise Forbidden(f"agent {id} belongs to another token")
        said, tasks = {**there.metadata, "desk": self.name}, self.runtime.tasks
        queue = said["queue"] if said.get("queue") in self.queues else self.queues[0]
        intro = Introduction(id, there.capabilities, tuple(said.get("kinds", ())), there.facts, queue, 1, 0, {})
        remote = Remote(intro, owner, time.monotonic())
        remote.registration = self.runtime.agents.register.op(id, there.capabilities, said, facts=there.facts)
        await self.runtime.run(remote.registration)
        for which in (await self._step(remote, holding=[])).strays:
            held = await tasks.get(which, queue=queue)
            claim = Claim(which, held.attempt, held.kind, wire.dumps(held.args), meta=held.meta)
            remote.holds[which] = Hold(held.attempt, claim)
        if not remote.holds:
            await self._at_rest(remote)
        if id in self.remotes:  # somebody was quicker
            return self.remotes[id]
        self.remotes[id] = remote
        self.line(remote.queue).joined(remote)
        return remote

    # -- what it says

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
        if hold and remote.holds.get(one.id) is hold and (not why or hold.attempt <= one.attempt):
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

    async def lost_by_registry(self, remote: Remote) -> None:
        """The registry does not know it any more, and it lives: it is made known again."""
        if remote.registration is not None:
            await self.runtime.run(remote.registration)
            await self.runtime.messages.join("agents", f"agent.{remote.id}")
            remote.beat_at = time.monotonic()

    async def _configuration(self) -> tuple[int, dict[str, Any]]:
        key = self.runtime.keys.registry("config")
        version, config = await self.runtime.run(Op("", (key,), ("HMGET", key, "version", "d"), safe=True))
        self.config = (int(version or 0), wire.loads(config, "config") if config else {})
        return self.config
