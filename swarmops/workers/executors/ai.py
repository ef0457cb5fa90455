"""The AI host's work: embeddings, chunks by meaning, collections to search, chat through an endpoint (S4-05, S4-08).

Tasks: `embed`, `chunk`, `index`, `search`, `forget`, `chat`. Routes: /v1/embeddings, /v1/models, /v1/chat/completions.
Options: device, threads, model_folder (as for npu), endpoint {url, key_file, model, timeout, parallel}, vectors (auto,
exact), collection_limit (items of one collection).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov

from swarmops.runtime import ids
from swarmops.runtime.errors import Corrupt, Invalid, NotFound, Unavailable
from swarmops.runtime.worker import AsyncContext, Handlers
from swarmops.workers.config import BadConfig
from swarmops.workers.executor import Executor as Base
from swarmops.workers.executor import Found, Setting
from swarmops.workers.models import chat, chunking, minilm
from swarmops.workers.models.collection import MOST, Collections, Item, Kind, item_id
from swarmops.workers.models.devices import look
from swarmops.workers.models.embedder import Embedder
from swarmops.workers.models.embedding import embed_task
from swarmops.workers.models.measures import Measures
from swarmops.workers.models.openai import Doors
from swarmops.workers.models.tasks import plain
from swarmops.workers.models.vectors import Exact, VectorSets
from swarmops.workers.reading import Fields

SENTENCES = 5000  # of a text to chunk
HELD = 256 << 20  # bytes of vectors in memory, for exact search
FOUND = 100  # results of a search
TEXTS = 700_000  # bytes of all texts of a result
AGAIN = 30.0  # seconds between two looks at the chat endpoint


class Executor(Base):
    """Role ai."""

    def __init__(self, setting: Setting):
        super().__init__(setting)
        faults: list[str] = []
        options = Fields(setting.options, "options", faults)
        self.device = options.text("device", "auto")
        self.openvino = {"INFERENCE_NUM_THREADS": n} if (n := options.whole("threads", 0, 0, 1024)) else {}
        self.folder = options.text("model_folder", "") or None
        self.vectors = options.one_of("vectors", "auto", ("auto", "exact"))
        self.limit = options.whole("collection_limit", 0, 0, 10_000_000)
        self.given = options.has("endpoint")
        self.place = chat.Place.of(options.inner("endpoint"), options.number("llm_timeout", 120.0, 1, 3600))
        options.end()
        if faults:
            raise BadConfig(faults)
        self.embedder: Embedder | None = None
        self.endpoint: chat.Endpoint | None = None
        self.embedded, self.lacking = Measures("ai_embed"), dict[str, str]()
        self.looking: asyncio.Task[None] | None = None
        self.counts = dict.fromkeys(("search", "index", "chunk"), 0)

    async def start(self) -> Found:
        core = ov.Core()
        devices = (await asyncio.to_thread(look, core)).preferring(self.device)
        self.lacking = dict(devices.lacking)
        cache = self.setting.home / "compiled"
        try:
            embedder = Embedder(core, devices, minilm.find(self.folder), cache, self.embedded, self.openvino)
            self.embedder = await asyncio.to_thread(embedder.load)
        except (NotFound, Corrupt, Invalid) as e:
            self.lacking |= {"embed": str(e)}
        vectors = await self._find_vectors()
        await self._find_chat()
        facts = {"devices": list(devices.found), "vectors": vectors}
        facts |= {"embed": f"{minilm.NAME} on {self.embedder.device}"} if self.embedder else {}
        facts |= {"chat": self.place.url} if self.endpoint else {}
        return Found(frozenset(self.handlers().tasks), facts, self.lacking)

    async def _find_vectors(self) -> str:
        """The kind of new collections; if Redis is away, it is found when there is one to be made."""
        rt = self.setting.runtime
        kinds: dict[str, Kind] = {
            "exact": Exact(rt, self.limit or 20_000, HELD),
            "set": VectorSets(rt, self.limit or 200_000),
        }
        self.collections = Collections(rt, kinds, exact=self.vectors == "exact")
        try:
            kind = await self.collections.learn()
        except Unavailable:
            return "not known: Redis is away"
        if why := self.collections.why_exact:
            self.lacking["vector-sets"] = f"{why}; vectors are compared one by one in memory instead"
        return kind

    async def _find_chat(self) -> None:
        endpoint = chat.Endpoint(self.place)
        why = await endpoint.probe()
        if why and not self.given:
            await endpoint.close()
            self.lacking["chat"] = f"{why} (options.endpoint names another)"
            return
        self.endpoint = endpoint
        self.looking = asyncio.create_task(self._look_again(endpoint))

    async def _look_again(self, endpoint: chat.Endpoint) -> None:
        while True:
            await asyncio.sleep(AGAIN)
            await endpoint.probe()

    def handlers(self) -> Handlers:
        found = Handlers()
        if self.embedder:
            found.add("embed", embed_task(self.embedder))
            for name in ("chunk", "index", "search", "forget"):
                found.add(name, plain(getattr(self, name)))
        if self.endpoint:
            found.add("chat", plain(self.chat))
        return found

    # -- tasks

    async def chunk(self, text: str, size: int = 1000, overlap: int = 0, least: int | None = None) -> dict[str, Any]:
        """Parts of `text` of at most `size` characters, cut where the meaning turns."""
        if not isinstance(text, str):
            raise Invalid("text", "is not text")
        size, overlap = _whole(size, "size", 50, 100_000), _whole(overlap, "overlap", 0, 100_000)
        if overlap > size // 2:
            raise Invalid("overlap", f"is more than half of size ({size})")
        least = size // 4 if least is None else _whole(least, "least", 0, size)
        parts = await asyncio.to_thread(chunking.sentences, text, size - overlap)
        if len(parts) > SENTENCES:
            raise Invalid("text", f"has {len(parts):,} sentences, the most is {SENTENCES:,}")
        gaps: Sequence[float] = []
        if len(parts) > 1:
            found = await self._embedder.embed([text[p.start : p.end] for p in parts])
            gaps = chunking.distances(found.vectors)
        self.counts["chunk"] += 1
        pieces = await asyncio.to_thread(chunking.chunks, parts, gaps, size, least, overlap)
        return {"chunks": [{"text": text[p.start : p.end], "start": p.start, "end": p.end} for p in pieces]}

    async def index(self, collection: str, items: list[Any]) -> dict[str, Any]:
        """Keep items {id, text, meta} to be searched; one with the same id is replaced."""
        if not isinstance(items, list) or not 0 < len(items) <= MOST:
            raise Invalid("items", f"is not a list of 1 to {MOST} items")
        ids.name(collection, "collection")
        made = {item.id: item for item in (Item.of(value, f"items[{i}]") for i, value in enumerate(items))}
        if len(made) < len(items):
            raise Invalid("items", "name an id twice")
        vectors = (await self._embedder.embed([item.text for item in made.values()])).vectors
        total = await self.collections.index(collection, list(made.values()), vectors)
        self.counts["index"] += len(made)
        return {"collection": collection, "indexed": len(made), "items": total}

    async def search(
        self, collection: str, text: str, k: int = 5, filter: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The k items nearest in meaning, those only whose meta has the fields of `filter`."""
        k = _whole(k, "k", 1, FOUND)
        if not isinstance(text, str) or not text.strip():
            raise Invalid("text", "is not text")
        vector = (await self._embedder.embed([text])).vectors[0]
        found = await self.collections.search(collection, vector.astype(np.float32), k, filter)
        self.counts["search"] += 1
        return {"results": _fitted(found)}

    async def forget(self, collection: str, ids: list[str] | None = None) -> dict[str, Any]:
        """Take items away, or without ids the whole collection."""
        if ids is not None and (not isinstance(ids, list) or len(ids) > 10 * MOST):
            raise Invalid("ids", f"is not a list of at most {10 * MOST} ids")
        which = None if ids is None else [item_id(one, f"ids[{i}]") for i, one in enumerate(ids)]
        return {"forgotten": await self.collections.forget(collection, which)}

    async def chat(
        self,
        messages: list[Any],
        context: AsyncContext,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> dict[str, Any]:
        """One answer; what there is of it so far is told as progress."""
        assert self.endpoint
        body = chat.asked(messages, model, max_tokens, temperature)
        try:
            return await self.endpoint.chat(body, context.progress)
        except chat.Trouble as e:
            raise e.for_task() from None

    @property
    def _embedder(self) -> Embedder:
        assert self.embedder, "handlers() offers these only with it"
        return self.embedder

    # -- the process

    def routes(self) -> Sequence[Any]:
        return Doors(self.embedder, self.endpoint, self.lacking).routes()

    async def health(self) -> str:
        if not self.embedder:
            return "no embeddings: the model is not there"
        return self.endpoint.trouble if self.endpoint else ""

    def metrics(self) -> Mapping[str, float]:
        found = {**self.embedded.shown(), **{f"ai_{k}_total": float(n) for k, n in self.counts.items()}}
        if self.embedder:
            found["ai_embed_waiting"] = float(self.embedder.batcher.waiting)
        if self.endpoint:
            found |= {
                "ai_chat_total": float(self.endpoint.calls),
                "ai_chat_failed_total": float(self.endpoint.failures),
            }
        return found

    async def close(self) -> None:
        if self.looking:
            self.looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.looking
        if self.endpoint:
            await self.endpoint.close()
        if self.embedder:
            await self.embedder.close()


def _whole(value: object, path: str, low: int, high: int) -> int:
    if not isinstance(value, int):
        raise Invalid(path, f"{str(value)[:40]!r} is not a whole number from {low} to {high}")
    return int(ids.number(value, path, low, high))


def _fitted(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Texts shortened so that a result holds them all; `cut` says which."""
    room = TEXTS // max(1, len(found))
    for one in found:
        raw = one["text"].encode()
        if len(raw) > room:
            one |= {"text": raw[:room].decode("utf-8", "ignore"), "cut": True}
    return found
