"""Workflows (S2-08): checked, accepted whole or not, parallel where free, stopped with a reason."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Exists, Full, Illegal, Invalid, NotFound
from swarmops.runtime.tasks.records import Outcome, TaskFailed
from swarmops.runtime.tasks.steps import MOST_STEPS, WrongSteps, checked, task_id
from swarmops.runtime.tasks.workflows import Step
from tests.runtime.flowing import DIAMOND, claim, drain, finish, keys, states


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([Step("a", "k", after=["b"]), Step("b", "k", after=["a"])], "wait for each other: a -> b -> a"),
        ([Step("x", "k"), Step("a", "k", after=["x", "c"]), Step("b", "k", after=["a"]), Step("c", "k", after=["b"])],
         "a -> b -> c -> a"),
        ([Step("a", "k", after=["a"])], "a waits for itself"),
        ([Step("fetch", "k"), Step("b", "k", after=["fech"])], r"no step 'fech' \(did you mean 'fetch'\?\)"),
        ([Step("a", "k"), Step("a", "k")], r"a is the name of steps\[0\] too"),
        ([Step("a", "k"), Step("b", "k", after=["a", "a"])], "names a step twice"),
        ([Step("A b", "k")], "'A b' is not a name"),
        ([Step("a", "K!")], "a.kind: 'K!' is not a name"),
        ([Step("a", "k", priority=11)], "a.priority"),
        ([Step("a", "k", timeout="5 parsecs")], "a.timeout"),
        ([Step("a", "k", {1, 2})], "a.args: cannot be sent as JSON"),
        ([Step("a", "k", needs="npu")], "a.needs: is not a list"),
        ([], "there are 0"),
        ([Step(f"s{i}", "k") for i in range(MOST_STEPS + 1)], "a workflow has 1 to 1000"),
        ([{"name": "a", "kind": "k", "afer": []}], r"unknown field 'afer' \(did you mean 'after'\?\)"),
        (["a"], "is not a mapping"),
        (7, "not a list of steps"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_a_wrong_workflow_is_refused_before_it_is_sent(rt: Runtime, steps: Any, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        rt.workflows.submit("wf", steps)
    assert keys(rt, "task") == keys(rt, "wf") == 0


def test_all_faults_are_told_at_once(rt: Runtime) -> None:
    with pytest.raises(Invalid) as e:
        rt.workflows.submit("wf", [Step("a", "k", after=["a", "no"]), Step("b", "k", after=["nil"])])
    assert all(text in str(e.value) for text in ("a waits for itself", "'no'", "'nil'"))


def test_a_fault_hides_no_other(rt: Runtime) -> None:
    """Unknown fields, missing ones, doubled names, cycles in the rest, wrong values: of all steps, in one answer."""
    steps: list[Any] = [
        {"name": "a", "kind": "k", "after": ["b", "zz"]},
        {"name": "b", "kind": "k", "after": "a", "prioritty": 3},
        {"name": "a", "kind": "k", "after": ["nope"]},
        {"name": "c", "after": ["c", ["d"]]},
        {"name": "B x", "kind": "k", "priority": 11, "timeout": "5 parsecs"},
        {"name": "p", "kind": "k", "after": ["q"]},
        {"name": "q", "kind": ["K"], "after": ["p"], "needs": 7},
        "seven",
    ]
    with pytest.raises(WrongSteps) as e:
        rt.workflows.submit("wf", steps)
    assert {str(f).split(" (")[0] for f in e.value.faults} == {
        "a.after: there is no step 'zz'",
        "a.after: steps wait for each other: a -> b -> a",
        "steps[1]: has an unknown field 'prioritty'",
        "steps[2].name: a is the name of steps[0] too",
        "steps[2].after: there is no step 'nope'",
        "steps[3]: lacks kind",
        "c.after: c waits for itself",
        "c.after: there is no step \"['d']\"",
        "steps[4].name: 'B x' is not a name",
        "steps[4].priority: '11' is not a number from 0 to 9",
        "steps[4].timeout: '5 parsecs' is not a number from 0.001 to 3.1536e+07",
        "p.after: steps wait for each other: p -> q -> p",
        "q.kind: is of the wrong type",
        "q.needs: is of the wrong type",
        "steps[7]: is not a mapping with name and kind",
    }
    assert len(e.value.lines()) == len(e.value.faults) == 15 and "; ".join(e.value.lines()) == str(e.value)
    assert keys(rt, "task") == keys(rt, "wf") == 0


def test_every_cycle_is_told_and_no_more_than_twenty_faults() -> None:
    apart = [Step(f"{n}{i}", "k", after=[f"{o}{i}"]) for i in range(3) for n, o in ("xy", "yx")]
    with pytest.raises(WrongSteps) as e:
        checked([*apart, Step("end", "k", after=["x0", "y2"])])
    assert [f.sentence.rsplit(": ", 1)[1] for f in e.value.faults] == [f"x{i} -> y{i} -> x{i}" for i in range(3)]
    with pytest.raises(WrongSteps) as e:
        checked([Step("a", "k", after=[f"n{i}" for i in range(50)])])
    assert len(e.value.faults) == 50 and e.value.lines()[20:] == ["and 30 more"]


def test_long_names_still_make_task_ids_that_differ() -> None:
    one, two = task_id("w" * 63, "s" * 62 + "a"), task_id("w" * 63, "s" * 62 + "b")
    assert len(one) == len(two) == 63 and one != two
    assert task_id("nightly", "fetch") == "nightly-fetch"
    assert [s.name for s in checked(list(reversed(DIAMOND)))][0::3] == ["top", "end"]


# -- running


def test_free_steps_run_at_the_same_time_and_others_wait(rt: Runtime) -> None:
    rt.workflows.submit("wf", DIAMOND, id="wf")
    first = claim(rt)
    assert [c.id for c in first] == ["wf-top"]
    assert states(rt.workflows.show("wf")) == {
        "top": "running",
        "left": "waiting",
        "right": "waiting",
        "end": "waiting",
    }
    finish(rt, first, 1)
    both = claim(rt)
    assert {c.id for c in both} == {"wf-left", "wf-right"} and both[0].workflow == "wf"
    finish(rt, both[:1], 2)
    assert not claim(rt)
    finish(rt, both[1:], 3)
    assert drain(rt) == ["wf-end"]
    found = rt.workflows.show("wf")
    assert found.status == "done" and found.open == 0
    assert found.results == {"top": 1, "left": 2, "right": 3, "end": "wf-end"}


def test_results_of_parents_come_with_the_claim(rt: Runtime) -> None:
    rt.workflows.submit("wf", DIAMOND, id="wf")
    finish(rt, claim(rt), {"n": [1, "ü"]})
    both = claim(rt)
    assert both[0].parents["wf-top"] == {"n": [1, "ü"]}
    finish(rt, both)
    (end,) = claim(rt)
    assert dict(end.parents) == {"wf-left": "wf-left", "wf-right": "wf-right"}


def test_what_needs_a_failed_step_is_stopped_with_the_reason_and_the_rest_goes_on(rt: Runtime) -> None:
    steps = [Step("bad", "k", retries=0), Step("child", "k", after=["bad"]), Step("grandchild", "k", after=["child"]),
             Step("free", "k"), Step("both", "k", after=["free", "bad"])]  # fmt: skip
    rt.workflows.submit("wf", steps, id="wf")
    by_id = {c.id: c for c in claim(rt)}
    rt.tasks.step("w", [Outcome.failed(by_id["wf-bad"], "it broke")])
    finish(rt, [by_id["wf-free"]])
    found = rt.workflows.show("wf")
    assert found.status == "failed"
    stopped = dict.fromkeys(("child", "grandchild", "both"), "stopped")
    assert states(found) == {"bad": "dead", "free": "done", **stopped}
    assert found.step("bad").error == "it broke"
    assert found.step("child").error == "needs wf-bad, which is dead"
    assert found.step("grandchild").error == "needs wf-child, which is stopped"
    with pytest.raises(TaskFailed, match="needs wf-bad"):
        rt.tasks.result("wf-child", timeout=60)
    assert keys(rt, "deps") == 0


def test_a_step_that_is_retried_does_not_stop_its_children(rt: Runtime) -> None:
    rt.workflows.submit("wf", [Step("a", "k", retries=1, backoff=0), Step("b", "k", after=["a"])], id="wf")
    rt.tasks.step("w", [Outcome.failed(claim(rt)[0], "once")])
    assert rt.workflows.show("wf").step("a").error == "once"
    assert drain(rt) == ["wf-a", "wf-b"]
    assert rt.workflows.show("wf").status == "done"


def test_submitting_twice_is_submitting_once(rt: Runtime) -> None:
    assert rt.workflows.submit("wf", DIAMOND, id="wf") == ("wf", True)
    assert rt.workflows.submit("wf", DIAMOND, id="wf") == ("wf", False)
    assert len(drain(rt)) == 4
    assert rt.workflows.submit("wf", DIAMOND, id="wf") == ("wf", False)
    assert not claim(rt)


def test_a_workflow_is_accepted_whole_or_not_at_all(rt: Runtime) -> None:
    rt.tasks.submit("k", id="wf-end")
    with pytest.raises(Exists, match="wf-end"):
        rt.workflows.submit("wf", DIAMOND, id="wf")
    rt.tasks.configure(limit=4)
    with pytest.raises(Full, match="1 of 4"):
        rt.workflows.submit("wf", DIAMOND, id="other")
    rt.tasks.configure(limit=100, kinds=["good"])
    with pytest.raises(Illegal, match="no worker knows the type k"):
        rt.workflows.submit("wf", [Step("a", "good"), Step("b", "k", after=["a"])])
    assert (keys(rt, "task"), keys(rt, "wf"), keys(rt, "deps"), keys(rt, "wfleft")) == (1, 0, 0, 0)


def test_cancelling_ends_all_that_is_open_and_keeps_what_is_done(rt: Runtime) -> None:
    rt.workflows.submit("wf", DIAMOND, id="wf")
    finish(rt, claim(rt))
    running = claim(rt, want=1)
    assert rt.workflows.cancel("wf", why="not wanted") == 3
    found = rt.workflows.show("wf")
    assert found.status == "cancelled" and found.step("top").status == "done"
    assert {s.error for s in found.steps if s.status == "cancelled"} == {"not wanted"}
    late = rt.tasks.step("w", [Outcome.done(running[0], 1)])
    assert late.refused == [(running[0].id, "it has ended: cancelled")]
    assert rt.workflows.cancel("wf") == 0 and rt.tasks.depth().running == 0


def test_an_unknown_workflow_is_named(rt: Runtime) -> None:
    for call in (rt.workflows.show, rt.workflows.cancel, rt.workflows.wait):
        with pytest.raises(NotFound, match="no workflow nil"):
            call("nil")
    with pytest.raises(Invalid, match="is not a name"):
        rt.workflows.show("wf:*")


def test_needs_and_priorities_hold_for_steps_too(rt: Runtime) -> None:
    rt.workflows.submit("wf", [Step("a", "k", needs=["npu"]), Step("b", "k", priority=1), Step("c", "k", priority=9)])
    assert [c.id[-1] for c in claim(rt)] == ["c", "b"]
    assert [c.id[-1] for c in claim(rt, caps=["npu"])] == ["a"]


def test_a_thousand_steps_are_one_call(rt: Runtime) -> None:
    steps = [Step("root", "k"), *(Step(f"s{i}", "k", i, after=["root"]) for i in range(998))]
    steps.append(Step("end", "k", after=[f"s{i}" for i in range(998)]))
    began = time.monotonic()
    rt.workflows.submit("wide", steps, id="wide")
    assert len(drain(rt)) == 1000
    assert rt.workflows.show("wide").status == "done"
    assert time.monotonic() - began < 200
    assert json.dumps(rt.workflows.show("wide").as_dict())
