"""Memory shards: who holds which context, and what was found in it (S0-18, S0-26 to S0-28).

A shard has two halves: its own data, and a row in the registry, which lie in two slots of a cluster. Registering
writes the row first, so that a shard with data always has one; a beat writes both again, so that whatever half was
lost is back one beat later. A shard that stops beating leaves the status after its ttl. Its findings stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.context.contexts import TTL, Contexts, label
from swarmops.runtime.errors import NotFound
from swarmops.runtime.flow import Steps, flow
from swarmops.runtime.ids import name, number
from swarmops.runtime.keys import Keys
from swarmops.runtime.op import Executor, Mode, Op, Room, operation

CAPACITY = 200_000
ALIVE = 300.0  # seconds without a beat
KEEP = 90 * 86400.0  # seconds that findings live after the last write to their shard
MOST = 10_000  # findings of one shard
PREVIEW = 5000
SHARDS = 10_000  # in one listing


@dataclass(frozen=True, slots=True)
class Version:
    """A context that a shard has loaded. size and stored in bytes."""

    version: int
    sha: str
    size: int
    stored: int
    loaded: int
    source: str

    @property
    def reference(self) -> dict[str, Any]:
        """What a task carries instead of the content; `rt.contexts.resolve` takes it."""
        return {"id": f"ctx:{self.sha}", "version": self.version, "size": self.size, "sha": self.sha}

    def as_dict(self) -> dict[str, Any]:
        return {**self.reference, "stored": self.stored, "loaded": self.loaded, "source": self.source}


@dataclass(frozen=True, slots=True)
class Shard:
    """A row of the registry. Times in ms of Redis' clock."""

    id: str
    specialization: str
    context_capacity: int
    queue: str
    site: str
    registered: int
    expires: int
    alive: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ShardState:
    """What a shard holds now."""

    id: str
    specialization: str
    queue: str
    findings: int
    last: int  # the number of the newest finding
    dropped: int
    requests: int
    beat: int
    versions: list[Version] = field(default_factory=list)

    @property
    def newest(self) -> Version | None:
        return self.versions[0] if self.versions else None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "versions": [v.as_dict() for v in self.versions]}


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker is given: the first characters, and where the rest is."""

    shard_id: str
    specialization: str
    preview: str
    reference: dict[str, Any] | None
    source: str
    findings_count: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def shard_keys(keys: Keys, shard: str, *parts: str) -> tuple[str, ...]:
    return tuple(keys.tagged("shard", shard, part) for part in parts)


class Shards(Room[Mode]):
    """Register, beat, load a context, look."""

    def __init__(self, runtime: Executor):
        super().__init__(runtime)
        self._contexts: Contexts[Mode] = Contexts(runtime)

    @flow
    def register(
        self,
        shard: str,
        specialization: str = "general",
        *,
        context_capacity: int = CAPACITY,
        ttl: float = ALIVE,
        keep: float = KEEP,
        findings: int = MOST,
        queue: str = "",
        site: str = "",
    ) -> Steps[int]:
        """The shard is there; when it was first registered, in ms. Again: alive again, with this record.

        ttl: seconds it is alive after a beat. keep: seconds its data lives after the last write (0: for ever).
        findings: how many are kept. queue: where its tasks are (default: a queue of its own, named like it).
        """
        name(shard, "shard")
        label(specialization, "specialization")
        number(ttl, "ttl", 0.01, 10 * 365 * 86400)
        number(keep, "keep", 0, 10 * 365 * 86400)
        number(findings, "findings", 1, 10_000_000)
        record = {
            "specialization": specialization,
            "context_capacity": int(number(context_capacity, "context_capacity", 0, 1e12)),
            "queue": name(queue or shard, "queue"),
            "site": name(site, "site") if site else "",
        }
        row = wire.dumps(record, "shard", 4096)
        since: int = (yield [self.index_op(shard, row, int(ttl * 1000), int(keep * 1000))])[0]
        args = (shard, row, int(ttl * 1000), int(keep * 1000), int(findings))
        yield [Op("shard_open", shard_keys(self.keys, shard, "meta", "events"), args, safe=True)]
        return since

    @flow
    def beat(self, shard: str) -> Steps[None]:
        """It lives; its newest context is kept too. Raises NotFound."""
        keys = shard_keys(self.keys, name(shard, "shard"), "meta", "versions")
        row, ttl, keep, newest = (yield [Op("shard_beat", keys, (), safe=True)])[0]
        ops: list[Op[Any]] = [self.index_op(shard, row, int(ttl), int(keep))]
        if newest:
            ops.append(self._contexts.touch_op(_version(newest).sha))
        yield ops

    @flow
    def load_context(self, shard: str, data: str | bytes, source: str = "", ttl: float = TTL) -> Steps[Version]:
        """Store `data`, and make it the newest version of this shard's context. The same again is the same version.

        Raises NotFound, TooLarge, Invalid.
        """
        name(shard, "shard")
        stored = yield from self._contexts.store.steps(data, source, ttl)
        new = Version(0, stored.id, stored.size, stored.stored, 0, source)
        made: Version = (yield [self.version_op(shard, new)])[0]
        return made

    @flow
    def context_for_worker(self, shard: str, characters: int = PREVIEW) -> Steps[WorkerContext]:
        """A preview of the newest context and its full reference. Raises NotFound, Corrupt."""
        number(characters, "characters", 0, 60_000)
        state: ShardState = (yield [self.get.op(shard)])[0]
        newest, preview = state.newest, ""
        if newest:
            preview = yield from self._contexts.preview.steps(newest.reference, characters)
        reference, source = (newest.reference, newest.source) if newest else (None, "")
        return WorkerContext(shard, state.specialization, preview, reference, source, state.findings)

    @flow
    def context(self, shard: str, version: int | None = None) -> Steps[bytes]:
        """All of its newest context, or of an older version (20 are remembered). Raises NotFound, Corrupt."""
        state: ShardState = (yield [self.get.op(shard)])[0]
        found = [v for v in state.versions if version in (None, v.version)]
        if not found:
            which = "no context" if version is None else f"no version {version} of its context"
            raise NotFound(f"shard {shard} has {which}")
        return (yield from self._contexts.read.steps(found[0].reference))

    @operation
    def get(self, shard: str) -> Op[ShardState]:
        """What it holds. Raises NotFound."""
        keys = shard_keys(self.keys, name(shard, "shard"), "meta", "findings", "open", "held", "versions")
        return Op("shard_get", keys, (), lambda r: _state(shard, r), safe=True)

    @operation
    def list(self, everyone: bool = False, limit: int = SHARDS) -> Op[list[Shard]]:
        """Those alive, or everyone known, by the time their life ends."""
        keys = (self.keys.registry("shards"), self.keys.registry("shard_until"))
        most = int(number(limit, "limit", 1, 1_000_000))
        return Op("shard_roster", keys, (int(everyone), most), _roster, safe=True)

    @operation
    def events(self, shard: str, limit: int = 100) -> Op[Sequence[dict[str, str]]]:
        """What happened to it, newest first: shard.registered, context.loaded, finding.added, synthesis.*"""
        key = shard_keys(self.keys, name(shard, "shard"), "events")[0]
        args = ("XREVRANGE", key, "+", "-", "COUNT", int(number(limit, "limit", 1, 10_000)))
        return Op("", (key,), args, _events, safe=True)

    @flow
    def remove(self, shard: str) -> Steps[bool]:
        """Forget it, with its findings and syntheses. False: it was not there."""
        keys = shard_keys(self.keys, name(shard, "shard"), "meta", "open", "held", "done")
        was = (yield [Op("shard_remove", keys, (), safe=True)])[0]
        registry = (self.keys.registry("shards"), self.keys.registry("shard_until"), self.keys.registry("events"))
        listed = (yield [Op("shard_drop", registry, (shard,), safe=True)])[0]
        return bool(was or listed)

    @flow
    def status(self) -> Steps[dict[str, Any]]:
        """total_shards, and of each that lives shard_id, specialization, findings_count, pending_tasks (S0-28).

        By the number of shards, not of tasks or findings.
        """
        from swarmops.runtime.tasks import Tasks

        tasks: Tasks[Any] = Tasks(self.runtime)
        alive: Sequence[Shard] = (yield [self.list.op()])[0]
        rows = []
        for first in range(0, len(alive), 200):
            some = alive[first : first + 200]
            counts = yield [self._count_op(s.id) for s in some]
            depths = yield [tasks.depth.op(s.queue) for s in some]
            for shard, count, depth in zip(some, counts, depths):
                row = {"shard_id": shard.id, "specialization": shard.specialization, "findings_count": count}
                rows.append({**row, "pending_tasks": depth.ready + depth.delayed + depth.blocked + depth.posted})
        return {"total_shards": len(rows), "shards": rows}

    def _count_op(self, shard: str) -> Op[int]:
        key = shard_keys(self.keys, shard, "findings")[0]
        return Op("", (key,), ("ZCARD", key), safe=True)

    def version_op(self, shard: str, version: Version) -> Op[Version]:
        """This is its newest context. The content is stored elsewhere, before or later."""
        keys = shard_keys(self.keys, shard, "meta", "versions", "events")
        args = (shard, version.sha, version.size, version.stored, version.source, version.version)
        return Op("shard_load", keys, args, _version, safe=True, durable=True)

    def index_op(self, shard: str, row: bytes, ttl_ms: int, keep_ms: int) -> Op[int]:
        """The registry's half of a registration or beat."""
        keys = tuple(self.keys.registry(k) for k in ("shards", "shard_until", "events", "stats"))
        return Op("shard_index", keys, (shard, row, ttl_ms, keep_ms), safe=True)


def _version(entry: bytes) -> Version:
    version, sha, size, stored, loaded, source = entry.decode().split("|", 5)
    return Version(int(version), sha, int(size), int(stored), int(loaded), source)


def _state(shard: str, reply: Any) -> ShardState:
    flat, findings, requests, versions = reply
    if not flat:
        raise NotFound(f"there is no shard {shard} here")
    meta = {k.decode(): v for k, v in zip(flat[::2], flat[1::2])}
    said = wire.loads(meta["d"], "shard")
    return ShardState(
        id=shard,
        specialization=said["specialization"],
        queue=said["queue"],
        findings=findings,
        last=int(meta.get("seq", 0)),
        dropped=int(meta.get("dropped", 0)),
        requests=requests,
        beat=int(meta["beat"]),
        versions=[_version(v) for v in versions],
    )


def _roster(reply: Any) -> list[Shard]:
    now, found = int(reply[0]), []
    for shard, row, until in zip(reply[1::3], reply[2::3], reply[3::3]):
        registered, _, record = row.split(b"|", 2)
        said = wire.loads(record, "shard")
        found.append(
            Shard(shard.decode(), **said, registered=int(registered), expires=int(until), alive=int(until) > now)
        )
    return found


def _events(reply: Any) -> list[dict[str, str]]:
    found = []
    for at, flat in reply:
        fields = {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2])}
        found.append({"at": at.decode().split("-")[0], **fields})
    return found
