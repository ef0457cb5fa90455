"""Snapshots and checkpoints of a state: bounded, whole or refused, taken by the leader when they are due."""

from __future__ import annotations

import threading

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Corrupt, NotFound
from swarmops.runtime.op import Op
from tests.runtime.raw import raw
from tests.runtime.server import Server
from tests.waiting import until


def test_the_eleventh_snapshot_removes_the_oldest_with_its_data(rt: Runtime) -> None:
    for i in range(13):
        version = rt.state.save("s", {"i": i}, i or None)
        assert rt.state.snapshot("s", f"label-{i}").version == version
    found = rt.state.snapshots("s")
    assert [m.label for m in found] == [f"label-{i}" for i in range(12, 2, -1)]
    assert raw(rt, "HLEN", rt.keys.registry("snapshot", "s")) == 21  # two fields each, and the number
    with pytest.raises(NotFound, match="state s has no snapshot label-2"):
        rt.state.read_snapshot("s", "label-2")


def test_many_at_once_leave_ten(rt: Runtime) -> None:
    rt.state.save("s", 1)
    threads = [threading.Thread(target=lambda: [rt.state.snapshot("s") for _ in range(20)]) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(200)
    assert len(rt.state.snapshots("s")) == 10


def test_the_same_snapshot_sent_twice_is_one(rt: Runtime) -> None:
    rt.state.save("s", 1)
    op = rt.state.snapshot.op("s", "once")
    assert rt.run(op) == rt.run(op) and len(rt.state.snapshots("s")) == 1


def test_restore_gives_what_the_snapshot_holds_and_says_so(rt: Runtime) -> None:
    """S3-48: by id, by label, the newest; a snapshot restored stays."""
    rt.state.save("s", {"a": "x" * 5000})
    first = rt.state.snapshot("s", "one")
    rt.state.save("s", {"b": 2}, 1)
    rt.state.snapshot("s", "two")
    rt.state.save("s", {"c": 3}, 2)
    for which, value in [(first.id, {"a": "x" * 5000}), ("two", {"b": 2}), ("one", {"a": "x" * 5000}), ("", {"b": 2})]:
        version = rt.state.restore("s", which)
        found = rt.state.load("s")
        assert (found.value, found.version) == (value, version)
        assert found.restored_from in {m.id for m in rt.state.snapshots("s")}
    assert rt.state.load("s").version == 7


def test_a_broken_snapshot_is_refused_and_the_state_stays(rt: Runtime) -> None:
    rt.state.save("s", {"a": 1})
    mark = rt.state.snapshot("s", "x")
    key = rt.keys.registry("snapshot", "s")
    rt.run(Op("", (key,), ("HSET", key, f"{mark.id}.d", '{"a":2}')))
    with pytest.raises(Corrupt, match=f"snapshot {mark.id} of s is not what was stored"):
        rt.state.restore("s", "x")
    rt.run(Op("", (key,), ("HSET", key, f"{mark.id}.m", "{")))
    assert rt.state.snapshots("s")[0].label == "(broken)" and rt.state.load("s").version == 1


def test_checkpoints_are_bounded_and_hold_the_state_or_what_they_are_given(rt: Runtime) -> None:
    rt.state.save("s", {"a": 1})
    rt.state.checkpoint("s", label="state")
    assert rt.state.read_checkpoint("s", "state").value == {"a": 1}
    for i in range(25):
        rt.state.checkpoint("s", {"progress": i})
    assert len(rt.state.checkpoints("s")) == 20 and rt.state.read_checkpoint("s").value == {"progress": 24}
    rt.state.checkpoint("s", None, limit=3)
    assert len(rt.state.checkpoints("s")) == 3 and rt.state.read_checkpoint("s").value is None
    with pytest.raises(NotFound):
        rt.state.checkpoint("none")


def test_the_leader_snapshots_live_swarms_and_the_next_leader_goes_on(server: Server) -> None:
    """S3-42: per live swarm, only what changed; survives a restart; stops on deregister, whose state then ends."""
    with Runtime(server.settings.but(snapshot_interval=0.05, swarm_ttl=60)) as rt:
        rt.swarms.create("build", id="live")
        for name in ("live", "lonely"):
            rt.state.save(name, {"x": 1})
        one = rt.leader.campaign("one", 60_000)
        assert until(lambda: rt.state.take_due(one.term), "a snapshot") == ["live"]
        assert rt.state.snapshots("live")[0].label == "auto"
        rt.leader.resign("one", one.term)
    with Runtime(server.settings.but(snapshot_interval=0.05, swarm_ttl=60)) as rt:
        two = rt.leader.campaign("two", 60_000)
        before = rt.state.due_snapshots()

        def looked_and_took_nothing() -> bool:
            assert rt.state.take_due(two.term) == []
            return rt.state.due_snapshots() != before

        until(looked_and_took_nothing, "a look at what has not changed")
        rt.state.save("live", {"x": 2}, 1)
        assert until(lambda: rt.state.take_due(two.term), "a snapshot") == ["live"]
        rt.swarms.remove("live")

        def ends() -> bool:
            assert rt.state.take_due(two.term) == []
            return raw(rt, "PTTL", rt.keys.registry("state", "live")) > 0

        until(ends, "an end for the state")
        state, kept = [raw(rt, "PTTL", rt.keys.registry(p, "live")) for p in ("state", "snapshot")]
        assert 0 < state <= 60_000 < kept <= 420_000
        assert raw(rt, "PTTL", rt.keys.registry("state", "lonely")) == -1
        rt.swarms.create("build", id="live")
        until(
            lambda: (rt.state.take_due(two.term), raw(rt, "PTTL", rt.keys.registry("snapshot", "live")))[1] == -1,
            "the end is off",
        )
        assert raw(rt, "PTTL", rt.keys.registry("state", "live")) == -1
