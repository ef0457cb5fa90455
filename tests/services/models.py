"""For tests of models: executors in this process on a real Redis, small models made here, a BERT in NumPy."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op
from safetensors.numpy import load_file

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.errors import NotFound
from swarmops.runtime.settings import Settings
from swarmops.workers.executor import Executor, Found, Setting
from swarmops.workers.models import minilm
from tests.conftest import lacking

Call = Callable[..., Awaitable[Any]]


def model_folder() -> Path:
    """The embedding model's files; skips where they are not installed."""
    try:
        return minilm.find()
    except NotFound as e:
        lacking(str(e))
        raise


class At:
    """An executor at work. `await at.infer(...)` calls its handler of that name."""

    def __init__(self, executor: Executor, found: Found, runtime: AsyncRuntime):
        self.executor, self.found, self.runtime = executor, found, runtime

    def __getattr__(self, kind: str) -> Call:
        return self.executor.handlers().tasks[kind].function


def working(
    role: str,
    settings: Settings,
    home: Path,
    work: Callable[[At], Awaitable[None]],
    options: Mapping[str, Any] | None = None,
) -> None:
    """Runs `work` with an executor of that role, started, and closed afterwards."""

    async def main() -> None:
        async with AsyncRuntime(settings) as runtime:
            kind: type[Executor] = import_module(f"swarmops.workers.executors.{role}").Executor
            executor = kind(Setting(role, home, options or {}, runtime))
            found = await executor.start()
            try:
                async with asyncio.timeout(60):
                    await work(At(executor, found, runtime))
            finally:
                await executor.close()

    asyncio.run(main())


def linear(folder: Path, layout: str = "", rows: int = -1) -> tuple[bytes, bytes]:
    """IR of y = relu(x @ [[-2, -1], [0, 1], [2, 3]]), x of 3 columns: the .xml and the .bin."""
    x = op.parameter([rows, 3], np.float32, name="x")
    x.output(0).set_names({"x"})
    if layout:
        x.set_layout(ov.Layout(layout))
    y = op.relu(op.matmul(x, op.constant(np.arange(6, dtype=np.float32).reshape(3, 2) - 2), False, False))
    y.output(0).set_names({"y"})
    ov.save_model(ov.Model([op.result(y)], [x], "linear"), folder / "linear.xml", compress_to_fp16=False)
    return (folder / "linear.xml").read_bytes(), (folder / "linear.bin").read_bytes()


def onnx_add(more: bytes = b"") -> bytes:
    """ONNX of z = x + [1, 2], written as protobuf by hand. more: fields of the constant."""

    def field(number: int, value: int | bytes | str) -> bytes:
        if isinstance(value, int):
            return bytes([number << 3, value])
        raw = value.encode() if isinstance(value, str) else value
        return bytes([number << 3 | 2, len(raw)]) + raw

    def tensor_type(name: str) -> bytes:
        shape = field(1, field(2, "n")) + field(1, field(1, 2))
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    constant = field(1, 2) + field(2, 1) + field(8, "c") + (more or field(9, np.array([1, 2], "<f4").tobytes()))
    node = field(1, "x") + field(1, "c") + field(2, "z") + field(4, "Add")
    graph = (
        field(1, node) + field(2, "g") + field(5, constant) + field(11, tensor_type("x")) + field(12, tensor_type("z"))
    )
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


class Reference:
    """The same network in NumPy, one text at a time: no padding, no mask, nothing shared with the graph but weights."""

    def __init__(self, folder: Path):
        self.w = load_file(folder / "model.safetensors")
        self.words = minilm.Words(folder)

    def __call__(self, text: str) -> Any:
        ids = self.words.of([text])[0][0]
        e = "embeddings."
        x = self.w[f"{e}word_embeddings.weight"][ids] + self.w[f"{e}position_embeddings.weight"][: len(ids)]
        x = self.norm(x + self.w[f"{e}token_type_embeddings.weight"][0], f"{e}LayerNorm")
        for i in range(6):
            x = self.layer(x, f"encoder.layer.{i}.")
        mean = x.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def layer(self, x: Any, n: str) -> Any:
        q, k, v = (self.linear(x, f"{n}attention.self.{p}").reshape(len(x), 12, 32) for p in ("query", "key", "value"))
        scores = np.einsum("ihd,jhd->hij", q, k) / math.sqrt(32)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        seen = np.einsum("hij,jhd->ihd", scores, v).reshape(len(x), 384)
        x = self.norm(x + self.linear(seen, f"{n}attention.output.dense"), f"{n}attention.output.LayerNorm")
        inner = self.linear(x, f"{n}intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        return self.norm(x + self.linear(inner, f"{n}output.dense"), f"{n}output.LayerNorm")

    def linear(self, x: Any, n: str) -> Any:
        return x @ self.w[f"{n}.weight"].T + self.w[f"{n}.bias"]

    def norm(self, x: Any, n: str) -> Any:
        even = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return even * self.w[f"{n}.weight"] + self.w[f"{n}.bias"]


def items(n: int) -> Sequence[dict[str, Any]]:
    """Texts about several things, with what they are about."""
    about = ("boats", "trains", "the weather", "a garden", "databases", "cooking", "birds")
    return [
        {
            "id": f"note-{i:03}",
            "text": f"Note {i} tells of {about[i % 7]} and of nothing else.",
            "meta": {"n": i % 3, "about": about[i % 7], 'odd" || ]': i % 2 == 0, "deep": {"x": [1]}},
        }
        for i in range(n)
    ]
