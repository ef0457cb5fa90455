"""The audit trail in one order, and numbers that match what happened."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import replace
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Invalid
from swarmops.runtime.observe.events import Event, afollow, follow
from swarmops.runtime.observe.prometheus import prometheus
from swarmops.runtime.observe.stats import alerts
from swarmops.runtime.op import Op
from tests.runtime.server import Server


def command(rt: Runtime, *args: Any) -> Any:
    return rt.run(Op("", (rt.keys.registry(),), args))


def write(rt: Runtime, mark: str, what: str, id: str, queue: str = "", *more: str) -> None:
    key = rt.keys.queue(queue, "events") if queue else rt.keys.registry("events")
    command(rt, "XADD", key, mark, "what", what, "id", id, *more)


def test_registry_and_queues_are_read_as_one_by_time(rt: Runtime) -> None:
    write(rt, "1000-0", "agent.registered", "a", "", "by", "x")
    write(rt, "3000-0", "agent.dead", "a")
    write(rt, "2000-0", "task.submitted", "t1", "default")
    write(rt, "4000-0", "task.done", "t1", "default")
    write(rt, "2500-0", "task.submitted", "t2", "other")
    assert [(e.at_ms, e.what, e.queue) for e in rt.events.read(0, ["default", "other"])] == [
        (1000, "agent.registered", ""),
        (2000, "task.submitted", "default"),
        (2500, "task.submitted", "other"),
        (3000, "agent.dead", ""),
        (4000, "task.done", "default"),
    ]
    assert [e.at_ms for e in rt.events.read(2000, limit=2)] == [3000, 4000]
    assert rt.events.read()[0] == Event("1000-0", "", "agent.registered", "a", {"by": "x"})
    assert [e.mark for e in rt.events.page("", "1000-0")] == ["3000-0"]
    assert rt.events.trim(before_ms=2000) == 1 and rt.events.trim("default", keep=0) == 2
    with pytest.raises(Invalid, match="is not a name"):
        rt.events.read(0, ["a:b"])


def test_changes_are_followed_as_they_happen(rt: Runtime) -> None:
    write(rt, "1000-0", "agent.registered", "a")
    seen: list[Event] = []

    def watch() -> None:
        for event in follow(rt, since=1000):
            seen.append(event)
            if len(seen) == 3:
                return

    thread = threading.Thread(target=watch)
    thread.start()
    write(rt, "2000-0", "task.done", "t1", "default")
    write(rt, "2000-1", "task.done", "t2", "default")
    thread.join(10)
    assert [e.id for e in seen] == ["a", "t1", "t2"]
    assert list(follow(rt, since=1001, seconds=0.05)) == seen[1:]


def test_the_same_for_asyncio(server: Server) -> None:
    with Runtime(server.settings) as plain:
        write(plain, "1000-0", "agent.registered", "a")
        plain.stats.count("errors", 2)

    async def main() -> None:
        async with AsyncRuntime(server.settings) as rt:
            assert [e.id for e in await rt.events.read()] == ["a"]
            async for event in afollow(rt):
                assert event.id == "a"
                break
            found = await rt.stats.snapshot()
            assert found.statistics()["errors"] == 2

    asyncio.run(main())


def test_numbers_match_what_happened(rt: Runtime) -> None:
    """S2-14, S3-51."""
    rt.messages.take("agent.a")
    for _ in range(3):
        rt.messages.send("agent.a", "announcement", {"text": "x"})
    rt.messages.broadcast("announcement", {"text": "x"})
    rt.tasks.submit("echo", {}, id="t1")
    stats = rt.keys.registry("stats")
    command(rt, "HSET", stats, "swarms_registered", 7, "recoveries_performed", 2, "tasks_distributed", 5, "errors", 3)
    command(rt, "HSET", stats, "somebodys_own", 4, "no_number", "x")
    command(rt, "SADD", rt.keys.registry("swarm_status", "active"), "s1", "s2")
    now = rt.stats.registry().at_ms
    command(rt, "ZADD", rt.keys.registry("agents"), now, "a", now - 1_000_000, "b")
    found = rt.stats.snapshot()
    assert found.statistics() == {
        "registry": {"activeSwarms": 2, "totalRegistered": 7},
        "state": {"recoveriesPerformed": 2},
        "errors": 3,
        "coordinator": {"tasksDistributed": 5},
        "messenger": {"messagesSent": 4},
    }
    assert (found.registry.agents, found.registry.agents_alive, found.registry.unread) == (2, 1, 3)
    assert found.registry.longest == {"agent.a": 3} and found.registry.counters["somebodys_own"] == 4
    assert "no_number" not in found.registry.counters
    assert found.queues[0].depth["ready"] == 1 and found.queues[0].counters["tasks_submitted"] == 1
    assert found.server["used_memory"] > 100_000 and found.server["connected_clients"] >= 1
    assert found.round_trip_ms > 0


def test_means_come_from_sums(rt: Runtime) -> None:
    command(rt, "HSET", rt.keys.queue("default", "stats"), "runs", 4, "run_ms", 10, "wait_ms", 200)
    queue = rt.stats.snapshot().queues[0]
    assert (queue.run_ms, queue.wait_ms) == (2.5, 50)
    assert rt.stats.snapshot(["empty"]).queues[0].run_ms is None


def test_prometheus_text_is_well_formed(rt: Runtime) -> None:
    rt.stats.count("swarms_registered", 7)
    command(rt, "HSET", rt.keys.registry("stats"), 'evil{a="b"}\n', 1)
    text = prometheus(rt.stats.snapshot(["default", "other"]))
    assert "swarmops_swarms_registered_total 7\n" in text and "evil" not in text
    assert "# TYPE swarmops_swarms_registered_total counter\n" in text
    assert "# TYPE swarmops_queue_ready gauge\n" in text
    assert 'swarmops_queue_ready{queue="default"} 0\n' in text and 'swarmops_swarms{status="active"} 0\n' in text
    types = re.findall(r"^# TYPE (\S+) (gauge|counter)$", text, re.M)
    assert len({name for name, _ in types}) == len(types)
    for line in text.splitlines():
        assert re.fullmatch(r'# TYPE \w+ \w+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [0-9.e+-]+', line), line
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in types)


@pytest.mark.parametrize(
    ("active", "errors", "levels"),
    [(90, 100, []), (91, 100, ["warning"]), (100, 101, ["critical", "warning"]), (0, 1000, ["critical"])],
)
def test_alerts_are_raised_above_the_limits(rt: Runtime, active: int, errors: int, levels: list[str]) -> None:
    """S3-52."""
    plain = rt.stats.snapshot()
    registry = replace(plain.registry, swarms={**plain.registry.swarms, "active": active}, counters={"errors": errors})
    snapshot = replace(plain, registry=registry)
    assert [a.level for a in alerts(snapshot)] == levels
    assert alerts(snapshot, active=1000, errors_over=10_000) == []
