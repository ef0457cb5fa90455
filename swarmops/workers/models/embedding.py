"""The task `embed`, and vectors as JSON."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from swarmops.runtime.errors import Invalid, TooLarge
from swarmops.workers.models import minilm
from swarmops.workers.models.embedder import Embedder
from swarmops.workers.models.minilm import Vectors
from swarmops.workers.models.tasks import plain

MOST = {"float": 200, "base64": 480}  # texts of one task: its result has at most 1 MiB
DIGITS = 7  # of a component, which is at most 1: more than f32 has


def texts_of(text: object, texts: object, most: int) -> list[str]:
    """What to embed: one text or a list. Raises Invalid, TooLarge."""
    if (text is None) == (texts is None):
        raise Invalid("texts", "say either texts (a list) or text")
    found: Sequence[Any] = [text] if texts is None else texts  # type: ignore[assignment]
    if not isinstance(found, list) or not found or not all(isinstance(t, str) for t in found):
        raise Invalid("texts", "is not a list of one or more texts")
    if len(found) > most:
        raise TooLarge("texts", f"are {len(found):,}, the most of one task is {most} (send several tasks)")
    return found


def lists(vectors: Vectors) -> list[list[float]]:
    """Vectors as JSON numbers."""
    return [[round(x, DIGITS) for x in row] for row in vectors.tolist()]


def packed(vectors: Vectors) -> list[str]:
    """Each vector as base64 of its little-endian f32."""
    return [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]


def embed_task(embedder: Embedder) -> Callable[..., Awaitable[Any]]:
    """A handler of {texts: [...] | text, encoding: float | base64}."""

    async def embed(texts: Any = None, text: Any = None, encoding: str = "float") -> dict[str, Any]:
        if encoding not in MOST:
            raise Invalid("encoding", f"{str(encoding)[:40]!r} is neither float nor base64")
        found = await embedder.embed(texts_of(text, texts, MOST[encoding]))
        return {
            "vectors": (lists if encoding == "float" else packed)(found.vectors),
            "dim": minilm.DIM,
            "device": embedder.device,
            "model": minilm.NAME,
            "tokens": found.tokens,
            **({"cut": found.cut} if found.cut else {}),
        }

    return plain(embed)
