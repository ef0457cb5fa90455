"""Workflows (S2-08, S2-09): checked, accepted whole or not, parallel where free, stopped with a reason, resumed."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Exists, Full, Illegal, Invalid, Late, NotFound
from swarmops.runtime.op import Op
from swarmops.runtime.tasks.records import Claim, Outcome, TaskFailed
from swarmops.runtime.tasks.steps import MOST_STEPS, checked, task_id
from swarmops.runtime.tasks.workflows import Step, Workflow
from tests.runtime.server import Server

DIAMOND = [Step("top", "k"), Step("left", "k", after=["top"]), Step("right", "k", after=["top"]),
           Step("end", "k", after=["left", "right"])]  # fmt: skip


def claim(rt: Runtime, want: int = 10, **more: Any) -> list[Claim]:
    return rt.tasks.step("w", want=want, **more).tasks


def finish(rt: Runtime, claims: list[Claim], value: Any = None) -> None:
    assert not rt.tasks.step("w", [Outcome.done(c, c.id if value is None else value) for c in claims]).refused


def drain(rt: Runtime) -> list[str]:
    """Does all there is to do, and says in which order."""
    order: list[str] = []
    while claims := claim(rt):
        order += [c.id for c in claims]
        finish(rt, claims)
    return order


def states(found: Workflow) -> dict[str, str]:
    return {s.name: s.status for s in found.steps}


def keys(rt: Runtime, part: str) -> Any:
    """How many elements a hash of the queue has."""
    return rt.run(Op("", ("x",), ("HLEN", rt.keys.queue("default", part))))


# -- what is checked before anything is sent


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
        rt.tasks.result("wf-child", timeout=20)
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


# -- resuming


def test_redis_killed_in_the_middle_goes_on_where_it_was(own_server: Callable[..., Server]) -> None:
    """S2-09. What was done is not done again, whoever was restarted."""
    server = own_server("--appendonly", "yes", "--appendfsync", "always")
    with Runtime(server.settings) as rt:
        rt.workflows.submit("wf", DIAMOND, id="wf")
        finish(rt, claim(rt), "once")
        held = claim(rt, want=1)
        server.kill()
        server.start()
    with Runtime(server.settings) as other:
        seen = states(other.workflows.show("wf"))
        assert seen.pop(held[0].id.removeprefix("wf-")) == "running"
        assert sorted(seen.values()) == ["done", "ready", "waiting"]
        finish(other, held)
        assert "wf-top" not in drain(other)
        found = other.workflows.show("wf")
        assert found.status == "done" and found.results["top"] == "once"
        assert {s.attempt for s in found.steps} == {1}


def test_a_dead_workers_step_runs_again_and_only_that(rt: Runtime) -> None:
    rt.workflows.submit("wf", DIAMOND, id="wf")
    finish(rt, claim(rt))
    rt.tasks.step("mortal", want=1, lease_ms=1)
    time.sleep(0.005)
    again = drain(rt)
    assert sorted(again) == ["wf-end", "wf-left", "wf-right"]
    assert sorted(s.attempt for s in rt.workflows.show("wf").steps) == [1, 1, 1, 2]


# -- waiting


def test_the_end_is_pushed_to_who_waits(rt: Runtime, server: Server) -> None:
    rt.workflows.submit("wf", DIAMOND, id="wf")
    commands = Op("", ("x",), ("INFO", "commandstats"))
    rt.run(Op("", ("x",), ("CONFIG", "RESETSTAT")))
    found: list[Workflow] = []

    def watch() -> None:
        with Runtime(server.settings) as own:
            found.append(own.workflows.wait("wf", 20))

    thread = threading.Thread(target=watch)
    thread.start()
    while not keys(rt, "waits"):
        time.sleep(0.005)
    drain(rt)
    thread.join(20)
    assert found[0].status == "done" and len(found[0].results) == 4
    said = rt.run(commands)
    assert isinstance(said, bytes)
    pops = int(said.split(b"cmdstat_blpop:calls=")[1].split(b",")[0])
    assert pops <= 8 and keys(rt, "waits") == 0


def test_waiting_ends_at_once_for_what_has_ended_and_is_late_for_what_does_not(rt: Runtime) -> None:
    rt.workflows.submit("wf", [Step("a", "k")], id="wf")
    with pytest.raises(Late, match=r"1 open steps after 0\.05 s"):
        rt.workflows.wait("wf", 0.05)
    assert keys(rt, "waits") == 0
    drain(rt)
    assert rt.workflows.wait("wf", 0).status == "done"


def test_asyncio_does_the_same(server: Server, rt: Runtime) -> None:
    async def main() -> Workflow:
        async with AsyncRuntime(server.settings) as art:
            await art.workflows.submit("wf", DIAMOND, id="wf")
            waiting = asyncio.create_task(art.workflows.wait("wf", 20))
            while not await asyncio.to_thread(keys, rt, "waits"):
                await asyncio.sleep(0.005)
            await asyncio.to_thread(drain, rt)
            assert [w.id for w in await art.workflows.list()] == ["wf"]
            return await waiting

    assert asyncio.run(main()).status == "done"


# -- listing and forgetting


def test_the_newest_come_first(rt: Runtime) -> None:
    for i in range(5):
        rt.workflows.submit(f"n{i}", [Step("a", "k")], id=f"w{i}")
        time.sleep(0.002)
    assert [w.id for w in rt.workflows.list(limit=2, offset=1)] == ["w3", "w2"]
    drain(rt)
    assert {(w.steps, w.open) for w in rt.workflows.list()} == {(1, 0)}


def test_what_is_over_is_forgotten_with_its_outcomes(rt: Runtime) -> None:
    """Bounded: as many as the queue keeps outcomes of; an open one is never forgotten, nor what it still needs."""
    rt.workflows.submit("long", [Step("a", "k"), Step("b", "k", after=["a"], needs=["rare"])], id="long")
    drain(rt)
    rt.tasks.configure(kept=10)
    for i in range(60):
        rt.workflows.submit("wf", [Step("a", "k"), Step("b", "k", after=["a"])], id=f"wf-{i}")
        drain(rt)
    assert keys(rt, "out") <= 20 and keys(rt, "wf") <= 20
    (late,) = claim(rt, caps=["rare"])
    assert late.parents["long-a"] == "long-a"


def test_a_workflow_whose_dead_step_is_purged_is_forgotten_too(rt: Runtime) -> None:
    rt.workflows.submit("wf", [Step("ok", "k"), Step("bad", "k", retries=0)], id="wf")
    by_id = {c.id: c for c in claim(rt)}
    rt.tasks.step("w", [Outcome.done(by_id["wf-ok"]), Outcome.failed(by_id["wf-bad"], "no")])
    assert rt.workflows.show("wf").status == "failed"
    rt.tasks.purge("dead")
    for i in range(2):
        rt.workflows.submit("next", [Step("a", "k")], id=f"next-{i}")
    assert [w.id for w in rt.workflows.list()] == ["next-1", "next-0"]
    assert keys(rt, "wfleft") == 2 and rt.tasks.get("wf-ok").status == "done"
    rt.tasks.purge("ended")
    assert keys(rt, "out") == 0


def test_every_change_is_in_the_audit_trail(rt: Runtime) -> None:
    rt.workflows.submit("wf", [Step("a", "k")], id="wf")
    drain(rt)
    rt.workflows.submit("wf", [Step("a", "k")], id="wg")
    rt.workflows.cancel("wg")
    entries: Any = rt.run(Op("", ("x",), ("XRANGE", rt.keys.queue("default", "events"), "-", "+")))
    seen = [(fields[1].decode(), fields[3].decode()) for _, fields in entries]
    wanted = ["workflow.submitted", "workflow.ended", "workflow.cancelled"]
    assert [s for s in seen if s[0] in wanted] == [
        ("workflow.submitted", "wf"), ("workflow.ended", "wf"), ("workflow.submitted", "wg"),
        ("workflow.ended", "wg"), ("workflow.cancelled", "wg")]  # fmt: skip


def test_a_thousand_steps_are_one_call(rt: Runtime) -> None:
    steps = [Step("root", "k"), *(Step(f"s{i}", "k", i, after=["root"]) for i in range(998))]
    steps.append(Step("end", "k", after=[f"s{i}" for i in range(998)]))
    began = time.monotonic()
    rt.workflows.submit("wide", steps, id="wide")
    assert len(drain(rt)) == 1000
    assert rt.workflows.show("wide").status == "done"
    assert time.monotonic() - began < 20
    assert json.dumps(rt.workflows.show("wide").as_dict())
