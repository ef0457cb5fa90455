"""State: versions by compare-and-set, snapshots and checkpoints that are bounded, times kept by the leader."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Conflict, Corrupt, Invalid, NotFound, Stale, TooLarge, Unavailable
from swarmops.runtime.op import Op
from tests.runtime.groups import until
from tests.runtime.server import Server


def raw(rt: Runtime, *args: str | int) -> Any:
    return rt.run(Op("", ("x",), args))


def add_one(value: Any) -> dict[str, int]:
    return {"n": (value or {"n": 0})["n"] + 1}


def test_a_value_comes_back_as_it_was_with_its_version_and_writer(rt: Runtime) -> None:
    value = {"objective": "\u00fcber \U0001f41d", "tasks": [1, 2.5, None, True], "nested": {"": []}}
    assert rt.state.save("s", value, by="w-1") == 1
    found = rt.state.load("s")
    assert (found.value, found.version, found.by, found.restored_from) == (value, 1, "w-1", "")
    assert found.at == pytest.approx(int(raw(rt, "TIME")[0]) * 1000, abs=5000)


def test_large_values_are_compressed_where_it_pays_and_small_ones_can_be_read_by_redis_cli(rt: Runtime) -> None:
    rt.state.save("small", {"a": 1})
    rt.state.save("large", {"a": "word " * 10_000})
    assert raw(rt, "HGET", rt.keys.registry("state", "small"), "d") == b'{"a":1}'
    large = rt.state.load("large")
    assert large.value == {"a": "word " * 10_000} and large.stored < 2000


def test_the_loser_of_two_writers_gets_a_conflict_that_names_both_versions(rt: Runtime) -> None:
    first = rt.state.save("s", 1)
    rt.state.save("s", 2, first)
    with pytest.raises(Conflict, match="state s has version 2, you expected 1"):
        rt.state.save("s", 3, first)
    with pytest.raises(Conflict, match="state s has version 2, you expected none"):
        rt.state.save("s", 3)
    with pytest.raises(Conflict, match="has version none, you expected 7"):
        rt.state.save("other", 3, 7)
    assert rt.state.load("s").value == 2


def test_a_write_whose_answer_was_lost_may_be_sent_again(rt: Runtime) -> None:
    """Also when others wrote since: or else `update` would count it twice."""
    op = rt.state.save.op("s", 1)
    assert [rt.run(op), rt.run(op)] == [1, 1]
    for version in range(1, 100):
        rt.state.save("s", 2, version)
    assert rt.run(op) == 1 and rt.state.load("s").version == 100
    writes = [rt.keys.registry(f"state_{part}", "s") for part in ("writes", "written")]
    assert 0 < raw(rt, "PTTL", writes[0]) <= 60_000
    raw(rt, "HSET", writes[0], "t", 1)  # as if 30 s had passed: the next generation
    rt.state.save("s", 2, 100)
    assert rt.run(op) == 1 and [raw(rt, "HLEN", key) for key in writes] == [2, 101]
    raw(rt, "HSET", writes[0], "t", 1)
    rt.state.save("s", 2, 101)
    with pytest.raises(Conflict):
        rt.run(op)


WRITER = """
import sys
from swarmops.runtime import Runtime
with Runtime(sys.argv[1]) as rt:
    for _ in range(500):
        rt.state.update("s", lambda v: {"n": (v or {"n": 0})["n"] + 1})
"""


def test_four_processes_of_500_updates_make_version_2000(server: Server, rt: Runtime) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, server.url]) for _ in range(4)]
    assert [w.wait(60) for w in writers] == [0, 0, 0, 0]
    found = rt.state.load("s")
    assert (found.version, found.value) == (2000, {"n": 2000})
    assert int(raw(rt, "HGET", rt.keys.registry("stats"), "state_saved")) == 2000


def test_no_update_is_lost_or_doubled_while_redis_is_killed_under_them(own_server: Callable[..., Server]) -> None:
    """Three times. What was done and not answered is sent again: it must count once."""
    server = own_server("--appendonly", "yes", "--appendfsync", "always", "--save", "")
    with Runtime(server.settings.but(patience=20)) as rt:
        stop, made, faults = threading.Event(), [0] * 4, []

        def write(which: int) -> None:
            try:
                while not stop.is_set() and made[which] < 20_000:
                    rt.state.update("s", add_one)
                    made[which] += 1
            except Exception as e:
                faults.append(e)

        threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for _ in range(3):
            goal = sum(made) + 40
            until(lambda goal=goal: sum(made) > goal, 20, "updates")
            server.kill()
            server.start()
        stop.set()
        for t in threads:
            t.join(40)
        found = rt.state.load("s")
        assert faults == [] and found.version == found.value["n"] == sum(made)


def test_asyncio_updates_with_a_coroutine(server: Server) -> None:
    async def change(value: Any) -> Any:
        await asyncio.sleep(0)
        return add_one(value)

    async def main() -> int:
        async with AsyncRuntime(server.settings) as art:
            await asyncio.gather(*[art.state.update("s", change) for _ in range(40)])
            await art.state.snapshot("s", "here")
            await art.state.save("s", 0, 40)
            assert await art.state.restore("s", "here") == 42
            return (await art.state.load("s")).value["n"]

    assert asyncio.run(main()) == 40


def test_what_is_wrong_is_said_before_anything_is_sent(rt: Runtime) -> None:
    with pytest.raises(Invalid, match="name: 'No Name' is not a name"):
        rt.state.save("No Name", 1)
    with pytest.raises(Invalid, match="value: cannot be sent as JSON"):
        rt.state.save("s", {"x": {1}})
    with pytest.raises(TooLarge, match="value: has"):
        rt.state.save("s", "x" * (1 << 20))
    with pytest.raises(NotFound, match="there is no state s"):
        rt.state.load("s")


def test_a_broken_state_is_never_passed_off_as_good(rt: Runtime) -> None:
    key = rt.keys.registry("state", "s")
    rt.state.save("s", {"a": "word " * 1000})
    whole = raw(rt, "HGET", key, "d")
    for broken in (b'{"a":', whole[:-3], whole[:20] + b"\x00" + whole[21:], b""):
        rt.run(Op("", (key,), ("HSET", key, "d", broken)))
        with pytest.raises(Corrupt, match="state s is not what was stored"):
            rt.state.load("s")


def test_the_list_shows_the_last_written_first_and_forgets_the_ended(rt: Runtime) -> None:
    rt.state.save("a", 1)
    rt.state.save("b", 1, ttl=0.05)
    rt.state.save("c", 1, by="me")
    until(lambda: [s.name for s in rt.state.list()] == ["c", "a"], 5, "the end of b")
    assert raw(rt, "ZCARD", rt.keys.registry("states")) == 2
    assert rt.state.list(limit=1)[0].by == "me" and rt.state.list(limit=1)[0].left is None


def test_delete_takes_all_of_it_and_heeds_the_version(rt: Runtime) -> None:
    rt.state.save("s", 1)
    rt.state.snapshot("s")
    rt.state.checkpoint("s", {"x": 1})
    with pytest.raises(Conflict, match="has version 1, you expected 3"):
        rt.state.delete("s", 3)
    assert rt.state.delete("s", 1) and not rt.state.delete("s")
    left = [k for k in raw(rt, "KEYS", "*") if not any(part in k for part in (b"events", b"stats", b"state_writes"))]
    assert left == []


def test_a_write_with_an_old_fencing_token_is_refused(rt: Runtime) -> None:
    old = rt.leader.campaign("old", 60_000)
    rt.state.save("s", 1, term=old.term)
    rt.leader.resign("old", old.term)
    with pytest.raises(Stale, match=f"lease of term {old.term} has ended"):
        rt.state.save("s", 2, 1, term=old.term)
    new = rt.leader.campaign("new", 60_000)
    stale = [rt.state.save.op("s", 2, 1, term=old.term), rt.state.snapshot.op("s", term=old.term)]
    stale += [rt.state.checkpoint.op("s", term=old.term), rt.state.delete.op("s", term=old.term)]
    stale += [rt.state.take_due.op(old.term)]
    for refused in rt.run_many(stale):
        assert isinstance(refused, Stale) and f"the term is {new.term}" in str(refused)
    assert rt.state.load("s").version == 1 and rt.state.snapshots("s") == []


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
        t.join(20)
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
        assert until(lambda: rt.state.take_due(one.term), 5, "a snapshot") == ["live"]
        assert rt.state.snapshots("live")[0].label == "auto"
        rt.leader.resign("one", one.term)
    with Runtime(server.settings.but(snapshot_interval=0.05, swarm_ttl=60)) as rt:
        two = rt.leader.campaign("two", 60_000)
        before = rt.state.due_snapshots()

        def looked_and_took_nothing() -> bool:
            assert rt.state.take_due(two.term) == []
            return rt.state.due_snapshots() != before

        until(looked_and_took_nothing, 5, "a look at what has not changed")
        rt.state.save("live", {"x": 2}, 1)
        assert until(lambda: rt.state.take_due(two.term), 5, "a snapshot") == ["live"]
        rt.swarms.remove("live")

        def ends() -> bool:
            assert rt.state.take_due(two.term) == []
            return raw(rt, "PTTL", rt.keys.registry("state", "live")) > 0

        until(ends, 5, "an end for the state")
        state, kept = [raw(rt, "PTTL", rt.keys.registry(p, "live")) for p in ("state", "snapshot")]
        assert 0 < state <= 60_000 < kept <= 420_000
        assert raw(rt, "PTTL", rt.keys.registry("state", "lonely")) == -1
        rt.swarms.create("build", id="live")
        until(
            lambda: (rt.state.take_due(two.term), raw(rt, "PTTL", rt.keys.registry("snapshot", "live")))[1] == -1, 5, ""
        )
        assert raw(rt, "PTTL", rt.keys.registry("state", "live")) == -1


def test_a_state_written_for_a_swarm_that_has_ended_expires(server: Server) -> None:
    """S3-39."""
    with Runtime(server.settings.but(swarm_ttl=0.2)) as rt:
        rt.swarms.create("build", id="s")
        rt.state.save("s", 1)
        assert raw(rt, "PTTL", rt.keys.registry("state", "s")) == -1
        rt.swarms.remove("s")
        rt.state.save("s", 2, 1)
        until(lambda: rt.state.list() == [], 5, "the end of the state")


def test_every_change_is_told_and_counted(rt: Runtime) -> None:
    rt.state.save("s", 1)
    rt.state.snapshot("s", "x")
    rt.state.restore("s", "x")
    rt.state.checkpoint("s")
    rt.state.delete("s")
    entries = raw(rt, "XRANGE", rt.keys.registry("events"), "-", "+")
    what = [fields[1].decode() for _, fields in entries]
    assert what == ["state.saved", "snapshot.taken", "state.restored", "checkpoint.taken", "state.deleted"]


def test_a_full_redis_refuses_new_state_whole_and_can_be_emptied(own_server: Callable[..., Server]) -> None:
    server = own_server("--maxmemory", "5mb", "--save", "")
    with Runtime(server.settings.but(patience=0)) as rt:
        import random

        saved = 0
        with pytest.raises(Unavailable, match="maxmemory"):
            for i in range(100):
                rt.state.save(f"s{i}", random.randbytes(60_000).hex())
                saved = i + 1
        assert len(rt.state.list()) == saved
        assert all(rt.state.delete(f"s{i}") for i in range(saved))
        assert rt.state.save("s", 1) == 1
