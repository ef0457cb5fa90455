"""Chunks: parts of the text as it is, within their bounds, cut where the distance is large."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmops.workers.models.chunking import chunks, distances, sentences


def texts(text: str, longest: int = 1000) -> list[str]:
    return [text[p.start : p.end] for p in sentences(text, longest)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("One. Two! Three?  Four", ["One.", "Two!", "Three?", "Four"]),
        ("Use e.g. flour, i.e. wheat. Ask Dr. Who.", ["Use e.g. flour, i.e. wheat.", "Ask Dr. Who."]),
        ("It costs 3.50 dollars. J. Smith paid.", ["It costs 3.50 dollars.", "J. Smith paid."]),
        ('He said "Go." Then he went.', ['He said "Go."', "Then he went."]),
        ("A title\n\nText below\nin two lines.", ["A title", "Text below\nin two lines."]),
        ("List:\n- one\n- two\n", ["List:", "- one", "- two"]),
        ("这是一句。这是另一句！", ["这是一句。", "这是另一句！"]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_sentences(text: str, wanted: list[str]) -> None:
    assert texts(text) == wanted


def test_a_long_sentence_is_cut_at_a_space_or_anywhere() -> None:
    assert texts("aaa bbb ccc ddd", 8) == ["aaa bbb", "ccc ddd"]
    assert texts("a" * 20, 8) == ["a" * 8, "a" * 8, "a" * 4]


def test_it_is_cut_where_the_meaning_turns() -> None:
    text = " ".join(f"Sentence {i}." for i in range(20))
    parts = sentences(text, 1000)
    gaps = [0.1] * 19
    gaps[6] = gaps[13] = 0.9
    found = [text[p.start : p.end] for p in chunks(parts, gaps, 1000, 10, 0)]
    assert [t.count(".") for t in found] == [7, 7, 6]


def test_overlap_is_whole_sentences_of_the_one_before() -> None:
    text = " ".join(f"Sentence {i:02}." for i in range(12))  # 12 characters each
    parts = sentences(text, 60)
    found = [text[p.start : p.end] for p in chunks(parts, [0.5] * 11, 80, 20, 26)]
    for before, after in pairwise(found):
        assert after.startswith(before[-25:])
    assert max(map(len, found)) <= 80


def test_distances_compare_two_sentences_with_the_next_two() -> None:
    rows = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], np.float32)
    assert distances(rows) == pytest.approx([1 - 0.5**0.5, 1, 1 - 0.5**0.5, 0])
    assert distances(rows[:1]) == []


@given(
    st.text(st.sampled_from("ab .!?\n。é"), max_size=400),
    st.integers(10, 120),
    st.floats(0, 0.5),
    st.floats(0, 1),
    st.randoms(use_true_random=False),
)
def test_nothing_is_lost_and_nothing_is_too_long(text: str, size: int, lap: float, low: float, random) -> None:  # type: ignore[no-untyped-def]
    overlap, least = int(size * lap), int(size * low)
    parts = sentences(text, size - overlap)
    gaps = [random.random() for _ in parts[1:]]
    found = chunks(parts, gaps, size, least, overlap)
    covered = bytearray(len(text))
    for piece in found:
        assert 0 < piece.end - piece.start <= size
        covered[piece.start : piece.end] = b"x" * (piece.end - piece.start)
    assert [p.end for p in found] == sorted({p.end for p in found})
    assert all(covered[i] or c.isspace() for i, c in enumerate(text))
