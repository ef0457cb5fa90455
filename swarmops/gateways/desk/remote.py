"""A remote agent as its desk knows it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swarmops.gateways.desk.said import MOST, Introduction
from swarmops.runtime.op import Op
from swarmops.runtime.tasks import Claim

Message = dict[str, Any]


@dataclass(slots=True)
class Hold:
    """A task that an agent has. claim: None when another process of ours claimed it."""

    attempt: int
    claim: Claim | None = None
    reporting: bool = False  # its outcome is on the way to Redis


class Remote:
    """One agent. Its name is also that of its worker in the queue: it survives a restart of ours."""

    __slots__ = (
        "away",
        "beat_at",
        "capacity",
        "caps",
        "config",
        "done",
        "heard",
        "holds",
        "id",
        "kinds",
        "load",
        "lock",
        "owner",
        "poll",
        "push",
        "queue",
        "registration",
        "spoke",
    )

    def __init__(self, said: Introduction, owner: str, now: float):
        self.id, self.owner = said.id, owner
        self.lock = asyncio.Lock()  # held while Redis is told something of this worker
        self.push: Callable[[Message], None] | None = None  # to its WebSocket
        self.poll: asyncio.Future[Claim | None] | None = None  # its waiting GET /tasks/next
        self.registration: Op[bool] | None = None  # what makes it known, should Redis forget it
        self.holds: dict[str, Hold] = {}
        self.done: deque[tuple[str, int, str]] = deque(maxlen=MOST)  # what it reported last: id, attempt, status
        self.load: int | None = None
        self.away = 0.0  # since when its connection is gone
        self.heard = self.spoke = self.beat_at = now  # from it; for it to the queue, and to the registry
        self.told(said)

    def told(self, said: Introduction) -> None:
        self.caps, self.kinds, self.queue, self.capacity = said.caps, said.kinds, said.queue, said.capacity
        self.config = said.config

    @property
    def room(self) -> int:
        """How many more tasks it takes now."""
        if self.push is not None:
            return max(0, self.capacity - len(self.holds))
        waits = self.poll is not None and not self.poll.done()
        return int(waits and len(self.holds) < self.capacity)

    def answer(self, claim: Claim | None) -> None:
        """End its waiting GET, if there is one."""
        if self.poll is not None and not self.poll.done():
            self.poll.set_result(claim)


def task(claim: Claim) -> Message:
    """A claim as agents get it."""
    found: Message = {
        "task_id": claim.id,
        "type": claim.kind,
        "args": json.loads(claim.args),
        "attempt": claim.attempt,
        "timeout_s": claim.timeout_ms / 1000 if claim.timeout_ms else None,
    }
    if claim.meta:
        found["meta"] = dict(claim.meta)
    if claim.parents:
        found["parents"] = dict(claim.parents)
    return found
