"""Counters, gauges and latencies, read in one flush (S2-14, S3-51, S3-52). As text they are in prometheus.py.

Any field of the HASH `stats` of the registry or of a queue is a counter and appears by itself; `x_ms` beside counted
things is a sum of milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime.flow import Batch, Steps, flow
from swarmops.runtime.ids import name, names, number
from swarmops.runtime.op import Mode, Op, Room, good, operation
from swarmops.runtime.registry.swarms import STATUSES

LONGEST = 10  # inboxes that are named
_SERVER = ("connected_clients", "used_memory", "maxmemory", "uptime_in_seconds", "evicted_keys")


@dataclass(frozen=True, slots=True)
class Registry:
    """The registry at one moment. inboxes: how many there are; longest: those with the most unread messages."""

    at_ms: int
    counters: dict[str, int]
    agents: int
    agents_alive: int
    leader: bool
    term: int
    events: int
    channels: int
    swarms: dict[str, int]
    inboxes: int
    unread: int
    longest: dict[str, int]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue: gauges of its depth, counters, and mean milliseconds a task waited and ran (None: none did)."""

    name: str
    depth: dict[str, int]
    counters: dict[str, int]
    wait_ms: float | None
    run_ms: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything. round_trip_ms: what reading it took, seen from here. server: numbers of Redis itself.

    commands: server-side latency of scripts in microseconds (p50, p99; Redis 7).
    """

    registry: Registry
    queues: list[Queue]
    server: dict[str, int]
    commands: dict[str, float]
    round_trip_ms: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def statistics(self) -> dict[str, Any]:
        """The words of the sources' getStatistics() (S3-51)."""
        counters = self.registry.counters
        queues = [q.counters for q in self.queues]
        return {
            "registry": {
                "activeSwarms": self.registry.swarms["active"],
                "totalRegistered": counters.get("swarms_registered", 0),
            },
            "state": {"recoveriesPerformed": counters.get("recoveries_performed", 0)},
            "errors": errors(self),
            "coordinator": {
                "tasksDistributed": counters.get("tasks_distributed", 0)
                + sum(q.get("tasks_distributed", 0) for q in queues)
            },
            "messenger": {"messagesSent": counters.get("messages_sent", 0)},
        }


@dataclass(frozen=True, slots=True)
class Alert:
    """level: warning or critical."""

    name: str
    level: str
    value: int
    limit: int
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Stats(Room[Mode]):
    """registry, counters, snapshot."""

    @operation
    def registry(self) -> Op[Registry]:
        """Counters and gauges of the registry at one moment."""
        parts = ("stats", "agents", "inboxes", "channels", "events", "leader", "term")
        dead = round(self.settings.heartbeat * self.settings.dead_after * 1000)
        keys = tuple(self.keys.registry(p) for p in parts)
        return Op("stats_registry", keys, (dead, *STATUSES), _registry, safe=True)

    @operation
    def counters(self, queue: str = "") -> Op[dict[str, int]]:
        """Counters of a queue, or of the registry."""
        key = self.keys.queue(name(queue, "queue"), "stats") if queue else self.keys.registry("stats")
        return Op("", (key,), ("HGETALL", key), _counts, safe=True)

    @operation
    def count(self, what: str, by: int = 1) -> Op[int]:
        """Count something in the registry, as `errors`. What is counted is a name with `_`."""
        field = name(what, "what").replace("-", "_")
        key = self.keys.registry("stats")
        return Op("", (key,), ("HINCRBY", key, field, int(number(by, "by", 1, 1 << 40))), int)

    @flow
    def snapshot(self, queues: Sequence[str] = ("default",)) -> Steps[Snapshot]:
        """All numbers, with those of `queues`. One flush."""
        runtime: Any = self.runtime
        wanted = names(queues, "queues", 100)
        here = self.keys.registry()
        infos: list[Op[Any]] = [Op("", (here,), ("INFO", s), _info, safe=True) for s in SECTIONS]
        per_queue: list[Op[Any]] = [op for q in wanted for op in (runtime.tasks.depth.op(q), self.counters.op(q))]
        began = time.perf_counter()
        found: list[Any] = yield Batch((self.registry.op(), *infos, *per_queue))
        took = (time.perf_counter() - began) * 1000
        server = {k: v for info in found[1 : 1 + len(infos)] if isinstance(info, dict) for k, v in info.items()}
        rest: list[Any] = found[1 + len(infos) :]
        good([found[0], *rest])  # a user without INFO gets the others
        kept = [_queue(q, d, c) for q, d, c in zip(wanted, rest[::2], rest[1::2])]
        numbers = {k: int(server[k]) for k in _SERVER if server.get(k, "").isdigit()}
        return Snapshot(found[0], kept, numbers, _latencies(server), round(took, 3))


SECTIONS = ("clients", "memory", "stats", "server", "latencystats")


def errors(snapshot: Snapshot) -> int:
    """Errors counted since the registry was made, in it and in the queues."""
    return sum(c.get("errors", 0) for c in [snapshot.registry.counters, *(q.counters for q in snapshot.queues)])


def alerts(snapshot: Snapshot, *, active: int = 90, errors_over: int = 100, most: int = 100) -> list[Alert]:
    """What is above its limit (S3-52): active swarms (critical from `most` on), errors (critical from tenfold on)."""
    found = []
    now = snapshot.registry.swarms["active"]
    if now > active:
        level = "critical" if now >= most else "warning"
        found.append(Alert("active", level, now, active, f"{now} swarms are active, more than {active}"))
    wrong = errors(snapshot)
    if wrong > errors_over:
        level = "critical" if wrong >= 10 * errors_over else "warning"
        found.append(
            Alert("errors", level, wrong, errors_over, f"{wrong} errors were counted, more than {errors_over}")
        )
    return found


def _registry(reply: list[Any]) -> Registry:
    counters, now, agents, alive, leads, term, events, channels, swarms, inboxes, lengths = reply
    unread = {a.decode(): n for a, n in zip(lengths[::2], lengths[1::2])}
    longest = sorted(unread.items(), key=lambda one: (-one[1], one[0]))[:LONGEST]
    return Registry(
        at_ms=now,
        counters=_counts(counters),
        agents=agents,
        agents_alive=alive,
        leader=leads == 1,
        term=term,
        events=events,
        channels=channels,
        swarms=dict(zip(STATUSES, swarms)),
        inboxes=inboxes,
        unread=sum(unread.values()),
        longest=dict(longest),
    )


def _queue(queue: str, depth: Any, counters: dict[str, int]) -> Queue:
    runs = counters.get("runs", 0)
    mean = {w: round(counters[w] / runs, 3) if runs and w in counters else None for w in ("wait_ms", "run_ms")}
    gauges = {k: v for k, v in depth.as_dict().items() if isinstance(v, int)}
    return Queue(queue, gauges, counters, mean["wait_ms"], mean["run_ms"])


def _counts(flat: list[bytes]) -> dict[str, int]:
    """Whole numbers only: anything else in there is no counter."""
    found = {}
    for field, value in zip(flat[::2], flat[1::2]):
        try:
            found[field.decode(errors="replace")] = int(value)
        except ValueError:
            continue
    return dict(sorted(found.items()))


def _info(reply: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {k: v for k, colon, v in lines if colon}


def _latencies(server: dict[str, str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in server.get("latency_percentiles_usec_evalsha", "").split(","):
        which, equal, value = part.partition("=")
        if equal and which in ("p50", "p99"):
            found[which] = float(value)
    return found
