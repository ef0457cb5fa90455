"""Submitting and claiming: ids, bounds, order, capabilities, bulk (S0-22, S2-04, S2-12, S2-15; cases 77, 91, 93)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Full, Illegal, Invalid, LeaseLost, NotFound, Refused, TooLarge
from swarmops.runtime.op import Op
from swarmops.runtime.tasks import Outcome, TaskSpec
from tests.runtime.server import Server


def raw(rt: Runtime, *args: Any) -> Any:
    return rt.run(Op("", ("x",), args))


def claimed(rt: Runtime, want: int = 100, worker: str = "w", **more: Any) -> list[str]:
    return [c.id for c in rt.tasks.step(worker, want=want, **more).tasks]


def test_a_task_is_claimed_once_and_its_result_is_kept(rt: Runtime) -> None:
    assert rt.tasks.submit("echo", {"text": "hé"}, id="one", meta={"from": "me"}) == ("one", True)
    (claim,) = rt.tasks.step("w", want=5).tasks
    assert (claim.id, claim.attempt, claim.kind, json.loads(claim.args)) == ("one", 1, "echo", {"text": "hé"})
    assert claim.meta == {"from": "me"} and claimed(rt, worker="other") == []
    assert rt.tasks.get("one").status == "running" and rt.tasks.get("one").worker == "w"
    rt.tasks.step("w", [Outcome.done(claim, [1, None])])
    task = rt.tasks.get("one")
    assert (task.status, task.result, task.attempt, task.worker) == ("done", [1, None], 1, "w")
    assert task.submitted_ms <= task.started_ms <= task.ended_ms
    assert raw(rt, "HGET", rt.keys.queue("default", "stats"), "tasks_done") == b"1"


def test_submitting_an_id_again_changes_nothing_while_it_is_open_and_after(rt: Runtime) -> None:
    rt.tasks.submit("a", 1, id="x")
    assert rt.tasks.submit("b", 2, id="x") == ("x", False) and rt.tasks.get("x").kind == "a"
    (claim,) = rt.tasks.step("w", want=1).tasks
    rt.tasks.step("w", [Outcome.done(claim, 7)])
    assert rt.tasks.submit("b", 2, id="x") == ("x", False) and claimed(rt) == []
    twice = rt.tasks.submit_many([TaskSpec("a", 1, "y"), TaskSpec("a", 2, "y")])
    assert twice == [("y", True), ("y", False)]


def test_higher_priority_first_and_first_come_inside_one(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("a", id=f"t{i}-p{p}", priority=p) for i in range(3) for p in (1, 9, 5)])
    assert claimed(rt) == [f"t{i}-p{p}" for p in (9, 5, 1) for i in range(3)]


def test_who_waits_long_overtakes_a_higher_priority_unless_told_strictly(rt: Runtime) -> None:
    for queue, aging, order in (("fair", 0.001, ["old", "new"]), ("strict", 0, ["new", "old"])):
        rt.tasks.configure(queue, aging=aging)
        rt.tasks.submit("a", id="old", priority=4, queue=queue)
        before = raw(rt, "TIME")
        while (now := raw(rt, "TIME")) and (int(now[0]) - int(before[0])) * 10**6 + int(now[1]) - int(before[1]) < 1500:
            pass
        rt.tasks.submit("a", id="new", priority=5, queue=queue)
        assert claimed(rt, queue=queue) == order


def test_a_task_goes_only_to_who_has_all_it_needs(rt: Runtime) -> None:
    rt.tasks.submit("a", id="both", needs=["gpu", "arm"])
    rt.tasks.submit("a", id="gpu", needs=["gpu"])
    rt.tasks.submit("a", id="any")
    assert rt.tasks.depth().lanes == {"arm,gpu": 1, "gpu": 1, "": 1}
    assert claimed(rt, 1) == ["any"] and claimed(rt) == [] and claimed(rt, caps=["arm"]) == []
    assert claimed(rt, 1, caps=["gpu", "arm", "x86"]) == ["both"]
    assert claimed(rt, caps=["gpu"]) == ["gpu"]
    assert rt.tasks.depth().lanes == {}


def test_order_holds_across_capabilities(rt: Runtime) -> None:
    for i in range(6):
        rt.tasks.submit("a", id=f"t{i}", needs=["gpu"] if i % 2 else [], priority=7 if i == 5 else 5)
    assert claimed(rt, 4, caps=["gpu"]) == ["t5", "t0", "t1", "t2"]


def test_a_full_queue_says_so_and_keeps_what_it_has(rt: Runtime) -> None:
    """F22"""
    rt.tasks.configure(limit=3)
    rt.tasks.submit_many([TaskSpec("a", id=f"t{i}") for i in range(2)])
    with pytest.raises(Full, match=r"queue full \(2 of 3\)"):
        rt.tasks.submit_many([TaskSpec("a", id="t2"), TaskSpec("a", id="t3")])
    rt.tasks.submit("a", id="t2")
    with pytest.raises(Full, match=r"queue full \(3 of 3\)"):
        rt.tasks.submit("a", id="t3")
    assert rt.tasks.submit("a", id="t1") == ("t1", False)
    tasks = rt.tasks.step("w", want=9).tasks
    assert [c.id for c in tasks] == ["t0", "t1", "t2"]
    rt.tasks.step("w", [Outcome.done(tasks[0])])
    assert rt.tasks.submit("a", id="t3").new


def test_the_number_of_lanes_is_bounded(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("a", needs=(f"n{i}",)) for i in range(256)])
    with pytest.raises(Full, match="combinations of needs"):
        rt.tasks.submit("a", needs=["one-more"])
    assert rt.tasks.submit("a", needs=["n7"]).new


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        ("id", {"id": "a:b"}),
        ("id", {"id": "*"}),
        ("id", {"id": "a\nb"}),
        ("id", {"id": "a b"}),
        ("kind", {"kind": "no|t"}),
        ("kind", {"kind": "x\n"}),
        ("priority", {"priority": 10}),
        ("priority", {"priority": -1}),
        ("priority", {"priority": 1.5}),
        ("priority", {"priority": "9"}),
        ("needs", {"needs": "gpu"}),
        ("needs[0]", {"needs": ["g,pu"]}),
        ("needs", {"needs": ["n"] * 65}),
        ("delay", {"delay": -1}),
        ("delay", {"delay": float("nan")}),
        ("expires", {"expires": 0}),
        ("timeout", {"timeout": "1"}),
        ("retries", {"retries": -1}),
        ("backoff", {"backoff": float("inf")}),
        ("args", {"args": float("nan")}),
        ("args", {"args": {1, 2}}),
        ("meta", {"meta": [1]}),
        ("queue", {"queue": "a}b"}),
    ],
)
def test_what_is_no_task_is_refused_by_its_field(rt: Runtime, path: str, spec: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as e:
        rt.tasks.submit(**{"kind": "a", **spec})
    assert e.value.path == path
    assert raw(rt, "KEYS", "*") == []


def test_one_mebibyte_of_arguments_is_taken_and_a_byte_more_is_not(rt: Runtime) -> None:
    rt.tasks.submit("a", "x" * ((1 << 20) - 2), id="big")
    with pytest.raises(TooLarge, match="1,048,577 bytes"):
        rt.tasks.submit("a", "x" * ((1 << 20) - 1))
    (claim,) = rt.tasks.step("w", want=1).tasks
    assert len(claim.args) == 1 << 20


def test_a_type_nobody_knows_is_refused_when_the_queue_has_a_list(rt: Runtime) -> None:
    """Case 77"""
    rt.tasks.configure(kinds=["echo", "render"])
    with pytest.raises(Illegal, match=r"the type ech \(known: echo,render\)"):
        rt.tasks.submit("ech")
    assert rt.tasks.submit("echo").new


def test_bulk_of_100_000_is_whole_and_in_order(rt: Runtime) -> None:
    rt.tasks.configure(audit=False)
    done = rt.tasks.submit_many([TaskSpec("a", i, f"t{i}") for i in range(100_000)])
    assert len(done) == 100_000 and all(d.new for d in done) and done[4711].id == "t4711"
    assert rt.tasks.depth().ready == 100_000
    assert claimed(rt, 3000) == [f"t{i}" for i in range(3000)]


def test_forty_workers_share_a_thousand_tasks_each_run_once(rt: Runtime) -> None:
    """S0-22"""
    rt.tasks.submit_many([TaskSpec("a", i) for i in range(1000)])
    seen: list[str] = []
    for turn in range(100):
        worker = f"w{turn % 40}"
        tasks = rt.tasks.step(worker, want=13).tasks
        seen += [c.id for c in tasks]
        assert rt.tasks.step(worker, [Outcome.done(c) for c in tasks]).refused == []
    assert len(seen) == len(set(seen)) == 1000
    assert raw(rt, "HLEN", rt.keys.queue("default", "out")) == 1000 and rt.tasks.depth().running == 0


def test_cancel_ends_what_is_open_and_nothing_else(rt: Runtime) -> None:
    for id in ("ready", "runs"):
        rt.tasks.submit("a", id=id, priority=9 if id == "runs" else 5)
    rt.tasks.submit("a", id="late", delay=60, expires=90)
    (claim,) = rt.tasks.step("w", want=1, holding=[]).tasks
    assert [rt.tasks.cancel(i, reason="no more") for i in ("ready", "late", "runs", "runs")] == [
        "open", "open", "running", "cancelled",
    ]  # fmt: skip
    told = rt.tasks.step("w", [Outcome.done(claim)], want=9, holding=["runs"])
    assert told.tasks == [] and told.refused == [("runs", "it has ended: cancelled")]
    assert rt.tasks.get("late").error == "no more" and rt.tasks.depth().delayed == 0
    assert raw(rt, "ZCARD", rt.keys.queue("default", "timers")) == 0
    with pytest.raises(NotFound):
        rt.tasks.cancel("nobody")
    rt.tasks.submit("a", id="done")
    rt.tasks.step("w", [Outcome.done(c) for c in rt.tasks.step("w", want=1).tasks])
    with pytest.raises(Illegal, match="has ended: done"):
        rt.tasks.cancel("done")


def test_a_worker_hears_what_it_lost_and_what_it_does_not_know_of(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("a", id=i) for i in ("a", "b", "c")])
    rt.tasks.step("w", want=2)  # the answer is lost on the way
    told = rt.tasks.step("w", want=1, holding=["gone"])
    assert [c.id for c in told.tasks] == ["c"] and told.lost == ["gone"] and told.strays == ["a", "b"]
    again = rt.tasks.step("w", want=9, holding=["c", "a", "b"], released=told.strays)
    assert [(c.id, c.attempt) for c in again.tasks] == [("a", 2), ("b", 2)]


def test_progress_is_seen_and_taken_from_its_worker_only(rt: Runtime) -> None:
    rt.tasks.submit("a", id="x")
    rt.tasks.step("w", want=1)
    rt.tasks.progress("x", 1, 0.5, "half")
    assert rt.tasks.get("x").progress == {"fraction": 0.5, "text": "half"}
    rt.tasks.leave("w")
    claim = rt.tasks.step("v", want=1).tasks[0]
    with pytest.raises(LeaseLost, match="lease lost, attempt 1 < 2"):
        rt.tasks.progress("x", 1, 0.6)
    rt.tasks.step("v", [Outcome.done(claim)])
    with pytest.raises(LeaseLost, match="has ended"):
        rt.tasks.progress("x", 2, 1)


def test_lists_are_by_status_and_paged(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("a", i, f"t{i}") for i in range(6)])
    rt.tasks.submit("a", id="later", delay=50)
    first = rt.tasks.step("w", want=3).tasks
    rt.tasks.step("w", [Outcome.done(c) for c in first[:2]])

    def ids(status: str, **more: Any) -> list[str]:
        return [t.id for t in rt.tasks.list(status, **more)]

    assert ids("ready") == ["t3", "t4", "t5"] and ids("ready", limit=1, offset=1) == ["t4"]
    assert ids("done") == ["t1", "t0"] and ids("done", offset=1) == ["t0"]
    assert ids("running") == ["t2"] and ids("delayed") == ["later"] and ids("waiting") == ids("dead") == []
    depth = rt.tasks.depth()
    assert (depth.ready, depth.running, depth.delayed, depth.workers) == (3, 1, 1, 1)
    with pytest.raises(Invalid, match="none of waiting"):
        rt.tasks.list("lost")


def test_outcomes_are_kept_by_number_and_age(rt: Runtime) -> None:
    rt.tasks.configure(kept=5)
    rt.tasks.submit_many([TaskSpec("a", i, f"t{i}") for i in range(12)])
    while tasks := rt.tasks.step("w", want=3).tasks:
        rt.tasks.step("w", [Outcome.done(c) for c in tasks])
    kept = {k.decode() for k in raw(rt, "HKEYS", rt.keys.queue("default", "out"))}
    assert kept == {f"t{i}" for i in range(7, 12)}
    rt.tasks.configure(keep=0)
    rt.tasks.beat("w")
    assert raw(rt, "EXISTS", rt.keys.queue("default", "out")) == 0


def test_events_tell_every_change_and_can_be_switched_off(rt: Runtime) -> None:
    """S2-13"""
    rt.tasks.submit_many([TaskSpec("a", i, f"t{i}") for i in range(150)])
    tasks = rt.tasks.step("w", want=2).tasks
    rt.tasks.step("w", [Outcome.done(tasks[0]), Outcome.failed(tasks[1], "no")])
    rows = [dict(zip(e[1][::2], e[1][1::2])) for e in raw(rt, "XRANGE", rt.keys.queue("default", "events"), "-", "+")]
    assert [(r[b"what"].decode(), len(r[b"id"].split())) for r in rows[:3]] == [
        ("task.submitted", 100), ("task.submitted", 50), ("task.claimed", 2),
    ]  # fmt: skip
    assert {r[b"what"] for r in rows[3:]} == {b"task.done", b"task.retried"}
    rt.tasks.configure(audit=False)
    rt.tasks.submit("a")
    assert raw(rt, "XLEN", rt.keys.queue("default", "events")) == len(rows)


def test_submits_at_the_same_time_go_as_one_script(server: Server, rt: Runtime) -> None:
    raw(rt, "CONFIG", "RESETSTAT")

    async def main() -> list[Any]:
        async with AsyncRuntime(server.settings) as art:
            await art.tasks.submit("a", id="first")
            return await asyncio.gather(*[art.tasks.submit("a", i, id=f"t{i % 150}") for i in range(200)])

    done = asyncio.run(main())
    assert [d.id for d in done] == [f"t{i % 150}" for i in range(200)] and sum(d.new for d in done) == 150
    calls = raw(rt, "INFO", "commandstats").split(b"cmdstat_evalsha:calls=")[1].split(b",")[0]
    assert int(calls) <= 4


def test_one_submit_is_one_command(rt: Runtime) -> None:
    rt.tasks.submit("a")
    raw(rt, "CONFIG", "RESETSTAT")
    rt.tasks.submit("a")
    stats = raw(rt, "INFO", "commandstats").decode()
    assert "cmdstat_evalsha:calls=1," in stats and "script|load" not in stats


def test_a_queued_task_takes_at_most_450_bytes(rt: Runtime) -> None:
    def used() -> int:
        return int(raw(rt, "INFO", "memory").split(b"used_memory:")[1].split()[0])

    rt.tasks.submit("noop", {"t": "x" * 90}, queue="warm")
    before = used()
    rt.tasks.submit_many([TaskSpec("noop", {"t": "x" * 90}) for _ in range(20_000)])
    assert (used() - before) / 20_000 < 450


def test_another_kind_of_value_under_a_key_is_named_not_a_crash(rt: Runtime) -> None:
    """Case 88"""
    raw(rt, "SET", rt.keys.queue("default", "task"), "x")
    with pytest.raises(Refused, match="another type"):
        rt.tasks.submit("a")
    raw(rt, "SET", rt.keys.queue("default", "held"), "x")
    with pytest.raises(Refused, match="another type"):
        rt.tasks.step("w", want=1)
