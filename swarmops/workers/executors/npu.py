"""The NPU host's work: models on an NPU, a GPU or the CPU, whatever there is, through OpenVINO (S4-03, S4-25).

Tasks: `infer` runs a model that is named by its content hash, `embed` turns texts into vectors.
Options: device (auto, NPU, GPU, CPU), threads (0: as many as processors), precision (f32; fast: as the device likes,
which is bf16 on new CPUs), models (compiled ones that are kept), disk_mb (models kept on disk), model_folder (files of
the embedding model, default: the installed package's).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import openvino as ov

from swarmops.runtime.errors import Corrupt, Invalid, NotFound
from swarmops.runtime.worker import Handlers
from swarmops.workers.config import BadConfig
from swarmops.workers.executor import Executor as Base
from swarmops.workers.executor import Found, Setting
from swarmops.workers.models import minilm, tensors
from swarmops.workers.models.devices import Devices, kind, look
from swarmops.workers.models.embedder import Embedder
from swarmops.workers.models.embedding import embed_task
from swarmops.workers.models.files import Files
from swarmops.workers.models.inference import Loaded, Models, Runs, can_join
from swarmops.workers.models.measures import Measures
from swarmops.workers.models.tasks import plain
from swarmops.workers.reading import Fields


class Executor(Base):
    """Role npu."""

    def __init__(self, setting: Setting):
        super().__init__(setting)
        faults: list[str] = []
        options = Fields(setting.options, "options", faults)
        self.device = options.text("device", "auto")
        self.openvino = {"INFERENCE_NUM_THREADS": n} if (n := options.whole("threads", 0, 0, 1024)) else {}
        precision = options.one_of("precision", "f32", ("f32", "fast"))
        self.precise = {"INFERENCE_PRECISION_HINT": "f32"} if precision == "f32" else {}
        self.keep = options.whole("models", 4, 1, 1000)
        self.disk = options.whole("disk_mb", 2048, 1, 1 << 20) << 20
        self.folder = options.text("model_folder", "") or None
        options.end()
        if faults:
            raise BadConfig(faults)
        self.devices = Devices(())
        self.embedder: Embedder | None = None
        self.inferred, self.embedded = Measures("npu_infer"), Measures("npu_embed")

    async def start(self) -> Found:
        core, cache = ov.Core(), self.setting.home / "compiled"
        self.devices = (await asyncio.to_thread(look, core)).preferring(self.device)
        lacking = dict(self.devices.lacking)
        files = Files(self.setting.runtime, self.setting.home / "models", self.disk)
        self.runs, settings = Runs(self.inferred), {**self.openvino, **self.precise}
        self.models = Models(core, self.devices, files, cache, self.runs, settings, self.keep)
        try:
            embedder = Embedder(core, self.devices, minilm.find(self.folder), cache, self.embedded, self.openvino)
            self.embedder = await asyncio.to_thread(embedder.load)
        except (NotFound, Corrupt, Invalid) as e:
            lacking["embed"] = str(e)
        here = {kind(d).lower() for d in self.devices.found} - {"cpu"}
        return Found(frozenset({*self.handlers().tasks, *here}), self._facts(), lacking)

    def _facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"devices": list(self.devices.found), "openvino": ov.__version__.split("-")[0]}
        found |= {d.lower(): name for d, name in self.devices.names.items()} | dict(self.devices.lacking)
        if self.embedder:
            found |= {"embed": f"{minilm.NAME} on {self.embedder.device}"}
            found |= {f"embed_not_on_{d.lower()}": why for d, why in self.embedder.on.skipped.items()}
        return found

    def handlers(self) -> Handlers:
        found = Handlers()
        found.add("infer", plain(self.infer))
        if self.embedder:
            found.add("embed", embed_task(self.embedder))
        return found

    async def infer(
        self, model: str, inputs: Mapping[str, Any], weights: str | None = None, batch: bool | None = None
    ) -> dict[str, Any]:
        """model: `ctx:<sha>` of an ONNX model, or of OpenVINO's .xml with the .bin as `weights`. inputs: by name.

        batch: rows of the inputs are independent, so that other requests' rows may go along; None: as the model's
        layout says. Raises Fatal for all that can never work.
        """
        loaded = await self.models.get(model, weights)
        loaded.users += 1
        try:
            joined = self._joined(loaded, batch)
            given = loaded.checked(await self._read(loaded, inputs))
            outputs = await loaded.infer(given, joined and len({len(a) for a in given.values()}) == 1)
        finally:
            loaded.users -= 1
        packed = any(map(tensors.is_packed, inputs.values()))
        return {"outputs": await tensors.shown(self.setting, outputs, packed), "device": loaded.on.device}

    def _joined(self, loaded: Loaded, batch: object) -> bool:
        if batch is not None and not isinstance(batch, bool):
            raise Invalid("batch", "is neither true nor false")
        if batch and not can_join(loaded):
            raise Invalid("batch", "the model takes a fixed number of rows (its first dimension is not dynamic)")
        return can_join(loaded) and loaded.by_rows if batch is None else batch

    async def _read(self, loaded: Loaded, inputs: object) -> dict[str, tensors.Array]:
        wanted = {p.name: p for p in loaded.inputs}
        if not isinstance(inputs, Mapping) or set(inputs) != set(wanted):
            named = ", ".join(str(k)[:40] for k in inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
            raise Invalid("inputs", f"are {named or 'none'}, the model wants {', '.join(wanted)}")
        found: dict[str, tensors.Array] = {}
        for name, port in wanted.items():
            assert port.dtype is not None
            found[name] = await tensors.read(self.setting, name, inputs[name], port.dtype)
            if sum(a.nbytes for a in found.values()) > tensors.LARGEST:
                raise Invalid("inputs", f"are more than {tensors.LARGEST:,} bytes together")
        return found

    async def health(self) -> str:
        if not self.devices.found:
            return "OpenVINO lists no device"
        return "" if self.embedder else "no embeddings: the model is not there"

    def metrics(self) -> Mapping[str, float]:
        waiting = {"npu_embed_waiting": float(self.embedder.batcher.waiting)} if self.embedder else {}
        return {
            **self.inferred.shown(),
            **self.embedded.shown(),
            **waiting,
            "npu_models": float(len(self.models.loaded)),
        }

    async def close(self) -> None:
        await self.models.close()
        self.runs.close()
        if self.embedder:
            await self.embedder.close()
