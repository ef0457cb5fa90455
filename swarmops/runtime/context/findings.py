"""Findings outlive whoever made them (S0-23, S0-24): kept with their shard, in order, found by type, paged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.context.contexts import SLOWEST
from swarmops.runtime.context.shards import shard_keys
from swarmops.runtime.context.synthesis import Syntheses, split
from swarmops.runtime.errors import Invalid, NotFound
from swarmops.runtime.ids import name, new_id, number
from swarmops.runtime.op import Mode, Op, Room, operation

BATCH = 1000  # findings in one call
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Finding:
    """id is `<shard>.<own id>`; seq its number in its shard here; at: ms, when it was first kept anywhere."""

    id: str
    shard: str
    seq: int
    at: int
    task_type: str
    author: str
    site: str
    data: Any

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Page:
    """Some findings in order; `next` is what to give as `after` for those that follow, None at the end."""

    findings: list[Finding]
    next: int | None


def word(value: object, path: str) -> str:
    """A task type or an author: letters, digits, `.`, `_`, `-`, at most 63. Raises Invalid."""
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value
    raise Invalid(path, f"{str(value)[:80]!r} is not a word (letters, digits, '.', '_' and '-', at most 63)")


class Findings(Room[Mode]):
    """`add`, `get`, `list`; `syntheses` makes one of many."""

    @cached_property
    def syntheses(self) -> Syntheses[Mode]:
        return Syntheses(self.runtime)

    @operation
    def add(self, shard: str, task_type: str, data: Any, author: str = "unknown", *, id: str | None = None) -> Op[str]:
        """Keep it; its id. With an own id of the caller's, doing it again changes nothing.

        Raises NotFound (no such shard), Invalid, TooLarge (1 MiB: store a context and keep its reference).
        """
        own = name(id, "id") if id is not None else new_id()
        item = (own, word(task_type, "task_type"), word(author, "author"), "", 0, wire.dumps(data, "data"))
        return self._add(shard, [item], lambda _: f"{shard}.{own}")

    @operation
    def add_all(self, shard: str, findings: Iterable[Finding], site: str = "") -> Op[int]:
        """Keep findings from elsewhere as they are, with their ids and times; how many were new. 1,000 at most."""
        items = []
        for one in findings:
            data = wire.dumps(one.data, "data")
            from_ = name(one.site or site, "site") if one.site or site else ""
            items.append((split(one.id)[1], word(one.task_type, "task_type"), one.author, from_, one.at, data))
        if len(items) > BATCH:
            raise Invalid("findings", f"are {len(items)}, the most is {BATCH}")
        return self._add(shard, items, lambda reply: sum(1 for seq in reply if seq))

    @operation
    def get(self, id: str) -> Op[Finding]:
        """Raises NotFound: never was, or was dropped as one of the oldest."""
        shard, own = split(id)
        key = shard_keys(self.keys, shard, "finding")[0]
        return Op("", (key,), ("HGET", key, own), partial(_found, shard, own), safe=True)

    @operation
    def list(self, shard: str, task_type: str | None = None, *, limit: int = 100, after: int = 0) -> Op[Page]:
        """A page of them in order (fewer than `limit` if they are large)."""
        keys = shard_keys(self.keys, name(shard, "shard"), "meta", "finding", "findings", "types")
        kind = "" if task_type is None else word(task_type, "task_type")
        args = (int(number(after, "after", 0, 2**53)), int(number(limit, "limit", 1, 10_000)), kind)
        return Op("finding_list", keys, args, partial(_page, shard), safe=True)

    def _add(self, shard: str, items: Sequence[tuple[Any, ...]], read: Any) -> Op[Any]:
        keys = shard_keys(self.keys, name(shard, "shard"), "meta", "finding", "findings", "types", "events")
        flat: Sequence[Any] = [a for item in items for a in item]
        slow = sum(len(item[-1]) for item in items) / SLOWEST  # seconds that a slow uplink needs for them
        return Op("finding_add", keys, (shard, len(items), *flat), read, True, True, slow if slow > 1 else 0.0)


def _found(shard: str, own: str, record: bytes | None) -> Finding:
    if record is None:
        raise NotFound(f"there is no finding {shard}.{own} here")
    head, _, data = record.partition(b"\n")
    seq, at, kind, author, site = head.decode().split("|")
    return Finding(f"{shard}.{own}", shard, int(seq), int(at), kind, author, site, wire.loads(data, "finding"))


def _page(shard: str, reply: Any) -> Page:
    more, *flat = reply
    found = [_found(shard, own.decode(), record) for own, record in zip(flat[::2], flat[1::2])]
    return Page(found, found[-1].seq if more and found else None)
