"""What goes wrong with tasks: failures, deaths, late results, timers, full memory (F1-F3, F8, F22; S2-05, S2-06)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import NotFound, Unavailable
from swarmops.runtime.op import Op
from swarmops.runtime.tasks import Claim, Outcome, TaskSpec
from tests.runtime.server import Server
from tests.waiting import until


def raw(rt: Runtime, *args: Any) -> Any:
    return rt.run(Op("", ("x",), args))


def take(rt: Runtime, worker: str = "w", want: int = 1, **more: Any) -> list[Claim]:
    return rt.tasks.step(worker, want=want, **more).tasks


def dies(rt: Runtime, worker: str, want: int = 1) -> list[Claim]:
    """`worker` claims and is not heard of again; its lease is over when this returns."""
    found = until(lambda: take(rt, worker, want, lease_ms=1))
    time.sleep(0.005)
    return list(found)


def test_a_failing_task_is_tried_again_with_growing_delays_then_dead(rt: Runtime) -> None:
    """S2-05: 3 retries, backoff doubling; the error stays with the dead letter."""
    rt.tasks.submit("a", {"x": 1}, id="bad", backoff=0.04)
    waits = []
    for n in range(1, 5):
        (claim,) = until(lambda: take(rt))
        assert claim.attempt == n
        rt.tasks.step("w", [Outcome.failed(claim, f"no {n} €")])
        task = rt.tasks.get("bad")
        assert task.error == f"no {n} €"
        if task.status == "delayed":
            now = raw(rt, "TIME")
            waits.append(task.due_ms - (int(now[0]) * 1000 + int(now[1]) // 1000))
    assert task.status == "dead" and task.args == {"x": 1} and len(waits) == 3
    assert waits[0] <= 40 and 40 < waits[2] <= 160
    assert [t.id for t in rt.tasks.dead()] == ["bad"] and take(rt) == []


def test_the_default_delays_are_1_2_and_4_seconds(rt: Runtime) -> None:
    rt.tasks.submit("a", id="bad")
    timers = rt.keys.queue("default", "timers")
    for n, want in enumerate([1000, 2000, 4000], 1):
        (claim,) = take(rt)
        rt.tasks.step("w", [Outcome.failed(claim, "no")])
        sec, us = raw(rt, "TIME")
        assert 0 <= int(sec) * 1000 + int(us) // 1000 + want - float(raw(rt, "ZSCORE", timers, "d:bad")) < 1000, n
        raw(rt, "ZADD", timers, 1, "d:bad")  # time passes


def test_a_failure_may_say_when_again_or_never(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("a", id="soon"), TaskSpec("a", id="never")])
    soon, never = take(rt, want=2)
    rt.tasks.step("w", [Outcome.failed(soon, "busy", after=0), Outcome.failed(never, "wrong", retry=False)])
    assert rt.tasks.get("never").status == "dead" and [c.id for c in take(rt)] == ["soon"]


def test_dead_tasks_are_requeued_as_new_ones_or_purged(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("a", id=f"t{i}", retries=0) for i in range(4)])
    claims = take(rt, want=4)
    rt.tasks.step("w", [Outcome.failed(c, "no") for c in claims])
    with pytest.raises(NotFound, match="no dead task t9"):
        rt.tasks.requeue("t0", "t9")
    assert rt.tasks.depth().dead == 4
    assert rt.tasks.requeue("t2") == ["t2"] and rt.tasks.requeue_dead(1) == ["t0"]
    assert [(c.id, c.attempt) for c in take(rt, want=9)] == [("t2", 2), ("t0", 2)]
    assert rt.tasks.purge() == 2 and rt.tasks.depth().dead == 0
    with pytest.raises(NotFound):
        rt.tasks.get("t1")


def test_a_dead_workers_tasks_run_again_and_its_late_result_is_refused(rt: Runtime) -> None:
    """F1, F2: one result, by the second attempt."""
    rt.tasks.submit("a", id="x")
    (late,) = dies(rt, "slow")
    (claim,) = until(lambda: take(rt, "w"))
    assert claim.attempt == 2
    assert rt.tasks.step("slow", [Outcome.done(late, "late")]).refused == [("x", "lease lost, attempt 1 < 2")]
    assert rt.tasks.step("w", [Outcome.done(claim, "good")]).refused == []
    assert rt.tasks.step("slow", [Outcome.done(late, "late")]).refused == [("x", "it has ended: done")]
    assert rt.tasks.get("x").result == "good"


def test_an_outcome_of_a_task_not_held_is_refused(rt: Runtime) -> None:
    """Case 89"""
    rt.tasks.submit("a", id="x")
    (claim,) = take(rt)
    said = [Outcome("nobody", 1), Outcome("x", 2), Outcome("x", 0)]
    refused = dict(rt.tasks.step("other", [*said, Outcome.done(claim)]).refused)
    assert refused == {"nobody": "there is no task nobody", "x": "it is held by w"}
    assert rt.tasks.step("w", [Outcome.done(claim, 1), Outcome.done(claim, 2)]).refused == []
    assert rt.tasks.get("x").result == 1


def test_an_outcome_told_twice_because_the_answer_was_lost_is_recorded_once(rt: Runtime) -> None:
    rt.tasks.submit("a", id="x")
    (claim,) = take(rt)
    for _ in range(2):
        assert rt.tasks.step("w", [Outcome.done(claim, 1)]).refused == []
    assert raw(rt, "HGET", rt.keys.queue("default", "stats"), "tasks_done") == b"1"


def test_a_beat_keeps_the_lease(rt: Runtime) -> None:
    rt.tasks.submit("a", id="x")
    (claim,) = take(rt, lease_ms=2000)
    end = time.monotonic() + 3.5
    while time.monotonic() < end:
        rt.tasks.beat("w", lease_ms=2000)
        assert take(rt, "thief") == []
        time.sleep(0.02)
    assert rt.tasks.step("w", [Outcome.done(claim)]).refused == []


def test_orphans_run_again_within_their_lease_and_a_second(rt: Runtime) -> None:
    """F1"""
    rt.tasks.submit_many([TaskSpec("a") for _ in range(50)])
    began = time.monotonic()
    assert len(take(rt, "w", 50, lease_ms=500)) == 50
    assert until(lambda: take(rt, "v")) and time.monotonic() - began < 20
    assert time.monotonic() - began > 0.45


def test_a_worker_that_leaves_gives_everything_back_where_it_stood(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("a", id=f"t{i}") for i in range(5)])
    take(rt, "w", 3)
    assert rt.tasks.leave("w") == 3 and rt.tasks.leave("w") == 0
    assert [c.id for c in take(rt, "v", 5)] == ["t0", "t1", "t2", "t3", "t4"]
    assert rt.tasks.depth().workers == 1


def test_a_poison_task_is_given_up_after_three_deaths_and_takes_nobody_along(rt: Runtime) -> None:
    """F3"""
    rt.tasks.submit_many([TaskSpec("a", id=i) for i in ("poison", "good", "fine")])
    assert len(dies(rt, "w1", 3)) == 3
    done: list[str] = []
    for turn in range(20):
        for claim in take(rt, f"v{turn}", 9):
            if claim.id == "poison":
                assert len(rt.tasks.list("running")) == 1
                rt.tasks.beat(f"v{turn}", lease_ms=1)
                time.sleep(0.005)
            else:
                rt.tasks.step(f"v{turn}", [Outcome.done(claim)])
                done.append(claim.id)
    assert sorted(done) == ["fine", "good"]
    task = rt.tasks.get("poison")
    assert (task.status, task.error) == ("dead", "its worker died 3 times")
    assert [t.id for t in rt.tasks.dead()] == ["poison"]


def test_a_suspect_is_run_alone_and_others_do_not_wait_for_it(rt: Runtime) -> None:
    rt.tasks.submit("a", id="suspect")
    dies(rt, "w1")
    rt.tasks.submit_many([TaskSpec("a", id=f"t{i}") for i in range(3)])
    rt.tasks.beat("v")  # the orphan is found
    assert [c.id for c in take(rt, "v", 9)] == ["suspect"]
    assert take(rt, "v", 9) == []
    assert [c.id for c in take(rt, "u", 2)] == ["t0", "t1"]
    rt.tasks.step("v", [Outcome("suspect", 2)])
    assert [c.id for c in take(rt, "v", 9)] == ["t2"]


def test_a_delayed_task_is_not_claimed_before_its_time(rt: Runtime) -> None:
    rt.tasks.submit("a", id="x", delay=0.2)
    assert rt.tasks.get("x").status == "delayed" and take(rt) == []
    due = rt.tasks.beat("w").next_due_ms
    assert 0 <= due <= 200
    (claim,) = until(lambda: take(rt))
    now = raw(rt, "TIME")
    assert int(now[0]) * 1000 + int(now[1]) // 1000 - rt.tasks.get("x").submitted_ms >= 200 and claim.attempt == 1


def test_a_task_not_begun_in_time_expires_and_one_begun_does_not(rt: Runtime) -> None:
    rt.tasks.submit("a", id="runs", expires=0.05)
    (claim,) = take(rt)
    rt.tasks.submit("a", id="waits", expires=0.05)
    rt.tasks.submit("a", id="needy", expires=0.05, needs=["gpu"])
    until(lambda: rt.tasks.beat("w").next_due_ms == -1)
    assert take(rt) == [] and rt.tasks.get("waits").status == rt.tasks.get("needy").status == "expired"
    assert rt.tasks.get("waits").error == "not begun in time" and rt.tasks.get("runs").status == "running"
    assert rt.tasks.step("w", [Outcome.done(claim)]).refused == []


def test_an_attempt_over_its_timeout_is_taken_away_and_tried_again(rt: Runtime) -> None:
    rt.tasks.submit("a", id="x", timeout=0.05, retries=1, backoff=0.01)
    (first,) = take(rt)
    until(lambda: rt.tasks.step("w", holding=["x"]).lost == ["x"])
    assert rt.tasks.get("x").error == "timed out after 0.05 s"
    assert rt.tasks.step("w", [Outcome.done(first)]).refused
    (second,) = until(lambda: take(rt))
    assert second.attempt == 2
    until(lambda: rt.tasks.beat("w") and rt.tasks.get("x").status == "dead")
    assert raw(rt, "ZCARD", rt.keys.queue("default", "timers")) == 0


def test_timers_of_finished_tasks_are_removed(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("a", expires=3600, timeout=3600) for _ in range(20)])
    rt.tasks.step("w", [Outcome.done(c) for c in take(rt, want=20)])
    assert raw(rt, "ZCARD", rt.keys.queue("default", "timers")) == 0


def test_nothing_is_left_in_redis_of_tasks_that_ended_but_their_outcomes(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("a", id=f"t{i}", retries=1, backoff=0.0) for i in range(30)])
    dies(rt, "gone", 4)
    while rt.tasks.depth().ready + rt.tasks.depth().delayed + rt.tasks.depth().running:
        for claim in take(rt, want=7):
            odd = int(claim.id[1:]) % 2 and claim.attempt == 1
            rt.tasks.step("w", [Outcome.failed(claim, "no") if odd else Outcome.done(claim)])
    rt.tasks.leave("w")
    left = {k.decode().rsplit(":", 1)[1] for k in raw(rt, "KEYS", "*")}
    assert left <= {"out", "fin", "stats", "events", "clock", "wake"}, left


@pytest.fixture
def small(own_server: Callable[..., Server]) -> Iterator[Runtime]:
    server = own_server("--maxmemory", "8mb", "--maxmemory-policy", "noeviction", "--appendonly", "no", "--save", "")
    with Runtime(server.settings.but(patience=0)) as runtime:
        yield runtime


def test_full_memory_refuses_submits_whole_and_lets_work_drain(small: Runtime) -> None:
    """F22"""
    accepted = 0
    with pytest.raises(Unavailable) as e:
        for turn in range(200):
            small.tasks.submit_many([TaskSpec("a", "x" * 500, f"t{turn}-{i}") for i in range(100)])
            accepted += 100
    assert e.value.kind == "memory" and accepted > 1000
    assert small.tasks.depth().ready == accepted
    done = 0
    while tasks := small.tasks.step("w", want=50).tasks:
        assert small.tasks.step("w", [Outcome.done(c) for c in tasks]).refused == []
        done += len(tasks)
    assert done == accepted
    assert small.tasks.purge("ended", limit=10_000) > 0 and small.tasks.submit("a").new


def test_a_redis_killed_with_tasks_in_it_has_them_all_when_it_is_back(own_server: Callable[..., Server]) -> None:
    """F8, S2-06: accepted is accepted, running is run again or finished."""
    server = own_server()
    with Runtime(server.settings.but(patience=10)) as rt:
        rt.tasks.submit_many([TaskSpec("a", id=f"t{i}") for i in range(500)])
        held = take(rt, want=10)
        server.kill()
        server.start()
        assert rt.tasks.step("w", [Outcome.done(c) for c in held], holding=[c.id for c in held]).refused == []
        assert rt.tasks.depth().ready == 490
