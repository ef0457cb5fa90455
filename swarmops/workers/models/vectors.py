"""The two ways to keep vectors: Redis' vector sets, and a hash with exact search in NumPy."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.op import Arg, Op
from swarmops.workers.models.collection import Item, marks
from swarmops.workers.models.minilm import DIM, Vectors

EXACT = 10_000  # items up to which a vector set compares with all of them
EFFORT = 500  # candidates that it looks at beyond that
_ROW = DIM * 4  # bytes of a vector


class VectorSets:
    """Redis 8: HNSW of f32 (not quantized, so that scores are those of the vectors)."""

    def __init__(self, runtime: AsyncRuntime, most: int):
        self.runtime, self.keys, self.most = runtime, runtime.keys, most

    def _key(self, collection: str) -> str:
        return self.keys.tagged("vec", collection, "set")

    def add(self, collection: str, items: Sequence[Item], vectors: Vectors) -> list[Op[Any]]:
        key = self._key(collection)
        words = [
            ("VADD", key, "FP32", row.astype("<f4").tobytes(), item.id, "NOQUANT", "SETATTR", _json(marks(item.meta)))
            for item, row in zip(items, vectors)
        ]
        return [Op("", (key,), w, safe=True, block=0.01) for w in words]

    def remove(self, collection: str, which: Sequence[str]) -> list[Op[Any]]:
        key = self._key(collection)
        return [Op("", (key,), ("VREM", key, id), safe=True) for id in which]

    async def nearest(
        self, collection: str, version: int, vector: Vectors, k: int, where: Mapping[str, str]
    ) -> list[tuple[str, float]]:
        key = self._key(collection)
        size: Any = await self.runtime.run(Op("", (key,), ("VCARD", key), safe=True))
        words: list[Arg] = ["VSIM", key, "FP32", vector.astype("<f4").tobytes(), "WITHSCORES", "COUNT", k]
        if where:
            words += ["FILTER", " and ".join(f'.{field} == "{value}"' for field, value in sorted(where.items()))]
            words += ["FILTER-EF", max(1, size)]  # until there are k, however few match
        words += ["TRUTH"] if size <= EXACT else ["EF", max(EFFORT, 2 * k)]
        reply: Any = await self.runtime.run(Op("", (key,), tuple(words), safe=True, block=2.0))
        # Redis says (1 + cosine) / 2.
        return [(id.decode(), float(score) * 2 - 1) for id, score in zip(reply[::2], reply[1::2])]


@dataclass(frozen=True, slots=True)
class _Held:
    version: int
    ids: list[str]
    matrix: Vectors
    marks: list[Mapping[str, str]]

    @property
    def size(self) -> int:
        return int(self.matrix.nbytes)


class Exact:
    """Redis 7: all vectors are compared. They are held here as of the collection's version, within `room` bytes."""

    def __init__(self, runtime: AsyncRuntime, most: int, room: int):
        self.runtime, self.keys, self.most, self.room = runtime, runtime.keys, most, room
        self.held: OrderedDict[str, _Held] = OrderedDict()
        self.loads = 0
        self._loading = asyncio.Lock()

    def _key(self, collection: str) -> str:
        return self.keys.tagged("vec", collection, "vectors")

    def add(self, collection: str, items: Sequence[Item], vectors: Vectors) -> list[Op[Any]]:
        key = self._key(collection)
        flat: list[Arg] = []
        for item, row in zip(items, vectors):
            flat += [item.id, row.astype("<f4").tobytes() + _json(marks(item.meta)).encode()]
        return [Op("", (key,), ("HSET", key, *flat), safe=True, block=len(items) * 0.03)]

    def remove(self, collection: str, which: Sequence[str]) -> list[Op[Any]]:
        key = self._key(collection)
        return [Op("", (key,), ("HDEL", key, *which), safe=True)]

    async def nearest(
        self, collection: str, version: int, vector: Vectors, k: int, where: Mapping[str, str]
    ) -> list[tuple[str, float]]:
        async with self._loading:  # one load serves all who wait for it
            held = self.held.get(collection)
            if held is None or held.version != version:
                held = await self._load(collection, version)
            self.held.move_to_end(collection)
        return await asyncio.to_thread(_best, held, vector, k, where)

    async def _load(self, collection: str, version: int) -> _Held:
        key, found, cursor = self._key(collection), dict[bytes, bytes](), b"0"
        while True:
            op: Op[Any] = Op("", (key,), ("HSCAN", key, cursor, "COUNT", 250), safe=True, block=5.0)
            cursor, flat = await self.runtime.run(op)
            found.update(zip(flat[::2], flat[1::2]))
            if cursor == b"0":
                break
        held = await asyncio.to_thread(_held, version, found)
        self.loads += 1
        self.held.pop(collection, None)
        self.held[collection] = held
        while len(self.held) > 1 and sum(h.size for h in self.held.values()) > self.room:
            self.held.popitem(last=False)
        return held


def _held(version: int, rows: Mapping[bytes, bytes]) -> _Held:
    matrix = np.empty((len(rows), DIM), np.float32)
    for i, row in enumerate(rows.values()):
        matrix[i] = np.frombuffer(row, "<f4", DIM)
    return _Held(version, [k.decode() for k in rows], matrix, [json.loads(row[_ROW:]) for row in rows.values()])


def _best(held: _Held, vector: Vectors, k: int, where: Mapping[str, str]) -> list[tuple[str, float]]:
    which = np.arange(len(held.ids))
    if where:
        which = np.array([i for i, m in enumerate(held.marks) if where.items() <= m.items()], int)
    if not len(which):
        return []
    scores = held.matrix[which] @ vector if where else held.matrix @ vector
    best = np.argpartition(-scores, min(k, len(scores)) - 1)[:k]
    return [(held.ids[which[i]], float(scores[i])) for i in best]


def _json(value: Mapping[str, str]) -> str:
    return json.dumps(value, separators=(",", ":"))
