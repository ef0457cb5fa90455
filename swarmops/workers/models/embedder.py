"""Embeddings for many callers at once: tokens, batches by length, the best device there is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from swarmops.runtime.errors import Invalid, TooLarge
from swarmops.workers.models import minilm
from swarmops.workers.models.batching import Batcher
from swarmops.workers.models.devices import Compiled, Devices, compile_on, kind
from swarmops.workers.models.measures import Measures
from swarmops.workers.models.minilm import LONGEST, Tokens, Vectors

BATCH = 2048  # tokens in a batch: 8 long texts, or 150 short sentences
LENGTHS = (16, 32, 64, 128, LONGEST)  # what is in one inference is about equally long
ROWS = (1, 8, 32)  # shapes for devices that want fixed ones
TEXT = 200_000  # characters of one text


@dataclass(frozen=True, slots=True)
class Embedded:
    """vectors: a row of DIM numbers for each text; tokens: of all texts; cut: texts that were longer than LONGEST."""

    vectors: Vectors
    tokens: int
    cut: int


class Embedder:
    """all-MiniLM-L6-v2 on the first of `devices` that takes it. Call `load` once, in a thread; then `embed`.

    folder: the model's files; cache: for what devices make of it; settings: more for OpenVINO (INFERENCE_NUM_THREADS);
    fixed: only fixed shapes, as NPUs want them.
    """

    def __init__(
        self,
        core: Any,
        devices: Devices,
        folder: Path,
        cache: Path,
        measures: Measures,
        settings: dict[str, Any] | None = None,
        fixed: bool | None = None,
        wait: float = 0.002,
    ):
        self.core, self.devices, self.folder, self.cache, self.measures = core, devices, folder, cache, measures
        self.settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", **(settings or {})}
        self.fixed, self.seconds = fixed, 0.0
        self.batcher: Batcher[Tokens, Any] = Batcher(self._run, BATCH, wait, weigh=len)
        self._thread = ThreadPoolExecutor(1, "embed")
        self._shapes: dict[tuple[int, int], Any] = {}
        self._on: Compiled | None = None

    @property
    def on(self) -> Compiled:
        assert self._on is not None, "load it first"
        return self._on

    @property
    def device(self) -> str:
        """Where it runs."""
        return self.on.device

    def load(self) -> Embedder:
        """Read, check and compile. Raises NotFound, Corrupt, Invalid."""
        began = time.monotonic()
        self.words = minilm.Words(self.folder)
        skipped: dict[str, str] = {}
        for i, device in enumerate(self.devices.found):
            self.fixed_here = kind(device) == "NPU" if self.fixed is None else self.fixed
            shape = (ROWS[0], LENGTHS[0]) if self.fixed_here else (-1, -1)
            try:
                found = self._compiled(shape, self.devices.found[i : i + 1])
            except Invalid as e:
                skipped[device] = str(e)
                continue
            self._on = Compiled(found.model, found.device, skipped)
            self._shapes[shape] = found.model.create_infer_request()
            self.seconds = time.monotonic() - began
            return self
        raise Invalid("model", f"no device takes {minilm.NAME}: {'; '.join(skipped.values())}")

    def _compiled(self, shape: tuple[int, int], devices: Sequence[str]) -> Compiled:
        return compile_on(self.core, minilm.graph(self.folder, *shape), devices, self.settings, self.cache)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors of `texts`. Raises Invalid, TooLarge, Full (too many wait)."""
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise Invalid(f"texts[{i}]", f"is a {type(text).__name__}, not text")
            if len(text) > TEXT:
                raise TooLarge(f"texts[{i}]", f"has {len(text):,} characters, the most is {TEXT:,}")
            if any("\ud800" <= c <= "\udfff" for c in text):
                raise Invalid(f"texts[{i}]", "holds a lone surrogate, which is no text")
        self.measures.requests += 1
        tokens, counts = await asyncio.to_thread(self.words.of, texts)
        order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]))  # alike lengths go together
        rows = await self.batcher.put([tokens[i] for i in order])
        vectors = np.empty((len(texts), minilm.DIM), np.float32)
        for i, row in zip(order, rows):
            vectors[i] = row
        return Embedded(vectors, sum(map(len, tokens)), sum(n > LONGEST for n in counts))

    async def close(self) -> None:
        await self.batcher.close()
        self._thread.shutdown(wait=True)

    # -- in the thread

    async def _run(self, batch: Sequence[Tokens]) -> Sequence[Any]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.vectors, batch)

    def vectors(self, batch: Sequence[Tokens]) -> list[Any]:
        """A vector for each, in order. In one thread at a time."""
        found: list[Any] = [None] * len(batch)
        groups: dict[int, list[int]] = {}
        for i, tokens in enumerate(batch):
            groups.setdefault(next(n for n in LENGTHS if n >= len(tokens)), []).append(i)
        for length, which in groups.items():
            step = ROWS[-1] if self.fixed_here else len(which)
            for first in range(0, len(which), step):
                part = which[first : first + step]
                for i, row in zip(part, self._infer([batch[i] for i in part], length)):
                    found[i] = row
        return found

    def _infer(self, batch: Sequence[Tokens], length: int) -> Vectors:
        began = time.monotonic()
        if self.fixed_here:
            rows = next(n for n in ROWS if n >= len(batch))
            request = self._request((rows, length))
        else:
            rows, length = len(batch), max(map(len, batch))
            request = self._shapes[-1, -1]
        found: Vectors = request.infer(list(minilm.padded(batch, rows, length)))[0][: len(batch)].copy()
        self.measures.note(self.device, len(batch), time.monotonic() - began)
        return found

    def _request(self, shape: tuple[int, int]) -> Any:
        if shape not in self._shapes:
            self._shapes[shape] = self._compiled(shape, [self.device]).model.create_infer_request()
        return self._shapes[shape]
