"""How remote agents come and go: register, come back, hang up, unregister, and are taken over by another process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from swarmops.gateways.desk.claims import Claims
from swarmops.gateways.desk.remote import Hold, Message, Remote
from swarmops.gateways.desk.said import Introduction
from swarmops.runtime import wire
from swarmops.runtime.errors import Forbidden, Full, NotFound, SwarmError
from swarmops.runtime.ids import name, new_id
from swarmops.runtime.op import good
from swarmops.runtime.tasks import Claim

MOST = 5000  # agents at one desk


class Members(Claims):
    """The part of a desk that knows who is there, and whose each agent is."""

    queues: tuple[str, ...]
    config: tuple[int, dict[str, Any]]  # version and configuration last pushed
    name: str  # of this process, in the registry

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
        good(await self.runtime.run_many([made, messages.join.op("agents", f"agent.{intro.id}")]))
        if remote.queue != intro.queue:
            self.line(remote.queue).left(remote)
        remote.told(intro)
        remote.registration, remote.beat_at = made, time.monotonic()
        if intro.holds is None:
            await self._started_anew(remote)
            return []
        claimed = await self._step(remote, holding=list(intro.holds), exactly=True)
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
            await asyncio.sleep(0.005)  # its lease of 1 ms is over then: nothing but time ends one
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
        else:
            await self.runtime.tasks.leave(remote.id, queue=remote.queue)
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

    async def lost_by_registry(self, remote: Remote) -> None:
        """The registry does not know it any more, and it lives: it is made known again."""
        if remote.registration is not None:
            await self.runtime.run(remote.registration)
            await self.runtime.messages.join("agents", f"agent.{remote.id}")
            remote.beat_at = time.monotonic()
