"""Work for whole swarms: who gets what, by which strategy (S3-26 to S3-30)."""

from __future__ import annotations

from collections import Counter

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Invalid
from tests.runtime.distributing import active, given


def test_the_least_loaded_swarm_is_next(rt: Runtime, term: int) -> None:
    for id in ("a", "b", "c"):
        active(rt, id)
    for i in range(9):
        rt.distribution.submit("x", id=f"t{i}")
    assert Counter(given(rt, term).values()) == {"a": 3, "b": 3, "c": 3}
    for task in rt.distribution.take("b"):
        assert rt.distribution.complete(task.id, "b", task.attempt)
    assert [s.load for s in sorted(rt.swarms.list(), key=lambda s: s.id)] == [3, 0, 3]
    for i in range(3):
        rt.distribution.submit("x", id=f"u{i}")
    assert set(given(rt, term).values()) == {"b"}


def test_round_robin_goes_on_where_it_was_when_leaders_and_swarms_come_and_go(rt: Runtime, term: int) -> None:
    rt.distribution.strategy("round_robin")
    for id in ("a", "b", "c", "d"):
        active(rt, id)
    for i in range(30):
        rt.distribution.submit("x", id=f"t{i:02}")
    assert [s for _, s, _ in rt.distribution.cycle(term, 2).given] == ["a", "b"]
    rt.leader.resign("boss", term)
    term = rt.leader.campaign("another").term
    assert [s for _, s, _ in rt.distribution.cycle(term, 1).given] == ["c"]
    rt.swarms.status("c", "completed")
    active(rt, "ca")
    assert [s for _, s, _ in rt.distribution.cycle(term, 6).given] == ["ca", "d", "a", "b", "ca", "d"]


def test_by_priority_a_task_goes_to_a_swarm_of_its_kind_else_to_the_least_loaded(rt: Runtime, term: int) -> None:
    rt.distribution.strategy("priority")
    active(rt, "h", priority="high")
    active(rt, "n1", priority="normal")
    active(rt, "n2", priority="normal")
    for i in range(4):
        rt.distribution.submit("x", priority="high", id=f"h{i}")
    for i in range(2):
        rt.distribution.submit("x", priority="normal", id=f"n{i}")
    rt.distribution.submit("x", priority="low", id="l0")
    found = given(rt, term)
    assert {found[f"h{i}"] for i in range(4)} == {"h"}
    assert {found["n0"], found["n1"]} == {"n1", "n2"} and found["l0"] == "n1"


def test_the_urgent_go_first_and_a_task_that_comes_back_keeps_its_place(rt: Runtime, term: int) -> None:
    for i, priority in enumerate(["low", "normal", "high", "normal"]):
        rt.distribution.submit("x", priority=priority, id=f"t{i}")
    active(rt, "a")
    [first] = rt.distribution.cycle(term, 1).given
    assert first[0] == "t2"
    assert rt.distribution.give_back("a", [("t2", 1)]) == 1
    assert [t for t, *_ in rt.distribution.cycle(term).given] == ["t2", "t1", "t3", "t0"]
    assert rt.distribution.get("t2").attempt == 2


@pytest.mark.parametrize("strategy", ["least_loaded", "round_robin", "priority", "capability"])
def test_no_strategy_gives_a_task_to_a_swarm_that_cannot(rt: Runtime, term: int, strategy: str) -> None:
    rt.distribution.strategy(strategy)
    active(rt, "a", "cpu")
    active(rt, "b", "cpu", "gpu")
    for i in range(6):
        rt.distribution.submit("x", capabilities=["gpu", "cpu"], id=f"g{i}")
    rt.distribution.submit("x", capabilities=["gpu", "tpu"], id="nobody")
    rt.distribution.submit("x", id="anybody")
    found = rt.distribution.cycle(term)
    assert {t: s for t, s, _ in found.given if t[0] == "g"} == {f"g{i}": "b" for i in range(6)}
    assert found.stuck == ["nobody"]
    assert rt.distribution.get("nobody").status == "stuck"
    backlog = rt.distribution.backlog()
    assert (backlog.stuck, backlog.stuck_ids, backlog.strategy) == (1, ["nobody"], strategy)
    active(rt, "c", "gpu", "tpu")
    assert given(rt, term) == {"nobody": "c"}


def test_capability_spares_those_who_can_more(rt: Runtime, term: int) -> None:
    rt.distribution.strategy("capability")
    active(rt, "a", "cpu", "gpu", "tpu")
    active(rt, "b", "cpu")
    for i in range(3):
        rt.distribution.submit("x", capabilities=["cpu"], id=f"t{i}")
    assert set(given(rt, term).values()) == {"b"}


def test_two_hundred_that_nobody_can_do_hold_up_nothing(rt: Runtime, term: int) -> None:
    active(rt, "a")
    rt.run_many(
        [rt.distribution.submit.op("x", capabilities=["none"], priority="high", id=f"n{i}") for i in range(250)]
    )
    rt.distribution.submit("x", priority="low", id="possible")
    assert rt.distribution.cycle(term).given == []
    assert given(rt, term) == {"possible": "a"} and rt.distribution.backlog().stuck == 250


def test_the_strategy_changes_at_run_time_for_all_and_is_seen(rt: Runtime, term: int) -> None:
    assert rt.distribution.backlog().strategy == "least_loaded"
    assert rt.distribution.strategy("round_robin").strategy == "round_robin"
    with Runtime(rt.settings) as other:
        assert other.distribution.backlog().strategy == "round_robin"
    with pytest.raises(Invalid, match="'random' is none of least_loaded, round_robin, priority, capability"):
        rt.distribution.strategy("random")
