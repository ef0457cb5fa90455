"""State: versions by compare-and-set, nothing lost or doubled, refused by old tokens."""

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
from tests.runtime.raw import raw
from tests.runtime.server import Server
from tests.waiting import until


def add_one(value: Any) -> dict[str, int]:
    return {"n": (value or {"n": 0})["n"] + 1}


def test_a_value_comes_back_as_it_was_with_its_version_and_writer(rt: Runtime) -> None:
    value = {"objective": "\u00fcber \U0001f41d", "tasks": [1, 2.5, None, True], "nested": {"": []}}
    assert rt.state.save("s", value, by="w-1") == 1
    found = rt.state.load("s")
    assert (found.value, found.version, found.by, found.restored_from) == (value, 1, "w-1", "")
    assert found.at == pytest.approx(int(raw(rt, "TIME")[0]) * 1000, abs=60_000)


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
    assert [w.wait(200) for w in writers] == [0, 0, 0, 0]
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
            until(lambda goal=goal: sum(made) > goal, "updates")
            server.kill()
            server.start()
        stop.set()
        for t in threads:
            t.join(200)
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
    until(lambda: [s.name for s in rt.state.list()] == ["c", "a"], "the end of b")
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


def test_a_state_written_for_a_swarm_that_has_ended_expires(server: Server) -> None:
    """S3-39."""
    with Runtime(server.settings.but(swarm_ttl=0.2)) as rt:
        rt.swarms.create("build", id="s")
        rt.state.save("s", 1)
        assert raw(rt, "PTTL", rt.keys.registry("state", "s")) == -1
        rt.swarms.remove("s")
        rt.state.save("s", 2, 1)
        until(lambda: rt.state.list() == [], "the end of the state")


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
