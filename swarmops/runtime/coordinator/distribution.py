"""Work for whole swarms: a backlog, out of which the leader gives each task to one active swarm (S3-23 to S3-31).

    rt.distribution.submit("index the docs", capabilities=["search"])
    for one in rt.distribution.take("swarm-1", 5):           # on the swarm's side
        rt.distribution.complete(one.id, "swarm-1", one.attempt, {"pages": 12})

A task is always in exactly one place: the backlog, one swarm's hands, or the ended ones. Each move is one script.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, names, new_id, number, one_of
from swarmops.runtime.op import Arg, Mode, Op, Room, operation

STRATEGIES = ("least_loaded", "round_robin", "priority", "capability")
PRIORITIES = ("high", "normal", "low")
BATCH = 10  # tasks a cycle (S3-31)
BODY = 64 * 1024  # bytes of one task
_KEYS = ("dist_pending", "dist_stuck", "dist_at", "dist_body", "dist_out", "dist_ended", "distribution", "dist_busy")
_MORE = ("dist_hint", "swarms", "inboxes", "leader", "term", "events", "stats")


@dataclass(frozen=True, slots=True)
class Submitted:
    """where: distributed (a swarm has it), forwarded (the leader was told), queued (nobody leads, or nobody can).

    new: False if the id was known; ended: it is done already.
    """

    id: str
    new: bool
    where: str
    leader: str
    swarm: str = ""
    attempt: int = 0
    ended: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Given:
    """A task that a swarm is to do. attempt: says who may end it, after a swarm was taken for dead."""

    id: str
    attempt: int
    description: str
    type: str
    priority: str
    capabilities: tuple[str, ...]
    effort: float
    by: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """status: pending, stuck (no active swarm can do it), assigned, done, failed. since_ms: Redis' clock."""

    id: str
    status: str
    swarm: str
    attempt: int
    since_ms: int
    result: Any = None
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Cycle:
    """One cycle of the leader. given: task, swarm, attempt. stuck: ids that no active swarm can do, since now."""

    given: list[tuple[str, str, int]]
    stuck: list[str]
    returned: int
    waiting: int
    swarms: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits and with whom the rest is. stuck_ids: the first of them."""

    strategy: str
    cursor: str
    pending: int
    stuck: int
    assigned: int
    ended: int
    stuck_ids: list[str]
    loads: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Distribution(Room[Mode]):
    """submit, cycle, take, complete, fail, give_back, return_all, get, backlog, strategy."""

    @operation
    def submit(
        self,
        description: str,
        type: str = "task",
        priority: str = "normal",
        capabilities: Sequence[str] = (),
        estimated_effort: float = 1.0,
        id: str | None = None,
        *,
        by: str = "",
        term: int = 0,
    ) -> Op[Submitted]:
        """Accept a task, once by its id. term: the leader's own token; it distributes at once then.

        Raises Invalid; Full (100,000 are open); Stale.
        """
        which = name(id, "id") if id is not None else new_id()
        if not isinstance(description, str) or not description.strip():
            raise Invalid("description", "is not a text, or is empty")
        body: dict[str, Any] = {
            "description": description,
            "type": name(type, "type"),
            "priority": one_of(priority, PRIORITIES, "priority"),
            "effort": number(estimated_effort, "estimated_effort", 0, 1e9),
            "by": by and name(by, "by"),
        }
        if capabilities:
            body["capabilities"] = [*names(capabilities, "capabilities")]
        data = wire.dumps(body, "description", BODY)
        wire.loads(data, "description")  # what could not be read back is refused now
        args = (PRIORITIES.index(priority), _term(term), which, data)

        def read(reply: Any) -> Submitted:
            new, leader, status, swarm, attempt = reply
            given = status == b"assigned"
            where = (
                "distributed" if given else "forwarded" if leader and not term and status == b"pending" else "queued"
            )
            return Submitted(
                which, new == 1, where, leader.decode(), swarm.decode() if given else "", attempt, status == b"ended"
            )

        return Op("distribute_submit", self._keys(), args, read, safe=True, durable=True)

    @operation
    def cycle(self, term: int, batch: int = BATCH) -> Op[Cycle]:
        """The leader's duty: give up to `batch` tasks to active swarms, after what dead swarms held came back.

        Raises Stale, and changes nothing then.
        """
        args = (_term(term, 1), int(number(batch, "batch", 1, 100)))
        return Op("distribute", self._keys(), args, _cycle, safe=True)

    @operation
    def take(self, swarm: str, n: int = 10, have: Sequence[str] = ()) -> Op[Tasks]:
        """What the swarm has been given, the most urgent first, but for what it has in hand already (`have`).

        Nothing is lost with an answer or a restart: until it is ended or given back, a task is handed out again to
        whoever asks for this swarm without having it. So one process should ask for a swarm.
        """
        key = self.keys.registry
        keys = (key("assigned", name(swarm, "swarm")), key("dist_at"), key("dist_body"))
        return Op(
            "distribute_take", keys, (swarm, int(number(n, "n", 1, 1000)), *_ids(have, "have")), _given, safe=True
        )

    @operation
    def complete(self, id: str, swarm: str, attempt: int, result: Any = None) -> Op[bool]:
        """It is done; False if that was known. Raises Late if another swarm has it or ended it, NotFound, TooLarge."""
        return self._end(id, swarm, attempt, "done", wire.dumps(result, "result", BODY), "")

    @operation
    def fail(self, id: str, swarm: str, attempt: int, error: str) -> Op[bool]:
        """It cannot be done, by any swarm; else `give_back`. Raises as `complete` does."""
        return self._end(id, swarm, attempt, "failed", b"", str(error)[:2000])

    @operation
    def give_back(self, swarm: str, tasks: Sequence[tuple[str, int]], why: str = "given back") -> Op[int]:
        """A swarm does not do these (id, attempt): into the backlog again; how many still were its own."""
        args: tuple[Arg, ...] = (0, str(why)[:200], name(swarm, "swarm"), *_pairs(tasks))
        return Op("distribute_return", self._keys(), args, int, safe=True)

    @operation
    def return_all(self, term: int, *swarms: str, why: str = "the swarm is recovered") -> Op[int]:
        """The leader takes back what these swarms have open, at most 1,000 of each; how much. Raises Stale."""
        args: tuple[Arg, ...] = (_term(term, 1), str(why)[:200], *_ids(swarms, "swarms"))
        return Op("distribute_return", self._keys(), args, int, safe=True)

    @operation
    def get(self, id: str) -> Op[Whereabouts]:
        """Where a task is, or how it ended. Raises NotFound, also for those before the last 10,000 that ended."""
        keys = tuple(self.keys.registry(part) for part in ("dist_at", "dist_body", "dist_out"))
        which = name(id, "id")
        return Op("distribute_get", keys, (which,), lambda r: _whereabouts(which, r), safe=True)

    @operation
    def backlog(self, stuck: int = 100) -> Op[Backlog]:
        """How much waits, what no swarm can do, and who has how much."""
        return self._backlog("", stuck)

    @operation
    def strategy(self, new: str) -> Op[Backlog]:
        """Distribute by another strategy from the next cycle on (S3-30)."""
        return self._backlog(one_of(new, STRATEGIES, "strategy"), 100)

    def _backlog(self, strategy: str, stuck: int) -> Op[Backlog]:
        parts = ("dist_pending", "dist_stuck", "dist_body", "dist_ended", "distribution", "dist_busy", "events")
        args = (strategy, int(number(stuck, "stuck", 0, 10_000)))
        return Op("distribute_backlog", tuple(map(self.keys.registry, parts)), args, _read_backlog, safe=True)

    def _end(self, id: str, swarm: str, attempt: int, status: str, result: bytes, error: str) -> Op[bool]:
        args = (name(swarm, "swarm"), name(id, "id"), int(number(attempt, "attempt", 1, 1e9)), status, result, error)
        return Op("distribute_complete", self._keys(), args, bool, safe=True, durable=True)

    def _keys(self) -> tuple[str, ...]:
        return self._registry(*_KEYS, *_MORE)


Tasks = list[Given]


def _term(value: int, low: int = 0) -> int:
    return int(number(value, "term", low, 1 << 53))


def _ids(values: Sequence[str], path: str) -> tuple[str, ...]:
    return tuple(name(one, f"{path}[{i}]") for i, one in enumerate(values))


def _pairs(tasks: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    return tuple(x for id, attempt in tasks for x in (name(id, "tasks"), str(int(attempt))))


def _cycle(reply: Any) -> Cycle:
    given, stuck, returned, waiting, swarms = reply
    return Cycle(
        [(id.decode(), swarm.decode(), n) for id, swarm, n in given],
        [s.decode() for s in stuck],
        returned,
        waiting,
        swarms,
    )


def _given(reply: Any) -> Tasks:
    found = []
    for id, attempt, body in reply:
        it = json.loads(body)
        it["capabilities"] = tuple(it.get("capabilities", ()))
        found.append(Given(id.decode(), attempt, **it))
    return found


def _whereabouts(id: str, reply: Any) -> Whereabouts:
    line, data = reply
    if line:
        status, attempt, swarm, _, since = line.decode().split()
        return Whereabouts(id, status, "" if swarm == "-" else swarm, int(attempt), int(since))
    it = json.loads(data)
    return Whereabouts(id, it["status"], it["swarm"], it["attempt"], it["at"], it.get("result"), it["error"])


def _read_backlog(reply: Any) -> Backlog:
    strategy, cursor, pending, stuck, open_, ended, ids, loads = reply
    found = {s.decode(): n for s, n in zip(loads[::2], loads[1::2])}
    return Backlog(
        strategy.decode(),
        cursor.decode(),
        pending,
        stuck,
        open_ - pending - stuck,
        ended,
        [i.decode() for i in ids],
        dict(sorted(found.items())),
    )
