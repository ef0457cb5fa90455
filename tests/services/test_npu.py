"""The role npu: models by content hash, batches, limits; in this process and as a worker."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.worker import Fatal
from swarmops.workers.config import BadConfig
from swarmops.workers.executor import Setting
from swarmops.workers.executors.npu import Executor
from tests.runtime.server import Server
from tests.services.models import At, linear, model_folder, onnx_add, working
from tests.services.programs import WorkerProgram


def packed(array: Any) -> dict[str, Any]:
    return {
        "dtype": "f32",
        "shape": list(array.shape),
        "data": base64.b64encode(array.astype("<f4").tobytes()).decode(),
    }


def unpacked(said: dict[str, Any], data: bytes | None = None) -> Any:
    assert said["dtype"] == "f32"
    return np.frombuffer(data or base64.b64decode(said["data"]), "<f4").reshape(said["shape"])


async def stored(at: At, *contents: bytes) -> list[str]:
    return [(await at.runtime.contexts.store(c)).ref for c in contents]


def test_what_is_here_is_said(server: Server, tmp_path: Path) -> None:
    async def work(at: At) -> None:
        model_folder()
        assert {"infer", "embed"} <= at.found.capabilities
        assert at.found.facts["devices"][-1] == "CPU"
        assert "npu" in at.found.facts and not at.found.facts.get("embed_not_on_cpu")
        assert await at.executor.health() == ""

    working("npu", server.settings, tmp_path, work)


def test_infer_from_lists_from_bytes_and_from_the_store(server: Server, tmp_path: Path) -> None:
    async def work(at: At) -> None:
        model, weights = await stored(at, *linear(tmp_path))
        found = await at.infer(model, {"x": [[1, 2, 3], [0, 0, -1]]}, weights=weights)
        assert found["outputs"] == {"y": [[4.0, 10.0], [0.0, 0.0]]}
        assert found["device"] in at.found.facts["devices"]
        large = np.arange(3 * 100_000, dtype=np.float32).reshape(-1, 3) / 1000
        found = await at.infer(model, {"x": packed(large[:7])}, weights=weights)
        wanted = np.maximum(large @ (np.arange(6, dtype=np.float32).reshape(3, 2) - 2), 0)
        np.testing.assert_allclose(unpacked(found["outputs"]["y"]), wanted[:7], rtol=1e-5)
        (ref,) = await stored(at, large.tobytes())
        given = {"dtype": "float32", "shape": [100_000, 3], "ref": ref}
        said = (await at.infer(model, {"x": given}, weights=weights))["outputs"]["y"]
        assert set(said) == {"dtype", "shape", "ref"}  # too large for a result
        np.testing.assert_allclose(unpacked(said, await at.runtime.contexts.read(said["ref"])), wanted, rtol=1e-5)

    working("npu", server.settings, tmp_path / "home", work)


def test_onnx(server: Server, tmp_path: Path) -> None:
    async def work(at: At) -> None:
        model, elsewhere = await stored(at, onnx_add(), onnx_add(b"\x6a\x0d\x0a\x08location\x12\x01/\x70\x01"))
        assert (await at.infer(model, {"x": [[1.5, 2], [3, 4]]}))["outputs"] == {"z": [[2.5, 4.0], [4.0, 6.0]]}
        with pytest.raises(Fatal, match="keeps its weights in another file"):
            await at.infer(elsewhere, {"x": [[1, 2]]})

    working("npu", server.settings, tmp_path, work)


@pytest.mark.parametrize(("layout", "batch", "joins"), [("NC", None, True), ("", None, False), ("", True, True)])
def test_rows_go_together_where_the_model_or_the_task_says_they_may(
    server: Server, tmp_path: Path, layout: str, batch: bool | None, joins: bool
) -> None:
    async def work(at: At) -> None:
        model, weights = await stored(at, *linear(tmp_path, layout))
        call = lambda i: at.infer(model, {"x": [[i, 0, 1]] * (i % 3 + 1)}, weights=weights, batch=batch)  # noqa: E731
        found = await asyncio.gather(*map(call, range(60)))
        assert [f["outputs"]["y"] for f in found] == [
            [[max(0, 2 - 2 * i), max(0, 3 - i)]] * (i % 3 + 1) for i in range(60)
        ]
        runs = at.executor.metrics()['npu_infer_batches_total{device="CPU"}']
        assert runs < 20 if joins else runs == 60

    working("npu", server.settings, tmp_path / "home", work)


def test_what_can_never_work_is_fatal_in_one_sentence(server: Server, tmp_path: Path) -> None:
    async def work(at: At) -> None:
        model, weights, fixed, text = await stored(at, *linear(tmp_path), linear(tmp_path, rows=1)[0], b"not a model")
        good, none = {"x": [[1, 2, 3]]}, "ctx:" + "0" * 64
        short = {"dtype": "f32", "shape": [1, 3], "data": "AAAA"}
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"model": none, "inputs": good}, "is not here"),
            ({"model": "x", "inputs": good}, "'x' is no reference to a context"),
            ({"model": text, "inputs": good}, "neither ONNX nor OpenVINO IR"),
            ({"model": model, "inputs": good}, "cannot be read"),
            ({"model": model, "weights": none, "inputs": good}, "is not here"),
            ({"model": model, "weights": weights, "inputs": {"z": 1}}, "inputs: are z, the model wants x"),
            ({"model": model, "weights": weights, "inputs": 5}, "inputs: are int"),
            ({"model": model, "weights": weights, "inputs": {"x": [[1], [2, 3]]}}, "not equally long"),
            ({"model": model, "weights": weights, "inputs": {"x": [["a"] * 3]}}, "something else than numbers"),
            ({"model": model, "weights": weights, "inputs": {"x": [[1, 2]]}}, r"shape \[1, 2\], the model wants"),
            ({"model": model, "weights": weights, "inputs": {"x": short}}, "has 3 bytes; f32 of shape"),
            ({"model": model, "weights": weights, "inputs": {"x": {**short, "data": "?"}}}, "is not base64"),
            ({"model": model, "weights": weights, "inputs": {"x": {**short, "dtype": "f8"}}}, "no type of numbers"),
            ({"model": fixed, "weights": weights, "inputs": good, "batch": True}, "fixed number of rows"),
            ({"nodel": model}, "args: missing a required argument"),
        ]
        for args, sentence in wrong:
            with pytest.raises(Fatal, match=sentence) as e:
                await at.infer(**args)
            assert "\n" not in str(e.value)
        for args, sentence in [
            ({}, "say either"),
            ({"texts": []}, "one or more"),
            ({"texts": ["x"] * 201}, "most of one"),
        ]:
            with pytest.raises(Fatal, match=sentence):
                await at.embed(**args)

    working("npu", server.settings, tmp_path / "home", work)


def test_a_model_is_fetched_once_kept_and_checked(server: Server, tmp_path: Path) -> None:
    content = onnx_add()
    file = tmp_path / "models" / hashlib.sha256(content).hexdigest()

    async def fetch(at: At) -> None:
        (ref,) = await stored(at, content)
        for _ in range(3):
            await at.infer(ref, {"x": [[1, 2]]})
        assert at.executor.models.files.fetched == 1 and file.read_bytes() == content  # type: ignore[attr-defined]

    async def kept(at: At) -> None:
        await at.runtime.contexts.remove(f"ctx:{file.name}")
        await at.infer(f"ctx:{file.name}", {"x": [[1, 2]]})

    async def damaged(at: At) -> None:
        with pytest.raises(Fatal, match="is not here"):
            await at.infer(f"ctx:{file.name}", {"x": [[1, 2]]})
        assert not file.exists()

    working("npu", server.settings, tmp_path, fetch)
    working("npu", server.settings, tmp_path, kept)
    file.write_bytes(content[:-1])
    working("npu", server.settings, tmp_path, damaged)


def test_what_is_kept_is_bounded(server: Server, tmp_path: Path) -> None:
    async def work(at: At) -> None:
        models = at.executor.models  # type: ignore[attr-defined]
        models.files.bound = 1000
        for i in range(6):
            content = onnx_add() + bytes([0xA2, 0x06, 100]) + bytes([i]) * 100  # a field that nobody knows
            (ref,) = await stored(at, content)
            await at.infer(ref, {"x": [[1, 2]]})
        assert len(models.loaded) == 2
        assert sum(f.stat().st_size for f in models.files.folder.iterdir()) <= 1000

    working("npu", server.settings, tmp_path, work, {"models": 2})


def test_wrong_options_are_said_all_at_once(tmp_path: Path) -> None:
    options = {"devise": "CPU", "threads": -1, "models": "4", "device": 1, "precision": "f8"}
    with pytest.raises(BadConfig) as e:
        Executor(Setting("npu", tmp_path, options, None))  # type: ignore[arg-type]
    assert sorted(fault.split(":")[0] for fault in e.value.faults) == sorted(f"options.{name}" for name in options)
    assert "did you mean 'device'?" in str(e.value)


def test_without_the_embedding_model_it_still_infers(server: Server, tmp_path: Path) -> None:
    """S4-42: what is lacking is said, the rest works."""

    async def work(at: At) -> None:
        assert "model.safetensors is missing" in at.found.lacking["embed"] or "tokenizer" in at.found.lacking["embed"]
        assert "embed" not in at.found.capabilities and "no embeddings" in await at.executor.health()
        (ref,) = await stored(at, onnx_add())
        assert (await at.infer(ref, {"x": [[1, 2]]}))["outputs"] == {"z": [[2.0, 4.0]]}

    working("npu", server.settings, tmp_path, work, {"model_folder": str(tmp_path)})


def test_a_worker_of_the_role(worker: Callable[..., WorkerProgram], rt: Runtime) -> None:
    """As the role runs it: by capability, with health and measures over HTTP, ended by SIGTERM."""
    model_folder()
    program = worker("npu")
    said = program.ask("/health").json()
    assert said["status"] == "ok" and said["facts"]["devices"][-1] == "CPU"
    one = rt.contexts.store(onnx_add()).ref
    embed = [rt.tasks.submit("embed", {"text": f"text {i}"}, needs=["embed"]) for i in range(20)]
    infer = rt.tasks.submit("infer", {"model": one, "inputs": {"x": [[1, 2]]}}, needs=["infer"])
    assert rt.tasks.result(infer)["outputs"] == {"z": [[2.0, 4.0]]}
    for task in embed:
        found = rt.tasks.result(task)
        assert found["dim"] == len(found["vectors"][0]) == 384
    shown = program.ask("/metrics").text
    assert 'npu_embed_items_total{device="CPU"} 20' in shown and 'npu_infer_batch_ms{device="CPU"}' in shown
    assert program.end() == 0
