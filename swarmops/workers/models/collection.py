"""Collections of texts that are found by meaning.

On a Redis with vector sets (8.0 and newer) they do the search; elsewhere the vectors lie in a hash and are compared one
by one in NumPy, which gives the same results. A collection stays what it was made as.

| key (`swarm:{vec:<collection>}:...`) | type | holds |
| --- | --- | --- |
| `about` | hash | kind (set, exact), model, version: counts what changed |
| `items` | hash | id -> JSON: text, meta |
| `set` | vector set | ids; attributes: marks of the meta, by which a search filters |
| `vectors` | hash | id -> 384 f32, then the marks as JSON (kind exact only) |

A search filters by marks, not by the meta itself: a hash of field and value, so that nothing a caller gives becomes
part of an expression. Texts are written before vectors and taken away after them: what is found has its text.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from swarmops.runtime import ids, wire
from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.context.contexts import SLOWEST
from swarmops.runtime.errors import Invalid, NotFound, Refused, TooLarge, Unavailable
from swarmops.runtime.op import Arg, Op, good
from swarmops.workers.models.minilm import NAME, Vectors

TEXT = 32 << 10  # bytes of an item's text
META = 8 << 10  # bytes of its meta as JSON
FIELDS = 32  # of a meta
MOST = 500  # items of one call, and the most that a search finds
_ID = 200  # characters


@dataclass(frozen=True, slots=True)
class Item:
    """What is kept. meta: an object; its fields that are text, numbers, true, false or null can be filtered by."""

    id: str
    text: str
    meta: Mapping[str, Any]

    @classmethod
    def of(cls, value: object, path: str) -> Item:
        """Raises Invalid, TooLarge."""
        if not isinstance(value, Mapping) or set(value) - {"id", "text", "meta"}:
            raise Invalid(path, "is not {id, text, meta}")
        id, text, meta = value.get("id"), value.get("text"), value.get("meta") or {}
        if not isinstance(text, str) or not text.strip():
            raise Invalid(f"{path}.text", "is not text")
        if len(text.encode(errors="replace")) > TEXT:
            raise TooLarge(f"{path}.text", f"is longer than {TEXT:,} bytes: chunk it first")
        if not isinstance(meta, Mapping) or len(meta) > FIELDS or not all(isinstance(k, str) for k in meta):
            raise Invalid(f"{path}.meta", f"is not an object with at most {FIELDS} fields")
        wire.dumps(meta, f"{path}.meta", META)
        return cls(item_id(id, f"{path}.id"), text, dict(meta))

    def packed(self) -> bytes:
        return wire.dumps({"text": self.text, "meta": self.meta})


def item_id(value: object, path: str) -> str:
    """One line of at most 200 characters. Raises Invalid."""
    if isinstance(value, str) and 0 < len(value) <= _ID and value.isprintable():
        return value
    raise Invalid(path, f"{str(value)[:40]!r} is not an id (one line of at most {_ID} characters)")


def mark(field: str, value: object) -> tuple[str, str]:
    """Field and value of a meta as they are compared: hashes."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    said = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return f"m{_hash(field)}", _hash(said)


def marks(meta: Mapping[str, Any]) -> dict[str, str]:
    """Of all fields that can be filtered by."""
    plain = {k: v for k, v in meta.items() if v is None or isinstance(v, str | int | float | bool)}
    return dict(mark(k, v) for k, v in plain.items())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class About:
    """Of a collection. kind: set or exact; "" for none."""

    kind: str = ""
    model: str = ""
    version: int = 0

    @classmethod
    def of(cls, reply: Sequence[bytes | None]) -> About:
        kind, model, version = ((v or b"").decode() for v in reply)
        return cls(kind, model, int(version or 0))


class Kind(Protocol):
    """How the vectors of a collection are kept and searched."""

    most: int

    def add(self, collection: str, items: Sequence[Item], vectors: Vectors) -> list[Op[Any]]: ...

    def remove(self, collection: str, which: Sequence[str]) -> list[Op[Any]]: ...

    async def nearest(
        self, collection: str, version: int, vector: Vectors, k: int, where: Mapping[str, str]
    ) -> list[tuple[str, float]]: ...


class Collections:
    """`index`, `search`, `forget`. kinds: by name, "set" and "exact"; exact: never use vector sets."""

    def __init__(self, runtime: AsyncRuntime, kinds: Mapping[str, Kind], exact: bool = False):
        self.runtime, self.keys, self.kinds = runtime, runtime.keys, kinds
        self.preferred = "exact" if exact else ""  # of new collections; "" while we do not know this Redis
        self.why_exact = "off (options.vectors)" if exact else ""

    def key(self, collection: str, part: str) -> str:
        return self.keys.tagged("vec", collection, part)

    async def learn(self) -> str:
        """What new collections are here. Raises Unavailable while Redis is away."""
        if not self.preferred:
            self.why_exact = await may_use_vector_sets(self.runtime)
            self.preferred = "exact" if self.why_exact else "set"
        return self.preferred

    async def about(self, collection: str) -> About:
        """Raises Invalid for one of another model, Unavailable for a kind that this Redis cannot search."""
        key = self.key(ids.name(collection, "collection"), "about")
        found = About.of(await self.runtime.run(Op("", (key,), ("HMGET", key, "kind", "model", "version"), safe=True)))
        if found.model not in ("", NAME):
            raise Invalid("collection", f"{collection} holds vectors of {found.model}, not of {NAME}")
        if found.kind == "set" and await self.learn() == "exact" and self.why_exact:
            raise Unavailable("permission", f"the collection {collection} is a vector set: {self.why_exact}")
        return found

    async def index(self, collection: str, items: Sequence[Item], vectors: Vectors) -> int:
        """Keep items, in place of those with the same ids. The number of items. Raises TooLarge."""
        about = await self.about(collection)
        key, texts = self.key(collection, "about"), self.key(collection, "items")
        if not about.kind:
            # Begins with the time: one that is made again after it was forgotten has other versions than before.
            for name, value in (("model", NAME), ("version", time.time_ns() // 1000), ("kind", await self.learn())):
                await self.runtime.run(Op("", (key,), ("HSETNX", key, name, value), safe=True))
            about = await self.about(collection)
        kind = self.kinds[about.kind]
        new = await self._many([Op("", (texts,), ("HEXISTS", texts, item.id), safe=True) for item in items])
        size: Any = await self.runtime.run(Op("", (texts,), ("HLEN", texts), safe=True))
        after = size + new.count(0)
        if after > kind.most:
            raise TooLarge("items", f"would make it {after:,} in {collection}, the most is {kind.most:,}")
        flat = [word for item in items for word in (item.id, item.packed())]
        weight = sum(len(w) for w in flat if isinstance(w, bytes))
        await self.runtime.run(Op("", (texts,), ("HSET", texts, *flat), safe=True, block=weight / SLOWEST))
        await self._many([*kind.add(collection, items, vectors)])
        await self._changed(key)
        return int(after)

    async def search(
        self, collection: str, vector: Vectors, k: int, where: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The k nearest: id, score (cosine), text, meta. where: fields of the meta that must be equal."""
        about = await self.about(collection)
        if not about.kind:
            raise NotFound(f"there is no collection {collection}")
        wanted = dict(mark(f, v) for f, v in _filter(where).items())
        nearest = await self.kinds[about.kind].nearest(collection, about.version, vector, k, wanted)
        nearest = sorted(nearest, key=lambda n: (-round(n[1], 6), n[0]))
        if not nearest:
            return []
        key = self.key(collection, "items")
        op: Op[Any] = Op("", (key,), ("HMGET", key, *(id for id, _ in nearest)), safe=True, block=0.5)
        found = []
        for (id, score), raw in zip(nearest, await self.runtime.run(op)):
            if raw is not None:  # taken away this moment
                found.append({"id": id, "score": round(score, 6), **wire.loads(raw)})
        return found

    async def forget(self, collection: str, which: Sequence[str] | None = None) -> int:
        """Take items away, or all of it. How many there were."""
        about = await self.about(collection)
        texts, key = self.key(collection, "items"), self.key(collection, "about")
        if which is not None:
            if not which or not about.kind:
                return 0
            await self._many(self.kinds[about.kind].remove(collection, which))
            gone: Any = await self.runtime.run(Op("", (texts,), ("HDEL", texts, *which), safe=True))
            await self._changed(key)
            return int(gone)
        size: Any = await self.runtime.run(Op("", (texts,), ("HLEN", texts), safe=True))
        every = [self.key(collection, part) for part in ("set", "vectors", "items")]
        await self._many([Op("", (one,), ("UNLINK", one), safe=True) for one in [*every, key]])
        return int(size)

    async def _changed(self, key: str) -> None:
        await self.runtime.run(Op("", (key,), ("HINCRBY", key, "version", 1), safe=True))

    async def _many(self, ops: Sequence[Op[Any]]) -> list[Any]:
        return good(await self.runtime.run_many(ops))


def _filter(where: object) -> Mapping[str, Any]:
    if where is None:
        return {}
    if not isinstance(where, Mapping) or len(where) > FIELDS:
        raise Invalid("filter", f"is not an object with at most {FIELDS} fields")
    for field, value in where.items():
        if not (value is None or isinstance(value, str | int | float | bool)):
            raise Invalid(f"filter.{str(field)[:40]}", "is neither text, a number, true, false nor null")
    return where


async def may_use_vector_sets(runtime: AsyncRuntime) -> str:
    """ "" when this Redis has vector sets and lets us use them, otherwise why not. Nothing is written."""
    key = runtime.keys.tagged("vec", "probe", "set")
    # VADD without arguments is refused as wrong where it is allowed, and as not allowed where it is not.
    probes: list[tuple[Arg, ...]] = [("VCARD", key), ("VREM", key, "x"), ("VADD", key), ("VSIM", key)]
    for found in await runtime.run_many([Op("", (key,), words, safe=True) for words in probes]):
        if isinstance(found, Unavailable):
            if found.kind != "permission":
                raise found
            return "its user may not: the ACL needs +vadd +vsim +vrem +vcard"
        if isinstance(found, Refused) and "unknown command" in str(found):
            return "this Redis has none (they came with Redis 8.0)"
    return ""
