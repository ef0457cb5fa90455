"""Two swarms want the same: who gets it, by which rule, and why (S3-34 to S3-37).

    rt.conflicts.resolve("resource", "swarm-a", "swarm-b").winner                       # by priority
    vote = rt.conflicts.resolve("resource", "swarm-a", "swarm-b", "vote", deadline=30)
    rt.conflicts.vote(vote.id, "swarm-c", "swarm-a")

priority: high before normal before low, unknown is normal; a tie goes to the earlier. timestamp: the swarm that was
created earlier; one whose time is unknown came later; then the smaller id. vote: see `resolve`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, names, new_id, number, one_of
from swarmops.runtime.op import Mode, Op, Room, operation

STRATEGIES = ("priority", "timestamp", "vote")
_PARTS = ("conflicts", "conflict_order", "conflict_open", "swarms", "inboxes", "leader", "term")


@dataclass(frozen=True, slots=True)
class Conflict:
    """status: open (a vote that runs) or decided. Times are milliseconds of Redis' clock; votes: for a, for b."""

    id: str
    kind: str
    a: str
    b: str
    strategy: str
    status: str
    winner: str
    loser: str
    reason: str
    at: int
    decided: int = 0
    deadline: int = 0
    quorum: int = 0
    votes: tuple[int, int] = (0, 0)
    electorate: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Conflicts(Room[Mode]):
    """resolve, vote, get, list, close."""

    @operation
    def resolve(
        self,
        kind: str,
        swarm_a: str,
        swarm_b: str,
        strategy: str = "priority",
        *,
        id: str | None = None,
        deadline: float = 30.0,
        quorum: int = 0,
        electorate: Sequence[str] | None = None,
    ) -> Op[Conflict]:
        """Decide, or open a vote. The decision is recorded and both swarms find it in their inboxes.

        A vote ends when a quorum has voted and the rest cannot change the outcome, when all have voted, or `deadline`
        seconds from now. A tie, or no quorum, is decided by priority. quorum: 0 is more than half. electorate: those
        who may vote, by default all active swarms. Raises NotFound if neither swarm is there, Illegal, Full, Exists.
        """
        if name(swarm_a, "swarm_a") == name(swarm_b, "swarm_b"):
            raise Invalid("swarm_b", f"{swarm_b!r} has no conflict with itself")
        rule = one_of(strategy, STRATEGIES, "strategy")
        args: tuple[Any, ...] = (name(id or new_id(), "id"), name(kind, "kind"), swarm_a, swarm_b, rule)
        if rule == "vote":
            ms = int(number(deadline, "deadline", 0.01, 86400) * 1000)
            args = (*args, ms, int(number(quorum, "quorum", 0, 1000)), *names(electorate or (), "electorate", 1000))
        return Op("conflict_resolve", self._keys(), args, _conflict, safe=True)

    @operation
    def vote(self, id: str, swarm: str, choice: str) -> Op[Conflict]:
        """One swarm's vote. Raises Late, Forbidden (not in the electorate), Conflict (voted otherwise), Illegal."""
        args = (name(id, "id"), name(swarm, "swarm"), name(choice, "choice"))
        return Op("conflict_vote", self._keys(), args, _conflict, safe=True)

    @operation
    def get(self, id: str) -> Op[Conflict]:
        """One conflict; a vote whose deadline has passed is decided by that. Raises NotFound."""
        return Op("conflict_close", self._keys(), (0, name(id, "id"), 1), lambda r: _conflict(r[0]), safe=True)

    @operation
    def list(self, limit: int = 100) -> Op[Records]:
        """Votes that run, then what was decided, newest first; the last 1,000."""
        keys = tuple(map(self.keys.registry, _PARTS[:3]))
        most = int(number(limit, "limit", 1, 2000))
        return Op("conflict_list", keys, (most,), lambda r: [_conflict(one) for one in r], safe=True)

    @operation
    def close(self, term: int, limit: int = 100) -> Op[Records]:
        """The leader's duty: decide the votes whose deadline has passed. Raises Stale."""
        args = (int(number(term, "term", 1, 1 << 53)), "", int(number(limit, "limit", 1, 1000)))
        return Op("conflict_close", self._keys(), args, lambda r: [_conflict(one) for one in r], safe=True)

    def _keys(self) -> tuple[str, ...]:
        return self._registry(*_PARTS, "events", "stats")


Records = list[Conflict]


def _conflict(reply: bytes) -> Conflict:
    it = json.loads(reply)
    votes = (it.pop("votes_a", 0), it.pop("votes_b", 0))
    return Conflict(**{**it, "votes": votes, "electorate": tuple(it.get("electorate", ()))})
