"""Resource pools that many swarms share: never more is given out than there is (S3-32, S3-33).

    rt.resources.define("cpu", 400)
    rt.resources.allocate("swarm-1", "cpu", 200)      # Full when there is not so much left
    rt.resources.release("swarm-1", "cpu", 200)

The leader takes back what a dead swarm holds and, where its pool says so, what lies idle.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, names, new_id, number
from swarmops.runtime.op import Mode, Op, Room, operation

MOST = 1 << 50  # of one kind


@dataclass(frozen=True, slots=True)
class Share:
    """What a swarm holds of a kind, and what is left of the pool."""

    swarm: str
    kind: str
    held: int
    left: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Pool:
    """idle: seconds without use after which the leader takes a share back, 0 for never."""

    kind: str
    amount: int
    used: int
    idle: float

    @property
    def left(self) -> int:
        """Not below zero, also after the pool was made smaller than what is in use."""
        return max(0, self.amount - self.used)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "left": self.left}


@dataclass(frozen=True, slots=True)
class Pools:
    """All pools by kind, and swarm -> kind -> amount."""

    pools: dict[str, Pool]
    held: dict[str, dict[str, int]]

    def as_dict(self) -> dict[str, Any]:
        return {"pools": [pool.as_dict() for pool in self.pools.values()], "held": self.held}


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What the leader took back."""

    swarm: str
    kind: str
    amount: int
    why: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Resources(Room[Mode]):
    """define, allocate, release, use, list, reclaim."""

    @operation
    def define(self, kind: str, amount: int, *, idle: float | None = None, if_absent: bool = False) -> Op[Pool]:
        """There is `amount` of a kind; less than is in use is allowed: nothing more is given out until enough is back.

        idle: see Pool; None leaves it. if_absent: leave a pool that is there alone.
        """
        ms = "" if idle is None else int(number(idle, "idle", 0, 1e7) * 1000)
        args = (name(kind, "kind"), _amount(amount, 0), ms, int(if_absent))
        keys = self._registry("pool", "pool_used", "pool_idle", "events")
        return Op("resource_define", keys, args, lambda r: Pool(kind, r[0], r[1], idle or 0.0), safe=True)

    @operation
    def allocate(self, swarm: str, kind: str, amount: int, *, id: str | None = None) -> Op[Share]:
        """Raises Full, and NotFound for a pool that is not defined or a swarm that is not there or interrupted."""
        args = (name(id or new_id(), "id"), name(swarm, "swarm"), name(kind, "kind"), _amount(amount, 1))
        keys = self._sharing("pool", "pool_used", "shares")
        return Op("resource_allocate", keys, args, lambda r: Share(swarm, kind, r[0], r[1]), safe=True)

    @operation
    def release(self, swarm: str, kind: str, amount: int | None = None, *, id: str | None = None) -> Op[int]:
        """Give back `amount` (None: all), at most what the swarm holds: how much it was. Raises NotFound (pool)."""
        given = "" if amount is None else _amount(amount, 1)
        args = (name(id or new_id(), "id"), name(swarm, "swarm"), name(kind, "kind"), given)
        return Op("resource_release", self._sharing("pool", "pool_used", "shares"), args, int, safe=True)

    @operation
    def use(self, swarm: str, *kinds: str) -> Op[int]:
        """The swarm uses these shares now, so that they are not taken back as idle; how many of them it holds."""
        args = (name(swarm, "swarm"), *names(kinds, "kinds"))
        return Op("resource_use", self._registry("swarms"), args, int, safe=True)

    @operation
    def list(self, limit: int = 1000) -> Op[Pools]:
        """All pools, and what the first `limit` swarms hold."""
        most = int(number(limit, "limit", 1, 10_000))
        return Op(
            "resource_list", self._registry("pool", "pool_used", "pool_idle", "shares"), (most,), _pools, safe=True
        )

    @operation
    def reclaim(self, term: int, limit: int = 200) -> Op[Taken]:
        """The leader's duty: back into the pools comes what dead swarms hold, and what is idle. Raises Stale."""
        args = (int(number(term, "term", 0, 1 << 53)), int(number(limit, "limit", 1, 10_000)))
        parts = ("leader", "term", "pool_used", "pool_idle", "shares", "share_cursor", "swarms", "inboxes")
        return Op("resource_reclaim", self._registry(*parts, "events", "stats"), args, _reclaimed, safe=True)

    def _sharing(self, *parts: str) -> tuple[str, ...]:
        return self._registry(*parts, "share_asked", "share_asked_at", "swarms", "inboxes", "events", "stats")


Taken = list[Reclaimed]


def _amount(value: int, low: int) -> int:
    if not isinstance(value, int):
        raise Invalid("amount", f"{str(value)[:80]!r} is not a whole number")
    return int(number(value, "amount", low, MOST))


def _pools(reply: Any) -> Pools:
    pools, held = reply
    found = {k.decode(): Pool(k.decode(), int(a), int(u), int(idle) / 1000) for k, a, u, idle in pools}
    shares = {s.decode(): {k.decode(): int(v) for k, v in zip(kv[::2], kv[1::2])} for s, kv in held}
    return Pools(dict(sorted(found.items())), dict(sorted(shares.items())))


def _reclaimed(reply: Any) -> list[Reclaimed]:
    return [Reclaimed(swarm.decode(), kind.decode(), amount, why.decode()) for swarm, kind, amount, why in reply]
