"""Semantic chunks: text is cut where its meaning turns, within bounds of size.

Sentences are embedded; where the two before a place are farther from the two behind it than elsewhere in the text, it
is cut. Pieces below `least` go to the nearer neighbour, pieces above `size` are cut at their largest distance. A chunk
is a part of the text as it is: `text[start:end]`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmops.workers.models.minilm import Vectors

SIDE = 2  # sentences on each side of a place that are compared
ABOVE = 0.5  # standard deviations above the mean that a distance must be for a break
_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n\s*\n+|\n(?=\s*(?:[-*•#>]|\d+[.)])\s)")
_SHORT = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|Mr|Mrs|Ms|Dr|Prof|St|No|Fig|approx|ca|z\.B|d\.h|bzw|Nr)|\b[A-Z])\.$")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Piece:
    """text[start:end]."""

    start: int
    end: int


def sentences(text: str, longest: int) -> list[Piece]:
    """The sentences of `text` without the space around them; those over `longest` characters are cut at a space."""
    found: list[Piece] = []
    start = 0
    for gap in _END.finditer(text):
        if "\n" not in gap[0] and _SHORT.search(text[max(start, gap.start() - 8) : gap.start()]):
            continue
        found += _parts(text, start, gap.end(), longest)
        start = gap.end()
    return found + _parts(text, start, len(text), longest)


def _parts(text: str, start: int, end: int, longest: int) -> list[Piece]:
    found: list[Piece] = []
    while True:
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if end - start <= longest:
            return [*found, Piece(start, end)] if end > start else found
        cut = next(
            (m.start() for m in reversed([*_SPACE.finditer(text, start, start + longest)]) if m.start() > start), 0
        )
        cut = cut or start + longest
        found.append(Piece(start, cut))
        start = cut


def distances(vectors: Vectors) -> list[float]:
    """Of each place between two sentences: 1 - cosine of what stands before it and behind it."""
    total = np.concatenate([np.zeros((1, vectors.shape[1])), np.cumsum(vectors, axis=0)])
    places = np.arange(1, len(vectors))
    before = _unit(total[places] - total[np.maximum(places - SIDE, 0)])
    behind = _unit(total[np.minimum(places + SIDE, len(vectors))] - total[places])
    found: list[float] = (1 - np.sum(before * behind, axis=1)).tolist()
    return found


def _unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    length: npt.NDArray[np.float64] = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows / length


def _breaks(gaps: Sequence[float]) -> set[int]:
    """Places whose distance is clearly above the usual, and not below that of the places beside."""
    if len(gaps) < 3:
        return set()
    edge = float(np.mean(gaps) + ABOVE * np.std(gaps))
    return {i for i, gap in enumerate(gaps) if gap > edge and gap >= max(gaps[max(0, i - 1) : i + 2])}


def chunks(parts: Sequence[Piece], gaps: Sequence[float], size: int, least: int, overlap: int) -> list[Piece]:
    """Sentences joined to chunks of at most `size` characters, overlap included, and if possible at least `least`.

    gaps[i] is the distance between the sentences i and i + 1. overlap: a chunk begins with as many whole sentences of
    the one before as have that many characters together.
    """
    if not parts:
        return []
    room = size - overlap
    groups, breaks = [[0]], _breaks(gaps)
    for i in range(len(gaps)):
        if i in breaks:
            groups.append([])
        groups[-1].append(i + 1)
    fitting = [g for group in _joined(groups, parts, gaps, room, least) for g in _split(group, parts, gaps, room)]
    fitting = _joined(fitting, parts, gaps, room, least)
    return [Piece(_start(group, parts, size, overlap), parts[group[-1]].end) for group in fitting]


def _length(group: Sequence[int], parts: Sequence[Piece]) -> int:
    return parts[group[-1]].end - parts[group[0]].start


def _joined(
    groups: list[list[int]], parts: Sequence[Piece], gaps: Sequence[float], room: int, least: int
) -> list[list[int]]:
    """Small groups joined with the nearer neighbour that has room for them."""
    groups, i = [list(g) for g in groups], 0
    while i < len(groups):
        near = []
        if _length(groups[i], parts) < least:
            for a, b in ((i - 1, i), (i, i + 1)):
                if a >= 0 and b < len(groups) and _length([groups[a][0], groups[b][-1]], parts) <= room:
                    near.append((gaps[groups[a][-1]], a))
        if not near:
            i += 1
            continue
        a = min(near)[1]
        groups[a : a + 2] = [groups[a] + groups[a + 1]]
        i = a
    return groups


def _split(group: list[int], parts: Sequence[Piece], gaps: Sequence[float], room: int) -> list[list[int]]:
    """A group that is too long, cut at its largest distances, away from its ends if that can be."""
    found, left = [], [group]
    while left:
        one = left.pop()
        if _length(one, parts) <= room or len(one) == 1:
            found.append(one)
            continue
        inner = range(len(one) // 4, len(one) - 1 - len(one) // 4) or range(len(one) - 1)
        at = max(inner, key=lambda i: gaps[one[i]])
        left += [one[at + 1 :], one[: at + 1]]
    return found


def _start(group: Sequence[int], parts: Sequence[Piece], size: int, overlap: int) -> int:
    start = parts[group[0]].start
    first = group[0] - 1
    while overlap and first >= 0:
        earlier = parts[first].start
        if parts[group[0]].start - earlier > overlap or parts[group[-1]].end - earlier > size:
            break
        start, first = earlier, first - 1
    return start
