"""Swarms: a registry with objective, strategy, mode and status (S3-01 to S3-10).

A live swarm beats (beating.py does it); one that misses three beats is interrupted, and may be recovered. What is
removed or has expired is archived for seven days. Every reading is by Redis' clock, as if somebody had just swept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, names, new_id, number, one_of
from swarmops.runtime.op import Mode, Op, Room, operation

STATUSES = ("initializing", "active", "recovering", "interrupted", "completed", "failed")
LIVE = ("initializing", "active", "recovering")
STRATEGIES = ("development", "research", "devops")
MODES = ("mesh", "hierarchical")
PRIORITIES = ("high", "normal", "low")
OBJECTIVE = 4096  # characters
RECORD = 64 * 1024  # bytes of objective and metadata
_INDEXES = ("swarms", "swarm_due", "swarm_ended", "swarm_archive", "swarm_archived", "events", "stats")


@dataclass(frozen=True, slots=True)
class Swarm:
    """A swarm as it was when Redis answered. Times are milliseconds of Redis' clock. why: its last change of status."""

    id: str
    objective: str
    strategy: str
    mode: str
    max_agents: int
    metadata: dict[str, Any]
    status: str
    created_ms: int
    beat_ms: int
    load: int
    why: str

    @property
    def phase(self) -> str:
        return str(self.metadata.get("phase", ""))

    @property
    def priority(self) -> str:
        return str(self.metadata.get("priority", "normal"))

    @property
    def capabilities(self) -> tuple[str, ...]:
        return tuple(self.metadata.get("capabilities", ()))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Archived:
    """What is kept of a swarm for seven days. status: its last one. reason: why it left."""

    id: str
    objective: str
    strategy: str
    mode: str
    max_agents: int
    metadata: dict[str, Any]
    status: str
    created_ms: int
    archived_ms: int
    load: int
    reason: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Swept:
    """Ids that a sweep interrupted, and ids that it archived."""

    interrupted: tuple[str, ...]
    expired: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """How many swarms there may be at once, and how many there are. The completed and failed do not count."""

    limit: int
    live: int


class Swarms(Room[Mode]):
    """create, get, list, status, beat, remove, archive, archived, limit, sweep."""

    @operation
    def create(
        self,
        objective: str,
        strategy: str = "development",
        mode: str = "mesh",
        max_agents: int = 5,
        metadata: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        heartbeat: float | None = None,
    ) -> Op[Swarm]:
        """A new swarm, initializing. metadata: phase, priority, capabilities, tags and what else is JSON.

        heartbeat: seconds between its beats. Raises Invalid; Full at the limit; Exists for an id that is taken.
        """
        which = name(id, "id") if id is not None else new_id()
        record: dict[str, Any] = {
            "objective": _objective(objective),
            "strategy": one_of(strategy, STRATEGIES, "strategy"),
            "mode": one_of(mode, MODES, "mode"),
            "max_agents": _whole(max_agents, "max_agents", 1, 10_000),
            "metadata": _metadata(metadata),
        }
        d = wire.dumps(record, "metadata", RECORD)
        wire.loads(d, "metadata")  # what could not be read back is refused now
        beat = number(heartbeat if heartbeat is not None else self.settings.heartbeat, "heartbeat", 0.01, 86400)
        args = (
            which,
            new_id(),
            d,
            round(beat * 1000 * self.settings.dead_after),
            round(self.settings.swarm_ttl * 1000),
            self.settings.swarm_max,
        )

        def read(now: int) -> Swarm:
            return Swarm(which, **record, status="initializing", created_ms=now, beat_ms=now, load=0, why="created")

        return Op("swarm_create", self._registry(*_INDEXES, "swarm_limit"), args, read, safe=True)

    @operation
    def get(self, id: str) -> Op[Swarm]:
        """Raises NotFound."""
        return Op("swarm_get", self._registry(*_INDEXES), (name(id, "id"),), _swarm, safe=True)

    @operation
    def list(
        self,
        status: str | None = None,
        strategy: str | None = None,
        mode: str | None = None,
        phase: str | None = None,
        objective: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Op[Listing]:
        """Newest first; what is given must fit all. objective: a part of it, capital or small."""
        args = (
            _whole(limit, "limit", 1, 10_000),
            _whole(offset, "offset", 0, 1_000_000),
            "" if status is None else one_of(status, STATUSES, "status"),
            "" if strategy is None else one_of(strategy, STRATEGIES, "strategy"),
            "" if mode is None else one_of(mode, MODES, "mode"),
            _text(phase or "", "phase", 200),
            _text(objective or "", "objective", OBJECTIVE).lower(),
        )
        return Op("swarm_list", self._registry(*_INDEXES), args, lambda r: [_swarm(one) for one in r], safe=True)

    @operation
    def status(self, id: str, to: str, why: str = "", *, term: int = 0) -> Op[str]:
        """One step to another status; the one before. The indexes move with it.

        term: the leader's token, if only the leader may do this. Raises NotFound, Illegal (with what is legal), Stale.
        """
        args = (
            name(id, "id"),
            one_of(to, STATUSES, "status"),
            _text(why, "why", 200),
            _whole(term, "term", 0, 1 << 53),
        )
        return Op("swarm_status", self._registry(*_INDEXES, "leader", "term"), args, bytes.decode)

    @operation
    def beat(self, *ids: str) -> Op[dict[str, str | None]]:
        """These swarms live. The status of each, None for one that is not there; only live ones are renewed."""
        args = tuple(name(id, f"ids[{i}]") for i, id in enumerate(ids))

        def read(reply: Sequence[bytes | None]) -> dict[str, str | None]:
            return {id: status.decode() if status else None for id, status in zip(args, reply)}

        return Op("swarm_beat", self._registry(*_INDEXES), args, read, safe=True)

    @operation
    def remove(self, id: str, reason: str = "removed") -> Op[Archived]:
        """It leaves every index and is archived for seven days. Raises NotFound. Twice is as once."""
        args = (name(id, "id"), _text(reason, "reason", 200))
        return Op("swarm_remove", self._registry(*_INDEXES), args, _archived, safe=True)

    deregister = remove

    @operation
    def archive(self, limit: int = 100, offset: int = 0) -> Op[Archive]:
        """Swarms that were removed or have expired, newest first."""
        args = (_whole(limit, "limit", 1, 5000), _whole(offset, "offset", 0, 1_000_000))
        return Op(
            "swarm_archive",
            self._registry("swarm_archive", "swarm_archived"),
            args,
            lambda r: [_archived(one) for one in r],
            safe=True,
        )

    @operation
    def archived(self, id: str) -> Op[Archived]:
        """Raises NotFound."""
        keys = self._registry("swarm_archive", "swarm_archived")
        return Op("swarm_archive", keys, (name(id, "id"),), lambda r: _archived(r[0]), safe=True)

    @operation
    def limit(self, new: int | None = None) -> Op[Limit]:
        """How many swarms there may be at once; `new` sets it for all, 0 puts it back to settings.swarm_max."""
        args = (self.settings.swarm_max, "" if new is None else _whole(new, "limit", 0, 1_000_000))
        keys = self._registry("swarm_limit", "swarms", "swarm_ended", "events")
        return Op("swarm_limit", keys, args, lambda r: Limit(*r), safe=True)

    @operation
    def sweep(self, most: int = 1000) -> Op[Swept]:
        """Interrupt what did not beat, archive what expired. Reading does so too; a coordinator does it in time."""

        def read(reply: Sequence[Sequence[bytes]]) -> Swept:
            interrupted, expired = [tuple(id.decode() for id in ids) for ids in reply]
            return Swept(interrupted, expired)

        return Op("swarm_sweep", self._registry(*_INDEXES), (_whole(most, "most", 1, 10_000),), read, safe=True)


Listing = list[Swarm]
Archive = list[Archived]


def _swarm(reply: Sequence[bytes]) -> Swarm:
    id, status, created, beat, load, why, d = reply
    record = json.loads(d)
    return Swarm(
        id.decode(),
        **record,
        status=status.decode(),
        created_ms=int(created),
        beat_ms=int(beat),
        load=int(load),
        why=why.decode(),
    )


def _archived(text: bytes) -> Archived:
    found = json.loads(text)
    return Archived(**found.pop("d"), **found)


def _objective(value: Any) -> str:
    text = _text(value, "objective", OBJECTIVE)
    if not text.strip():
        raise Invalid("objective", "is empty")
    return text


def _metadata(value: Any) -> dict[str, Any]:
    if value is None:
        return {"priority": "normal"}
    if not isinstance(value, Mapping):
        raise Invalid("metadata", "is not an object")
    found = {"priority": "normal", **value}
    one_of(found["priority"], PRIORITIES, "metadata.priority")
    if "phase" in found:
        _text(found["phase"], "metadata.phase", 200)
    if "capabilities" in found:
        found["capabilities"] = [*names(found["capabilities"], "metadata.capabilities")]
    if "tags" in found:
        if isinstance(found["tags"], str) or not isinstance(found["tags"], Sequence):
            raise Invalid("metadata.tags", "is not a list of texts")
        found["tags"] = [_text(tag, f"metadata.tags[{i}]", 200) for i, tag in enumerate(found["tags"])]
    return found


def _text(value: Any, path: str, most: int) -> str:
    if not isinstance(value, str):
        raise Invalid(path, f"{str(value)[:80]!r} is not text")
    if len(value) > most:
        raise Invalid(path, f"has {len(value)} characters, the most is {most}")
    return value


def _whole(value: Any, path: str, low: int, high: int) -> int:
    if not isinstance(value, int):
        raise Invalid(path, f"{str(value)[:80]!r} is not a whole number")
    return int(number(value, path, low, high))
