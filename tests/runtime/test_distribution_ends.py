"""Work for whole swarms: nothing is lost or done by two, whoever dies (S3-23, S3-25, S3-31)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Full, Invalid, Late, NotFound, Stale, Unavailable
from swarmops.runtime.op import command
from tests.runtime.distributing import active, given


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
    active(rt, "dead")
    rt.run_many([rt.distribution.submit.op("x", id=f"t{i}") for i in range(12)])
    given(rt, term)
    held = rt.distribution.take("dead", 20)
    assert len(held) == 12
    rt.distribution.complete("t0", "dead", 1)
    active(rt, "alive")
    if way == "silent":
        rt.run(command("x", "HSET", rt.keys.registry("swarm", "dead"), "beat", "1"))  # it beat long ago
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
