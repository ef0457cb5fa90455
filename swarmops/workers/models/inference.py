"""Models of tasks: loaded by content hash, compiled for the best device, requests joined where rows are independent."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from swarmops.runtime.errors import Invalid
from swarmops.workers.models.batching import Batcher
from swarmops.workers.models.devices import Compiled, Devices, compile_on, short
from swarmops.workers.models.files import Files
from swarmops.workers.models.measures import Measures
from swarmops.workers.models.tensors import DTYPES, Array

ROWS = 64  # of several requests in one inference
KEPT = 4  # compiled models
_ELSEWHERE = b"\x0a\x08location\x12"  # ONNX: a tensor that is kept in another file


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output. shape: as OpenVINO writes it, `[?,3]`; dtype None: a type that no task can say."""

    name: str
    dtype: np.dtype[Any] | None
    shape: Any

    @classmethod
    def of(cls, port: Any, number: int) -> Port:
        names = sorted(port.get_names())
        node = port.get_node().get_friendly_name()
        dtype: Any = DTYPES.get(port.get_element_type().get_type_name().replace("boolean", "bool"))
        return cls(names[0] if names else node or str(number), dtype and np.dtype(dtype), port.get_partial_shape())


class Loaded:
    """A compiled model and those who wait for it."""

    def __init__(self, on: Compiled, inputs: Sequence[Port], outputs: Sequence[Port], by_rows: bool, runs: Runs):
        self.on, self.inputs, self.outputs, self.by_rows, self.runs = on, inputs, outputs, by_rows, runs
        self.request = on.model.create_infer_request()
        self.batcher: Batcher[Mapping[str, Array], Any] = Batcher(self._run, ROWS, weigh=_rows)
        self.users = 0

    def checked(self, given: Mapping[str, Array]) -> Mapping[str, Array]:
        """Raises Invalid for a shape that the model does not take."""
        for port in self.inputs:
            shape = given[port.name].shape
            if not port.shape.compatible(ov.PartialShape(list(shape))):
                raise Invalid(f"inputs.{port.name}", f"has the shape {list(shape)}, the model wants {port.shape}")
        return given

    async def infer(self, given: Mapping[str, Array], by_rows: bool) -> dict[str, Array]:
        """Raises Invalid with what the device said."""
        self.runs.measures.requests += 1
        if not by_rows:
            return (await self.runs.thread(self._infer, [given], False))[0]
        (found,) = await self.batcher.put([given])
        return dict(found)

    async def _run(self, batch: Sequence[Mapping[str, Array]]) -> Sequence[Any]:
        return await self.runs.thread(self._infer, batch, True)

    def _infer(self, batch: Sequence[Mapping[str, Array]], joined: bool) -> list[dict[str, Array]]:
        groups: dict[Any, list[int]] = {}
        for i, one in enumerate(batch):
            alike = tuple(a.shape[1:] for a in one.values()) if joined else i
            groups.setdefault(alike, []).append(i)
        found: list[dict[str, Array]] = [{}] * len(batch)
        for which in groups.values():
            for i, result in zip(which, self._together([batch[i] for i in which])):
                found[i] = result
        return found

    def _together(self, batch: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        began = time.monotonic()
        fed = [np.ascontiguousarray(np.concatenate([b[p.name] for b in batch]) if len(batch) > 1 else batch[0][p.name])
               for p in self.inputs]  # fmt: skip
        try:
            self.request.infer(fed)
        except RuntimeError as e:
            raise Invalid("inputs", f"{self.on.device} could not run the model on them: {short(e)}") from None
        found = {p.name: self.request.get_output_tensor(i).data.copy() for i, p in enumerate(self.outputs)}
        self.runs.measures.note(self.on.device, sum(map(_rows, batch)), time.monotonic() - began)
        return [found] if len(batch) == 1 else _apart(found, [_rows(b) for b in batch])


def _rows(given: Mapping[str, Array]) -> int:
    return max((int(a.shape[0]) for a in given.values() if a.ndim), default=1) or 1


def _apart(found: dict[str, Array], rows: list[int]) -> list[dict[str, Array]]:
    ends = np.cumsum(rows)
    if any(not a.ndim or a.shape[0] != ends[-1] for a in found.values()):
        raise Invalid("batch", "the model's outputs do not have a row for each row of its inputs")
    parts = {name: np.split(array, ends[:-1]) for name, array in found.items()}
    return [{name: parts[name][i] for name in parts} for i in range(len(rows))]


class Runs:
    """One thread for inference, and its measures."""

    def __init__(self, measures: Measures):
        self.measures, self._pool = measures, ThreadPoolExecutor(1, "infer")

    async def thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    def close(self) -> None:
        self._pool.shutdown(wait=True)


class Models:
    """Compiled models, the least lately used of which goes when there are more than `keep`."""

    def __init__(
        self,
        core: Any,
        devices: Devices,
        files: Files,
        cache: Path,
        runs: Runs,
        settings: Mapping[str, Any] | None = None,
        keep: int = KEPT,
    ):
        self.core, self.devices, self.files, self.cache, self.runs = core, devices, files, cache, runs
        self.settings, self.keep = {"PERFORMANCE_HINT": "LATENCY", **(settings or {})}, keep
        self.loaded: OrderedDict[tuple[str, str], asyncio.Task[Loaded]] = OrderedDict()

    async def get(self, model: str, weights: str | None) -> Loaded:
        """Raises Invalid (no model, no device takes it), NotFound, Corrupt."""
        key = (model, weights or "")
        if key not in self.loaded:
            self.loaded[key] = asyncio.create_task(self._load(model, weights))
            await self._make_room(key)
        self.loaded.move_to_end(key)
        task = self.loaded[key]
        try:
            return await asyncio.shield(task)  # others may wait for it, whoever is cancelled
        except Exception:
            if self.loaded.get(key) is task:
                del self.loaded[key]
            raise

    async def _make_room(self, newest: tuple[str, str]) -> None:
        for key, task in list(self.loaded.items()):
            if len(self.loaded) <= self.keep:
                return
            idle = task.done() and not task.cancelled() and not task.exception() and not task.result().users
            if key != newest and idle:
                del self.loaded[key]
                await task.result().batcher.close()

    async def _load(self, model: str, weights: str | None) -> Loaded:
        content = await self.files.read(model)
        data = await self.files.read(weights, "weights") if weights else None
        return await self.runs.thread(self._compile, content, data)

    def _compile(self, content: bytes, weights: bytes | None) -> Loaded:
        model = read_model(self.core, content, weights)
        inputs = [Port.of(p, i) for i, p in enumerate(model.inputs)]
        outputs = [Port.of(p, i) for i, p in enumerate(model.outputs)]
        for port in [*inputs, *outputs]:
            if port.dtype is None:
                raise Invalid(
                    "model", f"{port.name} is of a type that tasks cannot say (there are {', '.join(DTYPES)})"
                )
        on = compile_on(self.core, model, self.devices.found, self.settings, self.cache)
        return Loaded(on, inputs, outputs, _says_rows(model), self.runs)

    async def close(self) -> None:
        for task in self.loaded.values():
            task.cancel()
        found = await asyncio.gather(*self.loaded.values(), return_exceptions=True)
        for one in found:
            if isinstance(one, Loaded):
                await one.batcher.close()
        self.loaded.clear()


def read_model(core: Any, content: bytes, weights: bytes | None) -> Any:
    """An OpenVINO model of IR (XML, and its weights) or of ONNX. Raises Invalid."""
    start = content[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    given: tuple[bytes, ...]
    if start.startswith(b"<"):
        given = (content, weights or b"")
    elif weights is not None:
        raise Invalid("weights", "go with a model in OpenVINO's IR (XML) only")
    elif not content.startswith(b"\x08"):
        raise Invalid("model", "is neither ONNX nor OpenVINO IR (the .xml, with the .bin as weights)")
    elif _ELSEWHERE in content:
        raise Invalid("model", "keeps its weights in another file: save it as one")
    else:
        given = (content,)
    try:
        return core.read_model(*given)
    except RuntimeError as e:
        raise Invalid("model", f"cannot be read: {short(e)}") from None


def can_join(loaded: Loaded) -> bool:
    """All inputs and outputs may have any number of rows."""
    return all(
        p.shape.rank.is_static and len(p.shape) and p.shape[0].is_dynamic for p in [*loaded.inputs, *loaded.outputs]
    )


def _says_rows(model: Any) -> bool:
    """The model itself says that the first dimension counts samples (its layout begins with N)."""
    layouts = [p.get_layout() for p in model.get_parameters()]
    return bool(layouts) and all(
        ov.layout_helpers.has_batch(x) and ov.layout_helpers.batch_idx(x) == 0 for x in layouts
    )
