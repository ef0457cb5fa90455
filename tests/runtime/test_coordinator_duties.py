"""The duties run on the leader alone, and go on when it dies (S3-22 to S3-24, S3-38, S3-69, F5, F6, F8)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.coordinator.duties import NAMES, Pace
from swarmops.runtime.coordinator.loop import AsyncCoordinator, Coordinator
from swarmops.runtime.errors import Invalid, SwarmError
from swarmops.runtime.op import command
from swarmops.runtime.registry.beating import Beating, SwarmBeat
from tests.runtime.server import Server
from tests.waiting import until

QUICK = Pace(distribute=0.05, resources=0.05, health=0.05, conflicts=0.05, snapshots=0.05)
LEADER = """
import signal, sys, threading
from swarmops.runtime import Runtime
from swarmops.runtime.coordinator.duties import Pace
from swarmops.runtime.coordinator.loop import Coordinator
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
with Runtime(sys.argv[1]) as rt, Coordinator(rt, sys.argv[2], Pace(distribute=0.2, health=0.5), lease=0.6):
    ended.wait()
"""


def active(rt: Runtime, id: str, heartbeat: float | None = None) -> str:
    rt.swarms.create("to work", id=id, heartbeat=heartbeat)
    rt.swarms.status(id, "active")
    return id


@contextmanager
def working(server: Server, swarms: list[str], done: Counter[str]) -> Iterator[None]:
    """Each swarm beats, takes and ends what it is given, in a thread of its own; `done` counts what Redis accepted."""
    ended = threading.Event()

    def work(swarm: str) -> None:
        with Runtime(server.settings.but(patience=0, timeout=0.5)) as rt:
            while not ended.wait(0.002):
                with suppress(SwarmError):
                    for one in rt.distribution.take(swarm, 5):
                        if rt.distribution.complete(one.id, swarm, one.attempt):
                            done[one.id] += 1

    threads = [threading.Thread(target=work, args=(swarm,)) for swarm in swarms]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


class Leaders:
    """Coordinators in processes of their own."""

    def __init__(self, rt: Runtime):
        self.rt = rt
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"redis://127.0.0.1:{rt.settings.port}"

    def start(self, id: str) -> None:
        self.processes[id] = subprocess.Popen([sys.executable, "-c", LEADER, self.url, id])

    def who(self) -> str:
        """Who leads, of those that still run."""
        found: list[str] = []

        def look() -> bool:
            now = self.rt.leader.who()
            found[:] = [now.holder] if now and self.processes[now.holder].poll() is None else []
            return bool(found)

        until(look)
        return found[0]

    def signal(self, id: str, which: int) -> None:
        os.kill(self.processes[id].pid, which)
        if which == signal.SIGKILL:
            self.processes[id].wait()

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def leaders(rt: Runtime) -> Iterator[Leaders]:
    made = Leaders(rt)
    yield made
    made.close()


def test_work_goes_on_when_leaders_are_killed_and_none_is_lost_or_done_twice(
    server: Server, rt: Runtime, leaders: Leaders
) -> None:
    for i in range(4):
        active(rt, f"s{i}")
    for id in ("one", "two"):
        leaders.start(id)
    done: Counter[str] = Counter()
    terms = set()
    with working(server, [f"s{i}" for i in range(4)], done):
        for kill in range(3):
            now = leaders.who()
            terms.add(rt.leader.who().term)  # type: ignore[union-attr]
            for i in range(100):
                rt.distribution.submit("x", id=f"k{kill}-{i}")
                if i == 30:
                    leaders.signal(now, signal.SIGKILL)
                    leaders.start(f"heir-{kill}")
        until(lambda: len(done) == 300)
    backlog = rt.distribution.backlog()
    assert (backlog.pending, backlog.stuck, backlog.assigned, backlog.ended) == (0, 0, 0, 300)
    assert set(done.values()) == {1} and len(terms) == 3
    counters = rt.stats.counters()
    assert counters["tasks_distributed"] == counters["assignments_done"] == 300, "each was given to one swarm, once"
    assert "assignments_returned" not in counters


def test_a_leader_that_was_stopped_past_its_lease_changes_nothing_more(
    server: Server, rt: Runtime, leaders: Leaders
) -> None:
    active(rt, "s0")
    leaders.start("one")
    assert leaders.who() == "one"
    for _ in range(3):
        old = leaders.who()
        leaders.signal(old, signal.SIGSTOP)
        other = f"after-{old}"[:60]
        leaders.start(other)
        until(lambda old=old: (w := rt.leader.who()) and w.holder != old)
        for i in range(20):
            rt.distribution.submit("x", id=f"{other}-{i}")
        leaders.signal(old, signal.SIGCONT)
        until(lambda: rt.distribution.backlog().pending == 0)
        leaders.signal(old, signal.SIGTERM)
        assert leaders.processes[old].wait(60) == 0
    held = rt.distribution.take("s0", 100)
    assert len(held) == 60 and {one.attempt for one in held} == {1}


def test_redis_killed_in_mid_work_loses_nothing(own_server: Callable[..., Server]) -> None:
    """Process death with appendfsync everysec: what Redis answered, it has (F8)."""
    server = own_server()
    done: Counter[str] = Counter()
    with Runtime(server.settings.but(patience=20)) as rt:
        for i in range(3):
            active(rt, f"s{i}")
        with Coordinator(rt, "boss", QUICK, lease=0.5) as boss, working(server, ["s0", "s1", "s2"], done):
            until(lambda: boss.leading)
            for i in range(200):
                rt.distribution.submit("x", id=f"t{i}")
                if i in (60, 130):
                    server.kill()
                    server.start()
            until(lambda: rt.distribution.backlog().ended == 200)
        assert rt.stats.counters()["assignments_done"] == 200
        assert {rt.distribution.get(f"t{i}").attempt for i in range(200)} == {1}
    assert max(done.values()) == 1


def test_of_several_only_the_leader_does_the_duties_and_all_of_them(rt: Runtime) -> None:
    """S3-24, S3-38: the dead are found, their work and their shares go back, votes end, states are snapshotted."""
    for id in ("a", "b"):
        active(rt, id)
    active(rt, "dying", heartbeat=0.1)
    rt.resources.define("cpu", 10)
    rt.resources.allocate("dying", "cpu", 4)
    vote = rt.conflicts.resolve("r", "a", "b", "vote", deadline=0.2)
    quick = Runtime(rt.settings.but(snapshot_interval=0.05))
    quick.state.save("a", {"tasks": {}})
    three = [Coordinator(quick, f"c{i}", QUICK, lease=1.0).start() for i in range(3)]
    try:
        until(lambda: any(c.leading for c in three))
        for i in range(9):
            rt.distribution.submit("x", id=f"t{i}")
        until(lambda: rt.stats.counters().get("recoveries_performed"))
        until(lambda: rt.conflicts.list()[0].status == "decided")
        until(lambda: rt.state.snapshots("a"))
        leader = next(c for c in three if c.leading)
        until(lambda: leader.done.reclaimed and leader.done.decided and leader.done.snapshots)
        idle = [c.done for c in three if c is not leader]
        assert [(d.terms, d.cycles) for d in idle] == [(0, 0), (0, 0)]
        assert leader.done.terms == 1 and leader.done.trouble == {}
        assert (leader.done.distributed - leader.done.returned, leader.done.reclaimed) == (9, 1)
        assert rt.resources.list().held == {} and rt.conflicts.get(vote.id).reason.startswith("no quorum: 0 of ")
    finally:
        for c in three:
            c.close()
        quick.close()


def test_a_hint_is_followed_at_once_and_closing_takes_no_time(rt: Runtime) -> None:
    """Without the hint it would take up to 100 s."""
    active(rt, "a")
    before = set(threading.enumerate())
    with Coordinator(rt, "boss", Pace(distribute=100)) as boss:
        until(lambda: boss.leading and boss.done.cycles)
        began = time.monotonic()
        for i in range(35):
            rt.distribution.submit("x", id=f"t{i}")
        until(lambda: rt.distribution.backlog().assigned == 35)
        assert time.monotonic() - began < 50
        began = time.monotonic()
    assert time.monotonic() - began < 50
    assert rt.leader.who() is None and set(threading.enumerate()) == before
    rt.distribution.submit("x", id="later")
    with Coordinator(rt, "next"):
        until(lambda: rt.distribution.get("later").status == "assigned")


def test_closing_resigns_only_what_is_ones_own_and_leaves_no_connection(own_server: Callable[..., Server]) -> None:
    """S3-69."""
    server = own_server()

    def connections() -> int:
        return int(rt.run(command("x", "INFO", "clients")).split(b"connected_clients:")[1].split()[0])

    with Runtime(server.settings) as rt:
        alone = connections()
        with Coordinator(rt, "one") as one:
            until(lambda: one.leading)
            with Coordinator(rt, "two") as two:
                assert not two.leading
            now = rt.leader.who()
            assert now and now.holder == "one"
        assert rt.leader.who() is None
        until(lambda: connections() == alone)


def test_a_duty_that_fails_does_not_end_the_others(rt: Runtime) -> None:
    active(rt, "a")
    rt.run(command("x", "SET", rt.keys.registry("conflict_open"), "not ours"))
    with Coordinator(rt, "boss", QUICK) as boss:
        until(lambda: boss.done.trouble.get("conflicts"))
        assert "another type" in boss.done.trouble["conflicts"]
        rt.distribution.submit("x", id="t")
        until(lambda: rt.distribution.get("t").status == "assigned")
        rt.run(command("x", "DEL", rt.keys.registry("conflict_open")))
        until(lambda: not boss.done.trouble)


def test_a_leader_whose_key_is_taken_away_steps_down_and_may_lead_again(rt: Runtime) -> None:
    active(rt, "a")
    with Coordinator(rt, "boss", QUICK, lease=0.5) as boss:
        until(lambda: boss.leading)
        first = boss.term
        rt.run(command("x", "DEL", rt.keys.registry("leader")))
        until(lambda: boss.term > first)
        rt.distribution.submit("x", id="t")
        until(lambda: rt.distribution.get("t").status == "assigned")
        assert boss.done.terms == 2


def test_the_same_on_asyncio(server: Server, rt: Runtime) -> None:
    active(rt, "a")
    for i in range(25):
        rt.distribution.submit("x", id=f"t{i}")

    async def main() -> int:
        async with AsyncRuntime(server.settings) as art:
            async with AsyncCoordinator(art, "boss", QUICK, lease=1.0) as boss:
                async with asyncio.timeout(60):
                    while len(await art.distribution.take("a", 100)) < 25:
                        await asyncio.sleep(0.005)
                await art.distribution.submit("x", id="late")
                async with asyncio.timeout(60):
                    while (await art.distribution.get("late")).status != "assigned":
                        await asyncio.sleep(0.005)
                assert boss.leading and not boss.done.trouble
                await asyncio.sleep(0.2)
                return boss.done.distributed

    assert asyncio.run(main()) == 26
    assert rt.leader.who() is None


def test_a_swarm_that_beats_keeps_its_work(rt: Runtime) -> None:
    active(rt, "steady", heartbeat=1)
    with Coordinator(rt, "boss", QUICK), Beating(SwarmBeat(rt, ["steady"], heartbeat=0.2)):
        rt.distribution.submit("x", id="t")
        until(lambda: rt.distribution.get("t").status == "assigned")
        threading.Event().wait(3.5)
        assert rt.distribution.get("t").attempt == 1 and rt.swarms.get("steady").status == "active"


def test_a_pace_has_bounds() -> None:
    for which in NAMES:
        with pytest.raises(Invalid, match=which):
            Pace(**{which: 0})
    with pytest.raises(Invalid, match="batch"):
        Pace(batch=0)
