"""Frames, events, conditions and what a run leaves beside the inventory."""

from __future__ import annotations

import ast
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmops.cli._output import one_line, plain
from swarmops.delivery import events, records
from swarmops.target import wire
from swarmops.target.when import holds, names_in

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)
KEYS = (
    "i",
    "s",
    "ms",
    "n",
    "contents",
    "token",
    "within",
    "ok",
    "why",
    "machine",
    "cmds",
    "was",
    "out",
    "text",
    "cores",
)
KINDS = ("step", "bytes", "need", "confirm", "done", "hello", "asked", "note", "stranger", "end", "other")
ENVELOPE = {"mode": "apply", "steps": [{"args": {}}] * 3, "run": "r1"}


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), JSON))
def test_whatever_passes_is_safe_to_use(kind, rest):
    event = events.parse(json.dumps({**rest, "e": kind}).encode())
    if event is None or not events.fits(event, ENVELOPE):
        return
    assert kind not in ("end", "unconfirmed", "asked")
    if kind == "step":
        ENVELOPE["steps"][event["i"]]
        assert (
            event["i"] >= 0
            and event["s"] in events.STATES
            and event["ms"] + 0 == event["ms"]
            or event["ms"] != event["ms"]
        )
        for argv, code, said in event.get("cmds") or []:
            plain(" ".join(argv) + said + str(code + 0))
    if kind == "bytes":
        assert 0 <= event["n"] <= events.MAX_CHUNK
    if kind == "confirm":
        assert event["token"].isalnum() and event["within"] > 0


@given(st.binary(max_size=300))
def test_no_line_breaks_the_parser(line):
    event = events.parse(line)
    assert event is None or isinstance(event["e"], str)


@given(st.binary(max_size=5000))
def test_a_frame_says_its_length(payload):
    made = wire.frame(payload)
    assert int(made[:8], 16) == len(payload) and made[8:] == payload


@given(st.text())
def test_remote_text_can_always_be_printed_in_one_line(text):
    made = one_line(text + "\x1b]0;x\x07\x9b2J\u2028\ud800\n")
    assert made.encode() and len(made.splitlines()) == 1 and "\x1b" not in made and "\x9b" not in made


# -- when: the same as Python, on the subset

LEAVES = st.sampled_from(
    [
        "a",
        "b",
        "c",
        "r.changed",
        "r.stdout",
        "r['rc']",
        "l[0]",
        "l[-1]",
        "1",
        "-1",
        "'x'",
        "''",
        "None",
        "True",
        "[1, 2]",
        "('x', 1)",
    ]
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda e: st.one_of(
        st.tuples(e, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]), e).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        # Whether two equal texts or tuples are one object is Python's own business.
        st.tuples(e, st.sampled_from(["is", "is not"]), st.sampled_from(["None", "True", "False"])).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(e, st.sampled_from(["and", "or"]), e).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        e.map(lambda x: f"(not {x})"),
        st.tuples(e, e, e).map(lambda t: f"({t[0]} < {t[1]} <= {t[2]})"),
    ),
    max_leaves=8,
)


class Result(dict):
    __getattr__ = dict.__getitem__


RESULT = Result(changed=True, stdout="x", rc=0)
VALUES = {"a": 1, "b": "x", "c": None, "r": RESULT, "l": [1, "x"]}


@given(EXPRESSIONS)
def test_conditions_mean_what_they_mean_in_python(expression):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            want = bool(eval(expression, {}, dict(VALUES)))
        except TypeError:
            if " in " not in expression:  # `in None` is False with us: what is not there holds nothing
                with pytest.raises(ValueError):
                    holds(expression, VALUES)
            return
        assert holds(expression, VALUES) is want
    assert names_in(expression) == {n.id for n in ast.walk(ast.parse(expression)) if isinstance(n, ast.Name)}


@given(st.text(max_size=40))
def test_any_text_is_decided_or_refused(text):
    with contextlib.suppress(ValueError):
        holds(text, VALUES)


# -- failed hosts


def test_hosts_that_were_not_played_stay_failed(tmp_path):
    records.remember_failed(tmp_path, ["a", "b"], {"a", "b", "c"})
    records.remember_failed(tmp_path, [], {"c"})
    assert records.failed(tmp_path) == ["a", "b"]
    records.remember_failed(tmp_path, ["c"], {"a", "c"})
    assert records.failed(tmp_path) == ["b", "c"]
    records.remember_failed(tmp_path, [], {"b", "c"})
    assert records.failed(tmp_path) == []


@pytest.mark.parametrize("text", ["[]", "3", '{"hosts": 3}', '{"hosts": [1]}', "", "{"])
def test_a_broken_record_is_no_record(tmp_path, text):
    (tmp_path / "failed.json").write_text(text)
    assert records.failed(tmp_path) == []
