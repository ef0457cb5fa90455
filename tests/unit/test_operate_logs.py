"""Lines of logs as hosts give them: what journald says in JSON, and plain files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmops.operate.logs import Line, _Journal

AT = "1700000000123456"


def line(**fields: Any) -> Line | None:
    return _Journal("h").line(json.dumps({"__REALTIME_TIMESTAMP": AT, "_SYSTEMD_UNIT": "page.service", **fields}))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("hello", "hello"),
        (None, ""),
        ([104, 105, 255], "hi\ufffd"),  # no text
        (["one", "two"], "one two"),  # a field that is there twice
        ([[104, 105], "two", None], "hi two "),
        ([], ""),
    ],
)
def test_a_message_in_each_of_its_shapes(message: Any, text: str) -> None:
    found = line(MESSAGE=message, PRIORITY="3")
    assert found and (found.host, found.unit, found.text, found.priority) == ("h", "page", text, 3)


def test_a_priority_that_is_none_is_an_ordinary_one() -> None:
    assert [getattr(line(MESSAGE="x", PRIORITY=p), "priority", 0) for p in (["3", "4"], None, "x", "0")] == [6, 6, 6, 0]


@given(st.recursive(st.none() | st.text() | st.integers() | st.floats(), lambda inner: st.lists(inner), max_leaves=8))
def test_whatever_a_field_is_a_line_comes_of_it(value: Any) -> None:
    assert line(MESSAGE=value, PRIORITY=value, UNIT=value) is not None


def test_what_is_no_entry_is_kept_as_the_reason() -> None:
    journal = _Journal("h")
    assert journal.line("Failed to open: Permission denied") is None and "denied" in journal.last
    assert journal.line("[]") is None and journal.line('{"MESSAGE": "no time"}') is None
