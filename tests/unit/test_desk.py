"""What remote agents say, read by the desk; marks of events; answers of services. Nothing is started."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmops.gateways.desk.said import Introduction, abilities, held, outcome
from swarmops.gateways.desk.times import Times
from swarmops.gateways.http.hub import Client, as_text, marks_of
from swarmops.gateways.http.watch import Seen, _judged, worst
from swarmops.runtime.errors import Invalid, SwarmError
from swarmops.runtime.observe.events import Event

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["agent_id", "capabilities", "kinds", "facts", "queue", "capacity", "holds", "config_version", "task_id", "attempt"]
)


def introduced(**said: Any) -> Introduction:
    return Introduction.of(said, ("default", "gpu"), lambda: "made")


def test_an_introduction() -> None:
    said = introduced(agent_id="a", kinds=["embed"], capabilities={"gpu": True, "npu": False, "cpu_cores": 8})
    assert said.caps == ("embed", "gpu") and said.kinds == ("embed",) and said.facts == {"cpu_cores": 8}
    assert said.queue == "default" and said.capacity == 1 and said.holds is None
    assert introduced().id == "made" and introduced(queue="gpu", holds=[]).holds == {}


def test_what_was_found_is_a_capability_and_a_fact() -> None:
    assert abilities({"gpu": ["/dev/dri/renderD128"], "browser": "/usr/bin/chromium"}) == (
        ["gpu"],
        {"gpu": ["/dev/dri/renderD128"], "browser": "/usr/bin/chromium"},
    )
    assert abilities(None) == ([], {}) and abilities(["b", "a"]) == (["a", "b"], {})


def test_what_it_holds_in_both_ways() -> None:
    assert held([{"task_id": "t", "attempt": 2}]) == held({"t": 2}) == {"t": 2}
    for wrong in ("t", [1], [{"task_id": "T", "attempt": 1}], {"t": 0}, {"t": True}, {f"t{n}": 1 for n in range(101)}):
        with pytest.raises(Invalid):
            held(wrong)


@given(st.dictionaries(FIELDS, JSON, max_size=6))
def test_nothing_said_is_worse_than_refused(said: dict[str, Any]) -> None:
    for read in (lambda: introduced(**said), lambda: outcome(said)):
        with contextlib.suppress(SwarmError):
            read()


def test_outcomes() -> None:
    done, status = outcome({"task_id": "t", "attempt": 1, "result": {"a": 1}})
    assert status == "completed" and done.result == b'{"a":1}' and done.error is None
    failed, _ = outcome({"task_id": "t", "attempt": 1, "status": "failed", "error": 5, "retry": False})
    assert failed.error == "it failed without a reason" and not failed.retry
    for wrong in ({"status": "maybe"}, {"attempt": "1"}, {"result": float("nan")}):
        with pytest.raises(Invalid):
            outcome({"task_id": "t", "attempt": 1, **wrong})


def test_times_are_checked() -> None:
    assert Times.of({"grace": 3}).grace == 3
    for wrong in ({"grace": 0}, {"unknown": 1}, [1], {"lease": "long"}):
        with pytest.raises(Invalid):
            Times.of(wrong)


def test_an_id_of_an_event_leads_back() -> None:
    marks = {"": "1700000000000-3", "default": "1700000000001-0"}
    text = as_text(Event("1700000000001-0", "default", "task.done", "t", {"by": "x\nid: evil"}), marks)
    assert text.count("\n") == 3, "what stands in an event breaks no line"
    assert marks_of(text.splitlines()[0].removeprefix("id: ")) == marks
    assert marks_of("1700000000000") == {"": f"1699999999999-{(1 << 64) - 1}"}


@given(st.text(max_size=40))
def test_no_mark_does_harm(text: str) -> None:
    with contextlib.suppress(Invalid):
        assert "" in marks_of(text)


def test_a_client_that_lags_behind_is_cut_off() -> None:
    client = Client()
    client.put(["x"] * 2000)
    assert not client.over
    client.put(["x"])
    assert client.over


@pytest.mark.parametrize(
    "status, body, state, why",
    [
        (200, b'{"status":"ok"}', "ok", ""),
        (200, b"<html>", "ok", ""),
        (200, b'{"status":"degraded","why":"no NPU"}', "warning", "no NPU"),
        (200, b'{"status":"draining"}', "warning", "it says draining"),
        (503, b'{"status":"down"}', "critical", "it answers 503: it says down"),
        (404, b"", "critical", "it answers 404"),
        (200, b"[" * 100_000, "ok", ""),
    ],
)
def test_answers_of_services(status: int, body: bytes, state: str, why: str) -> None:
    assert _judged(status, body) == (state, why)


def test_the_worst_counts_and_the_old_does_not() -> None:
    assert worst(["ok", "unknown", "warning"]) == "warning" and worst([]) == "unknown" and worst(["ok"]) == "ok"
    assert Seen("a", "r", "n", "u", "ok", "", 1.0, 1000).now()["state"] == "unknown"
    assert "before: ok" in Seen("a", "r", "n", "u", "ok", "", 1.0, 1000).now()["why"]
