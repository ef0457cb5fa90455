"""The embedding network: what its authors' gives, whatever the batch, and only with the weights it was built for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import openvino as ov
import pytest

from swarmops.runtime.errors import Corrupt, Invalid, NotFound, TooLarge
from swarmops.workers.models import minilm
from swarmops.workers.models.devices import Devices, look
from swarmops.workers.models.embedder import Embedder
from swarmops.workers.models.measures import Measures
from tests.services.models import Reference, model_folder

TEXTS = [
    "This is an example sentence",
    "",
    "Ünïcode, 你好, \U0001f600 and <b>marks</b> & \x00 too",
    "A cat sits on the mat.",
    "word " * 60,
    "A long text that goes on for longer than the model looks. " * 40,
]


def made(**more: object) -> Embedder:
    core = ov.Core()
    return Embedder(core, look(core), model_folder(), Path(mkdtemp()), Measures("x"), **more).load()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return made()


def vectors(embedder: Embedder, texts: list[str]) -> np.ndarray:
    return np.array(embedder.vectors(embedder.words.of(texts)[0]))


def test_it_is_the_same_network_as_one_written_in_numpy(embedder: Embedder) -> None:
    reference = Reference(model_folder())
    wanted = np.array([reference(text) for text in TEXTS])
    np.testing.assert_allclose(vectors(embedder, TEXTS), wanted, atol=2e-6)


def test_it_gives_what_sentence_transformers_prints(embedder: Embedder) -> None:
    """The first numbers of the model card's example."""
    wanted = [0.0676569, 0.0634959, 0.0487131, 0.0793049, 0.0374480, 0.0026528]
    assert vectors(embedder, TEXTS[:1])[0][:6] == pytest.approx(wanted, abs=1e-6)


def test_alike_is_near_and_length_is_one(embedder: Embedder) -> None:
    found = vectors(embedder, ["A cat sits on the mat.", "A kitten rests on the rug.", "Share prices fell sharply."])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert found[0] @ found[1] > 0.6 > 0.2 > found[0] @ found[2]


def test_who_goes_along_changes_nothing(embedder: Embedder) -> None:
    alone = np.concatenate([vectors(embedder, [text]) for text in TEXTS])
    np.testing.assert_allclose(vectors(embedder, TEXTS), alone, atol=1e-6)


def test_fixed_shapes_as_an_npu_wants_them_give_the_same(embedder: Embedder) -> None:
    """Run on the CPU here; what an NPU makes of them could not be tried."""
    texts = [*TEXTS[:4], *(f"number {i}" for i in range(40))]
    np.testing.assert_allclose(vectors(made(fixed=True), texts), vectors(embedder, texts), atol=1e-6)


def test_an_npu_that_is_not_there_falls_back_and_says_so() -> None:
    core, folder = ov.Core(), model_folder()
    if "NPU" in look(core).found:
        pytest.skip("there is an NPU here")
    found = Embedder(core, Devices(("NPU", "CPU")), folder, Path(mkdtemp()), Measures("x")).load()
    assert found.device == "CPU" and list(found.on.skipped) == ["NPU"]


def test_many_callers_share_batches_and_get_their_own() -> None:
    async def main() -> None:
        embedder = made(wait=0.05)
        texts = [f"Sentence number {i} of many." for i in range(120)]
        found = await asyncio.gather(*[embedder.embed([text, text[::-1]]) for text in texts])
        wanted = await embedder.embed([t for text in texts for t in (text, text[::-1])])
        got = np.concatenate([f.vectors for f in found])
        np.testing.assert_allclose(got, wanted.vectors, atol=1e-6)
        shown = embedder.measures.shown()
        assert shown['x_items_total{device="CPU"}'] == 480 and shown['x_batches_total{device="CPU"}'] < 40
        assert (await embedder.embed([TEXTS[-1], "short"])).cut == 1
        with pytest.raises(Invalid, match=r"texts\[1\]: is a int, not text"):
            await embedder.embed(["a", 1])  # type: ignore[list-item]
        with pytest.raises(Invalid, match="a lone surrogate"):
            await embedder.embed(["a \ud800"])
        with pytest.raises(TooLarge, match="the most is 200,000"):
            await embedder.embed(["x" * 200_001])
        await embedder.close()

    asyncio.run(main())


def test_other_weights_are_refused_in_a_clear_sentence(tmp_path: Path) -> None:
    for file in model_folder().glob("*"):
        if file.is_file():
            (tmp_path / file.name).symlink_to(file)
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    with pytest.raises(Corrupt, match=r"its SHA-256 is [0-9a-f]{64}, not 53aa51172d.* so it is not used"):
        minilm.graph(tmp_path)
    weights.unlink()
    with pytest.raises(NotFound, match=r"model\.safetensors is missing"):
        minilm.graph(tmp_path)
