"""Leadership: a lease with a fencing token (S3-21, S3-22, F5-F7). The loop that campaigns is in candidate.py.

The token, `term`, grows with every new leader. Whatever only the leader may do carries it, and the script that does it
asks `fence` (scripts/registry.lua) whether it is still the newest: a leader that slept through its lease is refused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime.ids import name, number
from swarmops.runtime.op import Mode, Op, Room, operation

LEASES = (0.05, 86400.0)  # seconds


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who leads. `leading`: the one who campaigned does. Times are milliseconds of Redis' clock."""

    leading: bool
    holder: str
    term: int
    since_ms: int
    until_ms: int
    left_ms: int  # of the lease, when Redis answered

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Leader(Room[Mode]):
    """campaign, resign, who, check."""

    @operation
    def campaign(self, id: str, lease_ms: int | None = None, *, nonce: str = "") -> Op[Leadership]:
        """Become leader if nobody leads, renew if `id` does; one script. `lease_ms`: settings.lease by default.

        nonce: tells two processes that go by the same id apart; only the same pair renews.
        """
        lease = lease_ms if lease_ms is not None else round(self.settings.lease * 1000)
        number(lease / 1000, "lease", *LEASES)
        args = (name(id, "id"), nonce and name(nonce, "nonce"), int(lease))
        return Op("leader_campaign", self._registry("leader", "term", "events", "stats"), args, _leadership, safe=True)

    @operation
    def resign(self, id: str, term: int) -> Op[bool]:
        """Give leadership of `term` up: another may lead at once. Raises Stale or Forbidden if not the caller's."""
        keys = self._registry("leader", "term", "events")
        return Op("leader_resign", keys, (name(id, "id"), _term(term)), bool, safe=True)

    @operation
    def who(self) -> Op[Leadership | None]:
        """Who leads now, None if nobody does. (`leading` is False: nobody campaigned.)"""
        return Op("leader_who", self._registry("leader"), (), lambda r: _leadership(r) if r else None, safe=True)

    @operation
    def check(self, term: int) -> Op[int]:
        """Milliseconds left of the lease of `term`. Raises Stale if somebody else leads by now, or nobody does."""
        return Op("leader_check", self._registry("leader", "term"), (_term(term),), int, safe=True)


def _term(value: int) -> int:
    return int(number(value, "term", 0, 1 << 53))


def _leadership(reply: list[Any]) -> Leadership:
    leading, holder, term, since, left, now = reply
    return Leadership(bool(leading), holder.decode(), term, since, now + left, left)
