"""What a recovery will do: how sure it is, by which strategy, from any state (S3-45, S2-34)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmops.runtime.state.recovery_plan import confidence, plan_for, strategy_for


@pytest.mark.parametrize(
    ("age", "tasks", "agents", "sure"),
    [
        (0, False, False, 0.8),
        (59.9, True, True, 0.95),
        (60, False, False, 0.7),
        (299, True, False, 0.8),
        (299, True, True, 0.9),
        (300, False, False, 0.5),
        (1e9, True, True, 0.7),
        (None, True, True, 0.0),
    ],
)
def test_confidence_is_the_formula(age: float | None, tasks: bool, agents: bool, sure: float) -> None:
    """S3-45."""
    assert confidence(age, tasks, agents) == sure == confidence(age, tasks, agents)


@pytest.mark.parametrize(
    ("reason", "attempts", "source", "strategy"),
    [
        ("the coordinator went away", 1, "state", "resume"),
        ("no beat in time", 1, "state", "reassign"),
        ("agent npu-1 died", 3, "snapshot", "reassign"),
        ("agent npu-1 died", 1, "nothing", "restart"),
        ("agent npu-1 died", 4, "state", "escalate"),
    ],
)
def test_the_strategy_follows_from_the_reason(reason: str, attempts: int, source: str, strategy: str) -> None:
    """S2-34."""
    assert strategy_for(reason, attempts, source) == strategy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(st.fixed_dictionaries({}, optional={"tasks": JSON, "agents": JSON, "task_seconds": JSON}) | JSON)
def test_a_plan_can_be_made_of_anything_that_a_state_may_hold(value: Any) -> None:
    plan = plan_for(value, "state", "", 1.0, "resume")
    assert 0 <= plan.progress <= 1 and 0 <= plan.estimated_time < 1e12 and plan.next_actions
    assert len(plan.requeue) == plan.in_progress


def test_tasks_may_be_listed_in_several_ways() -> None:
    ways: list[Any] = [
        {"a": "done", "b": "running"},
        {"a": {"status": "completed"}, "b": {"status": "assigned"}},
        [{"id": "a", "status": "DONE"}, {"id": "b", "status": "in_progress"}],
        {"completed": ["a"], "in_progress": ["b"]},
    ]
    plans = [plan_for({"tasks": tasks}, "state", "", 1.0, "resume") for tasks in ways]
    assert {(p.completed, p.in_progress, p.requeue, p.progress) for p in plans} == {(1, 1, ("b",), 0.5)}
