"""Snapshots of states: the last ten of each, by hand and by the leader's clock (S3-41, S3-42, S3-48)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swarmops.runtime.errors import Conflict, Corrupt, NotFound
from swarmops.runtime.flow import Steps, flow
from swarmops.runtime.ids import name as checked
from swarmops.runtime.ids import new_id, number
from swarmops.runtime.op import Mode, Op, Room, operation
from swarmops.runtime.state.record import Mark, label_of, read_mark, regs, term_of, unseal

SNAPSHOTS = 10  # of one state


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot or checkpoint that was read and checked. now: the version of the state by then, None for no state."""

    mark: Mark
    value: Any
    data: bytes
    now: int | None


class Snapshots(Room[Mode]):
    """snapshot, snapshots, read_snapshot, restore, due_snapshots, take_due."""

    @operation
    def snapshot(
        self, name: str, label: str = "", *, by: str = "", id: str | None = None, term: int | None = None
    ) -> Op[Mark]:
        """Keep the state as it is now, under a new id and perhaps a label. The oldest of more than ten goes."""
        args = (checked(id or new_id(), "id"), label_of(label, "label"), label_of(by, "by"), SNAPSHOTS, term_of(term))
        return take_op(self, "snapshot", name, args)

    @operation
    def snapshots(self, name: str) -> Op[list[Mark]]:
        """What snapshots there are, the newest first."""
        return list_op(self, "snapshot", name)

    @operation
    def read_snapshot(self, name: str, which: str = "") -> Op[Kept]:
        """The snapshot of that id, else the newest of that label, '' for the newest. Raises NotFound, Corrupt."""
        return read_op(self, "snapshot", name, which)

    @flow
    def restore(self, name: str, which: str = "", *, by: str = "", term: int | None = None) -> Steps[int]:
        """Make the state what a snapshot holds, and note its id in `restored_from`. The new version.

        which: an id or a label; '' is the newest. Raises NotFound, Corrupt (nothing is changed then), Stale.
        """
        for _ in range(100):
            kept = yield self.read_snapshot.op(name, which)
            save = self.runtime.state.save.op  # type: ignore[attr-defined]
            try:
                version: int = yield save(name, kept.value, kept.now, by=by, term=term, restored_from=kept.mark.id)
                return version
            except Conflict:
                continue
        raise Conflict(f"state {name} was written 100 times while it was to be restored")

    @operation
    def due_snapshots(self, limit: int = 100) -> Op[list[tuple[str, int]]]:
        """States and when the leader looks at each next (Redis' milliseconds), the soonest first."""
        key, most = self.keys.registry("snapshot_due"), int(number(limit, "limit", 1, 10_000))
        args = ("ZRANGE", key, 0, most - 1, "WITHSCORES")
        return Op("", (key,), args, lambda r: [(n.decode(), int(at)) for n, at in zip(r[::2], r[1::2])], safe=True)

    @operation
    def take_due(self, term: int, limit: int = 20) -> Op[list[str]]:
        """The leader's duty: snapshot what is due, each live swarm once an interval; the names of those taken.

        Runs on from where it was after a restart: the times lie in Redis. States of ended swarms get their ttl here
        (settings.swarm_ttl, their checkpoints 3 times as long, their snapshots 7). Raises Stale.
        """
        keys = regs(self.keys, "snapshot_due states swarm_archived term leader events stats")
        interval, ttl = int(self.settings.snapshot_interval * 1000), int(self.settings.swarm_ttl * 1000)
        args = (term_of(term), interval, ttl, int(number(limit, "limit", 1, 1000)), SNAPSHOTS)
        return Op("snapshot_due", keys, args, lambda r: [n.decode() for n in r], safe=True)


def take_due(rt: Any, term: int) -> Any:
    """`rt.state.take_due(term)`: a list of names, or an awaitable of it."""
    return rt.state.take_due(term)


def take_op(
    room: Room[Any], kind: str, name: str, args: tuple[Any, ...], data: bytes = b"", checksum: str = ""
) -> Op[Mark]:
    reg, name = room.keys.registry, checked(name, "name")
    keys = (
        reg("state", name),
        reg(f"{kind}s", name),
        reg(kind, name),
        *map(reg, ("term", "leader", "events", "stats")),
    )
    sent = (kind, name, *args, data, checksum)
    return Op("snapshot_take", keys, sent, lambda r: read_mark(r, f"{kind} of {name}"), safe=True, durable=True)


def list_op(room: Room[Any], kind: str, name: str) -> Op[list[Mark]]:
    checked(name, "name")

    def read(reply: Any) -> list[Mark]:
        return [_mark(id.decode(), data) for id, data in reply]

    return Op("snapshot_list", regs(room.keys, f"{kind}s {kind}", name), (), read, safe=True)


def _mark(id: str, data: bytes) -> Mark:
    """One that is broken stays in the list: reading it tells."""
    try:
        return read_mark(data, id)
    except Corrupt:
        return Mark(id, "(broken)", 0, 0, "", 0, "")


def read_op(room: Room[Any], kind: str, name: str, which: str) -> Op[Kept]:
    label_of(which, "which")
    keys = regs(room.keys, f"state {kind}s {kind}", checked(name, "name"))

    def read(reply: Any) -> Kept:
        if not reply:
            raise NotFound(f"state {name} has no {kind} {which}".rstrip())
        described, data, now = reply
        mark = read_mark(described, f"{kind} {which} of {name}")
        value = unseal(data, mark.sum, f"{kind} {mark.id} of {name}")
        return Kept(mark, value, data, int(now) if now.isdigit() else None)

    return Op("snapshot_read", keys, (which,), read, safe=True)
