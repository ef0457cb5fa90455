"""Work for whole swarms: who gets what, and that nothing is lost or done by two (S3-23 to S3-31)."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Full, Invalid, Late, NotFound, Stale, Unavailable
from swarmops.runtime.op import command


def active(rt: Runtime, id: str, *capabilities: str, priority: str = "normal", heartbeat: float | None = None) -> str:
    rt.swarms.create(
        "to work", id=id, heartbeat=heartbeat, metadata={"capabilities": list(capabilities), "priority": priority}
    )
    rt.swarms.status(id, "active")
    return id


def given(rt: Runtime, term: int, batch: int = 100) -> dict[str, str]:
    return {task: swarm for task, swarm, _ in rt.distribution.cycle(term, batch).given}


@pytest.fixture
def term(rt: Runtime) -> int:
    return rt.leader.campaign("boss", 60_000).term


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


def test_the_answer_says_distributed_forwarded_or_queued(rt: Runtime) -> None:
    active(rt, "a")
    assert rt.distribution.submit("x", id="t0").where == "queued"
    term = rt.leader.campaign("boss").term
    told = rt.distribution.submit("x", id="t1", by="other")
    assert (told.where, told.leader) == ("forwarded", "boss")
    own = rt.distribution.submit("x", id="t2", by="boss", term=term)
    assert (own.where, own.swarm, own.attempt) == ("distributed", "a", 1)
    assert rt.distribution.submit("x", id="t3", term=term, capabilities=["none"]).where == "queued"
    again = rt.distribution.submit("x", id="t2")
    assert (again.new, again.where, again.swarm) == (False, "distributed", "a")
    assert {t.id for t in rt.distribution.take("a")} == {"t0", "t1", "t2"}, "what waited went along, also to ourselves"
    rt.distribution.complete("t2", "a", 1)
    assert rt.distribution.submit("x", id="t2").ended


def test_ten_a_cycle_and_only_for_the_leader(rt: Runtime, term: int) -> None:
    active(rt, "a")
    rt.run_many([rt.distribution.submit.op("x", id=f"t{i}") for i in range(25)])
    assert [len(rt.distribution.cycle(term).given) for _ in range(4)] == [10, 10, 5, 0]
    rt.leader.resign("boss", term)
    new = rt.leader.campaign("another").term
    rt.distribution.submit("x", id="late")
    with pytest.raises(Stale):
        rt.distribution.cycle(term)
    with pytest.raises(Stale):
        rt.distribution.submit("x", id="mine", term=term)
    with pytest.raises(NotFound):
        rt.distribution.get("mine")
    assert rt.distribution.get("late").status == "pending" and given(rt, new) == {"late": "a"}


def test_without_an_active_swarm_tasks_wait_untouched(rt: Runtime, term: int) -> None:
    rt.distribution.submit("x", id="t0", capabilities=["gpu"])
    rt.swarms.create("not active yet", id="a", metadata={"capabilities": ["gpu"]})
    found = rt.distribution.cycle(term)
    assert (found.given, found.stuck, found.waiting, found.swarms) == ([], [], 1, 0)
    rt.swarms.status("a", "active")
    assert given(rt, term) == {"t0": "a"}


def test_a_swarm_gets_what_it_was_given_again_until_it_says_that_it_has_it(rt: Runtime, term: int) -> None:
    active(rt, "a")
    rt.run_many([rt.distribution.submit.op("read this", "reading", id=f"t{i}") for i in range(5)])
    given(rt, term)
    first = rt.distribution.take("a", 2)
    assert [(t.id, t.attempt, t.description, t.type) for t in first] == [
        ("t0", 1, "read this", "reading"),
        ("t1", 1, "read this", "reading"),
    ]
    assert rt.distribution.take("a", 2) == first, "the answer was lost, or it was started anew"
    assert [t.id for t in rt.distribution.take("a", 9, have=["t0", "t1"])] == ["t2", "t3", "t4"]
    told = rt.messages.take("swarm.a")
    assert {m.payload["task_id"] for m in told} == {f"t{i}" for i in range(5)}


@pytest.mark.parametrize("way", ["interrupted", "removed", "silent"])
def test_what_a_dead_swarm_had_goes_to_another_once(rt: Runtime, term: int, way: str) -> None:
    active(rt, "dead", heartbeat=0.05 if way == "silent" else None)
    rt.run_many([rt.distribution.submit.op("x", id=f"t{i}") for i in range(12)])
    given(rt, term)
    held = rt.distribution.take("dead", 20)
    assert len(held) == 12
    rt.distribution.complete("t0", "dead", 1)
    active(rt, "alive")
    if way == "silent":
        threading.Event().wait(0.2)
    else:
        rt.swarms.remove("dead") if way == "removed" else rt.swarms.status("dead", way)
    found = rt.distribution.cycle(term, 100)
    assert found.returned == 11 and {(s, n) for _, s, n in found.given} == {("alive", 2)}
    assert rt.distribution.cycle(term).returned == 0
    with pytest.raises(Late, match=r"t1 was taken from dead: it is assigned to alive \(attempt 2, not 1\)"):
        rt.distribution.complete("t1", "dead", 1)
    for task in rt.distribution.take("alive", 20):
        rt.distribution.complete(task.id, "alive", task.attempt)
    with pytest.raises(Late, match=r"was ended by alive \(attempt 2\)"):
        rt.distribution.complete("t1", "dead", 1)
    backlog = rt.distribution.backlog()
    assert (backlog.pending, backlog.assigned, backlog.ended, backlog.loads) == (0, 0, 12, {})
    assert rt.stats.counters()["assignments_done"] == 12


def test_a_task_is_ended_once(rt: Runtime, term: int) -> None:
    active(rt, "a")
    for id in ("t0", "t1"):
        rt.distribution.submit("x", id=id)
    given(rt, term)
    assert rt.distribution.complete("t0", "a", 1, {"pages": [1, 2]}) is True
    assert rt.distribution.complete("t0", "a", 1, {"pages": []}) is False
    assert rt.distribution.get("t0").result == {"pages": [1, 2]}
    assert rt.distribution.fail("t1", "a", 1, 'no "paper"\n')
    found = rt.distribution.get("t1")
    assert (found.status, found.swarm, found.error) == ("failed", "a", 'no "paper"\n')
    with pytest.raises(NotFound):
        rt.distribution.complete("never", "a", 1)


def test_only_who_has_it_ends_it_and_only_for_the_attempt_that_counts(rt: Runtime, term: int) -> None:
    active(rt, "a")
    rt.distribution.submit("x", id="t")
    given(rt, term)
    active(rt, "b")
    with pytest.raises(Late, match=r"t was taken from b: it is assigned to a"):
        rt.distribution.complete("t", "b", 1)
    assert rt.distribution.give_back("b", [("t", 1)]) == 0 == rt.distribution.give_back("a", [("t", 2)])
    assert rt.distribution.give_back("a", [("t", 1)]) == 1
    rt.swarms.status("b", "completed")
    assert given(rt, term) == {"t": "a"}
    with pytest.raises(Late, match=r"attempt 2, not 1"):
        rt.distribution.complete("t", "a", 1)
    assert rt.distribution.complete("t", "a", 2)


def test_a_task_that_every_swarm_gives_back_is_given_up_at_last(rt: Runtime, term: int) -> None:
    active(rt, "a")
    rt.distribution.submit("x", id="hot")
    for n in range(1, 21):
        assert given(rt, term) == {"hot": "a"}
        rt.distribution.give_back("a", [("hot", n)], "too hot")
    found = rt.distribution.get("hot")
    assert (found.status, found.error) == ("failed", "given up after 20 attempts: too hot")
    assert given(rt, term) == {}


def test_bad_tasks_are_refused(rt: Runtime) -> None:
    faults: list[tuple[str, dict[str, Any]]] = [
        ("description", {"description": " "}),
        ("description", {"description": "x" * 70_000}),
        ("type", {"type": "a:b"}),
        ("priority", {"priority": "urgent"}),
        ("capabilities", {"capabilities": "gpu"}),
        (r"capabilities\[0\]", {"capabilities": ["*"]}),
        ("estimated_effort", {"estimated_effort": float("nan")}),
        ("id", {"id": "swarm:{reg}:leader"}),
    ]
    for path, what in faults:
        with pytest.raises(Invalid, match=f"^{path}"):
            rt.distribution.submit(**{"description": "x", **what})
    assert rt.distribution.backlog().pending == 0


def test_a_full_redis_takes_no_more_but_lets_go(rt: Runtime, term: int) -> None:
    active(rt, "a")
    active(rt, "b")
    rt.run_many([rt.distribution.submit.op("x", id=f"t{i}") for i in range(4)])
    given(rt, term, 2)
    try:
        rt.run(command("x", "CONFIG", "SET", "maxmemory", "1"))
        with Runtime(rt.settings.but(patience=0)) as hasty, pytest.raises(Unavailable) as e:
            hasty.distribution.submit("x", id="more")
        assert e.value.kind == "memory"
        assert rt.distribution.complete("t0", "a", 1)
        rt.swarms.status("b", "interrupted")
        found = rt.distribution.cycle(term)
        assert (found.returned, len(found.given)) == (1, 3)
    finally:
        rt.run(command("x", "CONFIG", "SET", "maxmemory", "0"))
    assert {t.id for t in rt.distribution.take("a")} == {"t1", "t2", "t3"}


def test_any_order_of_events_ends_each_task_once(rt: Runtime) -> None:
    """Random steps, by hand against the invariant: each task is in one place, and its end is recorded once."""
    dice = random.Random(11)
    swarms = [f"s{i}" for i in range(4)]
    alive: set[str] = set()
    submitted: set[str] = set()
    done: dict[str, str] = {}
    hands: list[tuple[str, str, int]] = []
    term, leader = rt.leader.campaign("l0", 60_000).term, "l0"
    for step in range(600):
        what = dice.choice(["submit"] * 4 + ["cycle"] * 4 + ["end"] * 6 + ["die", "live", "live", "depose"])
        if what == "submit":
            submitted.add(rt.distribution.submit("x", id=f"t{dice.randint(0, 150)}").id)
        elif what == "cycle":
            hands += [(t, s, n) for t, s, n in rt.distribution.cycle(term, 5).given]
        elif what == "end" and hands:
            task, swarm, n = dice.choice(hands)
            try:
                if rt.distribution.complete(task, swarm, n, swarm):
                    assert task not in done
                    done[task] = swarm
            except Late:
                assert done.get(task) != swarm or rt.distribution.get(task).attempt != n
        elif what == "die" and len(alive) > 1:
            swarm = dice.choice(sorted(alive))
            rt.swarms.remove(swarm)
            alive.discard(swarm)
        elif what == "live":
            for swarm in dice.sample(swarms, 1):
                if swarm not in alive:
                    active(rt, swarm)
                    alive.add(swarm)
        elif what == "depose":
            rt.leader.resign(leader, term)
            leader = f"l{step}"
            term = rt.leader.campaign(leader, 60_000).term
    for swarm in set(swarms) - alive:
        active(rt, swarm)
    for _ in range(200):
        rt.distribution.cycle(term, 100)
        for swarm in swarms:
            for one in rt.distribution.take(swarm, 100):
                assert rt.distribution.complete(one.id, swarm, one.attempt, swarm)
                assert one.id not in done
                done[one.id] = swarm
        if len(done) == len(submitted):
            break
    assert set(done) == submitted and len(done) > 80
    assert {id: rt.distribution.get(id).result for id in done} == done
    backlog = rt.distribution.backlog()
    assert (backlog.pending, backlog.stuck, backlog.assigned, backlog.ended) == (0, 0, 0, len(done))


def test_the_backlog_has_a_bound(rt: Runtime) -> None:
    key = rt.keys.registry("dist_body")
    filler = [x for i in range(100_000) for x in (f"f{i}", "{}")]
    for i in range(0, len(filler), 20_000):
        rt.run(command(key, "HSET", key, *filler[i : i + 20_000]))
    with pytest.raises(Full, match="100,000 tasks"):
        rt.distribution.submit("x")


def test_a_record_that_cannot_be_read_stops_nobody_else(rt: Runtime, term: int) -> None:
    for id in ("a", "b"):
        active(rt, id)
    key = rt.keys.registry("swarm", "a")
    rt.run(command(key, "HSET", key, "d", "{broken"))
    rt.run_many([rt.distribution.submit.op("x", id=f"t{i}") for i in range(3)])
    assert set(given(rt, term).values()) == {"b"}
