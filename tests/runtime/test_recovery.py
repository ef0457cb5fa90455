"""Recovery: the first source that is whole, each swarm once, and never a crash (S3-44, S3-46, S3-47, F39)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Conflict, Illegal, Late, NotFound, Stale
from tests.runtime.raw import raw
from tests.runtime.server import Server
from tests.waiting import until

STATE = {
    "tasks": {"t1": "done", "t2": {"status": "in_progress"}, "t3": "running", "t4": "waiting"},
    "agents": ["a", "b"],
    "task_seconds": 4,
}


def interrupted(rt: Runtime, id: str, why: str = "the coordinator went away") -> str:
    rt.swarms.create("build", id=id)
    rt.swarms.status(id, "interrupted", why)
    return id


def hurt(rt: Runtime, key: str, *field_and_data: str) -> None:
    assert raw(rt, "HEXISTS", key, field_and_data[0]) == 1
    raw(rt, "HSET", key, *field_and_data)


# -- from what


def test_a_swarm_is_recovered_with_its_plan_and_the_registry_follows(rt: Runtime) -> None:
    """S3-46."""
    interrupted(rt, "s")
    rt.state.save("s", STATE)
    calls = []
    leader = rt.leader.campaign("one", 60_000)
    assert [(w.id, w.reason) for w in rt.state.discover_interrupted()] == [("s", "the coordinator went away")]
    went = rt.state.recover("s", leader.term, requeue=lambda s, ids: calls.append((s, ids)) or len(ids), by="one")
    plan = went.plan
    assert plan and went.recovered and (went.strategy, went.requeued, went.tried) == ("resume", 2, ())
    assert calls == [("s", ("t2", "t3"))]
    assert (plan.resume_from, plan.completed, plan.in_progress, plan.pending, plan.agents) == ("state", 1, 2, 1, 2)
    assert (plan.progress, plan.confidence, plan.estimated_time) == (0.25, 0.95, 6.0)
    assert plan.next_actions == ("give 2 tasks in progress to the queue", "go on with 1 waiting tasks")
    assert rt.swarms.get("s").status == "active" and rt.state.discover_interrupted() == []
    assert [s.id for s in rt.swarms.list(status="active")] == ["s"]
    found = rt.state.last_recovery("s")
    assert (found["strategy"], found["source"], found["plan"]["progress"]) == ("resume", "state", 0.25)
    assert int(raw(rt, "HGET", rt.keys.registry("stats"), "recoveries_performed")) == 1
    assert rt.state.load("s").version == 1
    with pytest.raises(Illegal, match="s is active, not interrupted"):
        rt.state.recover("s", leader.term)


def test_each_broken_source_falls_to_the_next_and_confidence_falls(rt: Runtime) -> None:
    """F39, S3-44: state, checkpoint, snapshot, nothing."""
    reg = rt.keys.registry
    rt.state.save("s", {**STATE, "of": "snapshot"})
    snapshot = rt.state.snapshot("s")
    old = rt.state.checkpoint("s", {**STATE, "of": "old checkpoint"})
    new = rt.state.checkpoint("s", {**STATE, "of": "new checkpoint"})
    rt.state.save("s", {**STATE, "of": "state"}, 1)
    key = reg("snapshot", "s")
    mark = raw(rt, "HGET", key, f"{snapshot.id}.m").decode().replace(str(snapshot.at), str(snapshot.at - 200_000))
    hurt(rt, key, f"{snapshot.id}.m", mark)
    breaks: list[tuple[Callable[[], Any], str, str, float]] = [
        (lambda: None, "state", "state", 0.95),
        (lambda: hurt(rt, reg("state", "s"), "d", '{"tasks": '), "checkpoint", "new checkpoint", 0.95),
        (lambda: hurt(rt, reg("checkpoint", "s"), f"{new.id}.m", "nonsense"), "checkpoint", "old checkpoint", 0.95),
        (lambda: raw(rt, "HDEL", reg("checkpoint", "s"), f"{old.id}.d"), "snapshot", "snapshot", 0.9),
        (lambda: hurt(rt, reg("snapshot", "s"), f"{snapshot.id}.d", "\x78\x01"), "nothing", "", 0.0),
    ]
    for i, (spoil, source, of, sure) in enumerate(breaks):
        if i > 1:
            hurt(rt, reg("state", "s"), "sum", "0")
        spoil()
        if i:
            rt.swarms.status("s", "interrupted", "again")
        else:
            interrupted(rt, "s")
        went = rt.state.recover("s")
        assert went.recovered and went.plan
        assert (went.plan.resume_from, went.plan.confidence) == (source, sure)
        assert len(went.tried) == i and all("s" in why for why in went.tried)
        found = rt.state.load("s")
        assert found.value == ({**STATE, "of": of} if of else {}) and bool(found.restored_from) == (0 < i < 4)
    assert went.strategy == "restart" and rt.state.last_recovery("s")["source"] == "nothing"
    assert raw(rt, "HGET", reg("recovery", "s"), "broken") is not None  # what was there is kept for people


def test_a_key_of_another_type_does_not_stop_it(rt: Runtime) -> None:
    interrupted(rt, "s")
    for part in ("state", "checkpoint", "checkpoints", "snapshot", "snapshots"):
        raw(rt, "SET", rt.keys.registry(part, "s"), '{"broken"')
    went = rt.state.recover("s")
    assert went.recovered and went.strategy == "restart" and len(went.tried) == 3
    assert rt.state.load("s").value == {}


def test_a_swarm_without_any_state_begins_anew(rt: Runtime) -> None:
    interrupted(rt, "s")
    asked: list[Any] = []
    went = rt.state.recover("s", requeue=lambda s, ids: asked.append((s, ids)))
    assert went.plan and (went.strategy, went.plan.confidence) == ("restart", 0.0)
    assert asked == [("s", ())]  # what it had was perhaps written down elsewhere
    assert rt.swarms.get("s").status == "active"
    with pytest.raises(NotFound):
        rt.state.load("s")


def test_what_is_written_during_a_recovery_is_not_overwritten(rt: Runtime) -> None:
    interrupted(rt, "s")
    rt.state.save("s", STATE)
    rt.state.checkpoint("s")
    hurt(rt, rt.keys.registry("state", "s"), "sum", "0")
    rt.state.recover("s", requeue=lambda s, ids: rt.state.save("s", {"mine": 1}, 1))
    assert rt.state.load("s").value == {"mine": 1}


# -- by whom


def test_of_eight_who_try_one_recovers(server: Server) -> None:
    """S3-47, also at the same instant."""
    with Runtime(server.settings) as rt:
        for i in range(10):
            interrupted(rt, f"s{i}")
            rt.state.save(f"s{i}", STATE)
        won, lost, calls, gate = [], [], [], threading.Barrier(8)

        def race() -> None:
            for i in range(10):
                gate.wait(100)
                try:
                    won.append(rt.state.recover(f"s{i}", requeue=lambda s, ids: calls.append(s)).swarm)
                except (Conflict, Illegal) as e:
                    lost.append(e)

        threads = [threading.Thread(target=race) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(200)
        assert sorted(won) == sorted(calls) == [f"s{i}" for i in range(10)] and len(lost) == 70


def test_a_deposed_leader_neither_begins_nor_ends_a_recovery(rt: Runtime) -> None:
    """Leader one stops in the midst; two takes it over at once; one, back again, changes nothing."""
    interrupted(rt, "s")
    rt.state.save("s", STATE)
    one = rt.leader.campaign("one", 60_000)

    def frozen(swarm: str, ids: tuple[str, ...]) -> None:
        rt.leader.resign("one", one.term)
        two = rt.leader.campaign("two", 60_000)
        assert rt.state.recover("s", two.term, by="two").recovered

    with pytest.raises(Stale):
        rt.state.recover("s", one.term, requeue=frozen, by="one")
    assert raw(rt, "HGET", rt.keys.registry("recovery", "s"), "by") == b"two"
    with pytest.raises(Stale):
        rt.state.recover_all(one.term) if interrupted(rt, "other") else None
    assert rt.swarms.get("other").status == "interrupted"


def test_a_recoverer_that_died_is_followed_when_its_time_is_over(rt: Runtime) -> None:
    interrupted(rt, "s")
    rt.state.save("s", STATE)
    rt.state.take_recovery("s", "dead", by="gone")
    with pytest.raises(Conflict, match=r"s is being recovered by gone for another [0-9]+ ms"):
        rt.state.recover("s")
    assert rt.state.discover_interrupted() == []
    hurt(rt, rt.keys.registry("recovery", "s"), "until", "1")
    assert [w.status for w in rt.state.discover_interrupted()] == ["recovering"]
    went = rt.state.recover_all()
    assert [(w.swarm, w.recovered, w.reason) for w in went] == [("s", True, "the coordinator went away")]


def test_a_recoverer_whose_time_was_over_cannot_end_what_another_took(rt: Runtime) -> None:
    interrupted(rt, "s")
    rt.state.save("s", STATE)

    def slow(swarm: str, ids: tuple[str, ...]) -> None:
        hurt(rt, rt.keys.registry("recovery", "s"), "until", "1")
        rt.state.take_recovery("s", "second", by="second")

    with pytest.raises(Conflict, match="the recovery of s was taken over"):
        rt.state.recover("s", requeue=slow)
    assert rt.swarms.get("s").status == "recovering"
    assert raw(rt, "HGET", rt.keys.registry("recovery", "s"), "by") == b"second"


def test_a_recovery_that_took_too_long_is_refused(rt: Runtime) -> None:
    """S3-44: 30 s, by Redis' clock."""
    interrupted(rt, "s")
    rt.state.save("s", STATE)
    key = rt.keys.registry("recovery", "s")
    with pytest.raises(Late, match="the recovery of s took longer than it may"):
        rt.state.recover("s", requeue=lambda s, ids: hurt(rt, key, "until", "1"))
    hurt(rt, key, "until", "1")
    with pytest.raises(Late):
        rt.state.recover("s", timeout=0.2, requeue=lambda s, ids: threading.Event().wait(0.3))
    assert rt.swarms.get("s").status == "interrupted"


# -- when it fails


def test_after_three_failures_people_are_asked(rt: Runtime) -> None:
    interrupted(rt, "s", "agent a died")
    interrupted(rt, "t")
    rt.state.save("s", STATE)

    def fail(swarm: str, ids: tuple[str, ...]) -> None:
        if swarm == "s":
            raise RuntimeError("the queue is on fire")

    for attempt in range(1, 4):
        s, *others = rt.state.recover_all(requeue=fail)
        assert (s.swarm, s.recovered, s.attempts, s.error) == ("s", False, attempt, "the queue is on fire")
        assert [o.recovered for o in others] == ([True] if attempt == 1 else [])
        assert rt.swarms.get("s").why == "agent a died"
    assert rt.state.recover("s").strategy == "escalate" and rt.state.recover_all() == []
    assert [(w.id, w.escalated, w.attempts) for w in rt.state.discover_interrupted()] == [("s", True, 3)]
    assert rt.state.last_recovery("s")["strategy"] == "escalate"
    entries = raw(rt, "XRANGE", rt.keys.registry("events"), "-", "+")
    assert sum(fields[1] == b"recovery.escalated" for _, fields in entries) == 1
    forced = rt.state.recover("s", force=True)
    assert forced.recovered and forced.strategy == "reassign"
    assert int(raw(rt, "HGET", rt.keys.registry("stats"), "errors")) == 3


def test_asyncio_recovers_with_a_coroutine(server: Server) -> None:
    async def main() -> list[int]:
        async with AsyncRuntime(server.settings) as art:
            for i in range(5):
                await art.swarms.create("build", id=f"s{i}")
                await art.swarms.status(f"s{i}", "interrupted", "no beat in time")
                await art.state.save(f"s{i}", STATE)

            async def requeue(swarm: str, ids: tuple[str, ...]) -> int:
                await asyncio.sleep(0)
                return len(ids)

            return [w.requeued for w in await art.state.recover_all(requeue=requeue)]

    assert asyncio.run(main()) == [2] * 5


def test_a_swarm_that_stopped_beating_is_found_without_a_sweep(rt: Runtime) -> None:
    rt.swarms.create("build", id="s", heartbeat=0.02)
    found = until(rt.state.discover_interrupted, "the interruption")
    assert found[0].reason == "no beat in time"
    assert rt.state.recover("s").strategy == "restart"


def test_a_hook_that_must_be_awaited_is_refused_without_asyncio(rt: Runtime) -> None:
    interrupted(rt, "s")
    rt.state.save("s", STATE)

    async def requeue(swarm: str, ids: tuple[str, ...]) -> int:
        return 0

    with pytest.raises(TypeError, match="must be awaited"):
        rt.state.recover("s", requeue=requeue)
    assert rt.swarms.get("s").status == "interrupted"
