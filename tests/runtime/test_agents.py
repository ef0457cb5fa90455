"""Agents: found by what they can do, dead by the clock of Redis, gone from everywhere at once (S2-02, S2-03, S2-37)."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Conflict, Full, Illegal, Invalid, NotFound, TooLarge
from swarmops.runtime.op import Op
from swarmops.runtime.registry.agents import stable_id
from swarmops.runtime.registry.beating import AgentBeat, AsyncBeating, Beating
from swarmops.runtime.registry.capabilities import detect
from tests.runtime.server import Server
from tests.waiting import until


def command(rt: Runtime, *args: str | int) -> Any:
    return rt.run(Op("", ("x",), args))


def leftovers(rt: Runtime) -> list[str]:
    """Keys of the registry besides the audit trail and the counters."""
    return sorted(k.decode() for k in command(rt, "KEYS", "*") if k.rsplit(b":", 1)[-1] not in (b"events", b"stats"))


def whats(rt: Runtime) -> list[tuple[str, str]]:
    found = command(rt, "XRANGE", rt.keys.registry("events"), "-", "+")
    return [(fields[1].decode(), fields[3].decode()) for _, fields in found]


def test_registered_listed_found_and_removed(rt: Runtime) -> None:
    assert rt.agents.list() == []
    facts = {"cpu_cores": 8, "memory_gb": 31.5}
    assert rt.agents.register("npu-1", ["npu", "gpu"], {"zone": "läb\n"}, facts=facts)
    assert rt.agents.register("ai-1", ["gpu"], status="busy", load=3)
    assert rt.agents.register("bare")
    assert [a.id for a in rt.agents.list()] == ["ai-1", "bare", "npu-1"]
    assert [a.id for a in rt.agents.find(["gpu"])] == ["ai-1", "npu-1"]
    assert [a.id for a in rt.agents.find(["gpu", "npu"])] == ["npu-1"]
    assert rt.agents.find(["gpu", "browser"]) == [] and len(rt.agents.find([])) == 3
    npu, ai = rt.agents.get("npu-1"), rt.agents.get("ai-1")
    assert npu.facts == facts and npu.metadata == {"zone": "läb\n"} and npu.capabilities == ("gpu", "npu")
    assert (npu.health, npu.status, npu.load, npu.parent) == ("alive", "idle", 0, None)
    assert (ai.status, ai.load) == ("busy", 3) and rt.agents.find(["gpu"]) == [ai, npu]
    assert json.loads(json.dumps(npu.as_dict()))["facts"] == facts
    assert rt.agents.remove("npu-1") == ["npu-1"]
    assert rt.agents.remove("ai-1", "maintenance") == ["ai-1"] and rt.agents.deregister("bare") == ["bare"]
    for gone in (rt.agents.get, rt.agents.remove, rt.agents.beat):
        with pytest.raises(NotFound, match="no agent ai-1 is registered"):
            gone("ai-1")
    assert leftovers(rt) == []
    assert whats(rt)[0] == ("agent.registered", "npu-1") and whats(rt)[-1] == ("agent.removed", "bare")


def test_an_agent_that_registers_again_leaves_the_indexes_of_what_it_can_no_more(rt: Runtime) -> None:
    assert rt.agents.register("a", ["gpu", "browser"]) and not rt.agents.register("a", ["browser", "npu"])
    assert rt.agents.find(["gpu"]) == [] and rt.agents.find(["browser", "npu"])[0].id == "a"
    assert len(rt.agents.list()) == 1
    since = rt.agents.get("a").registered_ms
    assert not rt.agents.register("a", ["browser", "npu"]) and rt.agents.get("a").registered_ms == since
    assert [what for what, _ in whats(rt)] == ["agent.registered", "agent.changed"], "the same again is no change"


def test_a_beat_tells_load_and_status(rt: Runtime) -> None:
    rt.agents.register("a", heartbeat=10)
    assert rt.agents.beat("a", load=4, status="busy") == 30
    assert (rt.agents.get("a").load, rt.agents.get("a").status) == (4, "busy")
    rt.agents.beat("a")
    assert (rt.agents.get("a").load, rt.agents.get("a").status) == (4, "busy")
    rt.agents.beat("a", load=0)
    assert rt.agents.get("a").load == 0 and leftovers(rt) == [
        f"swarm:{{reg}}:{k}" for k in ("agent:a", "agents", "agents_due", "roster")
    ]
    told = command(rt, "HGETALL", rt.keys.registry("agent", "a"))
    assert dict(zip(told[::2], told[1::2])) == {b"status": b"busy", b"parent": b"-", b"capabilities": b"-"}


def test_alive_suspect_dead_by_the_clock_of_redis_though_nobody_sweeps(rt: Runtime) -> None:
    """Missed beats 2 and 3 of 0.2 s; each state is seen, in this order, by readers alone."""
    rt.agents.register("a", ["gpu"], heartbeat=0.2)
    seen: list[str] = []

    def look() -> bool:
        one, listed = rt.agents.get("a"), rt.agents.find(["gpu"])
        if one.health not in seen:
            seen.append(one.health)
        if one.health == "dead":
            assert rt.agents.list() == [] and rt.agents.find(["gpu"]) == []
            assert [a.health for a in rt.agents.list(dead=True)] == ["dead"]
        return one.health == "dead" and not listed

    until(look)
    assert seen == ["alive", "suspect", "dead"]
    with pytest.raises(NotFound, match="no live agent with gpu"):
        rt.agents.assign(["gpu"])
    rt.agents.beat("a")
    assert rt.agents.get("a").health == "alive", "a beat in time for the sweep brings it back"
    until(look)
    assert rt.agents.sweep() == ["a"] and leftovers(rt) == []
    assert whats(rt)[-1] == ("agent.dead", "a")


def test_the_dead_are_swept_by_the_beats_of_the_living(rt: Runtime) -> None:
    for i in range(12):
        rt.agents.register(f"dead-{i}", ["gpu"], heartbeat=0.05)
    rt.agents.register("alive", ["gpu"])
    until(lambda: len(rt.agents.list()) == 1)
    for _ in range(3):
        rt.agents.beat("alive")
    assert command(rt, "SCARD", rt.keys.registry("cap", "gpu")) == 1
    assert command(rt, "HLEN", rt.keys.registry("roster")) == 1


def test_children_go_with_their_parent_on_three_levels(rt: Runtime) -> None:
    """S2-37."""
    rt.agents.register("master")
    for i in range(3):
        rt.agents.register(f"w{i}", ["work"], parent="master")
        rt.agents.register(f"w{i}-sub", ["work"], parent=f"w{i}")
    assert rt.agents.get("w1-sub").parent == "w1"
    with pytest.raises(Illegal, match="on level 4, there are 3"):
        rt.agents.register("too-deep", parent="w1-sub")
    with pytest.raises(NotFound, match="no live agent nobody to be the parent"):
        rt.agents.register("orphan", parent="nobody")
    with pytest.raises(Conflict, match="w1 is there already, with the parent master"):
        rt.agents.register("w1", parent="w2")
    assert sorted(rt.agents.remove("w1")) == ["w1", "w1-sub"] and len(rt.agents.list()) == 5
    assert len(rt.agents.remove("master")) == 5 and leftovers(rt) == []


def test_children_of_a_dead_parent_are_swept_with_it(rt: Runtime) -> None:
    rt.agents.register("parent", heartbeat=0.1)
    rt.agents.register("child", ["x"], parent="parent")
    until(lambda: rt.agents.get("parent").health == "dead")
    with pytest.raises(NotFound, match="no live agent parent"):
        rt.agents.register("late", parent="parent")
    assert sorted(rt.agents.sweep()) == ["child", "parent"] and leftovers(rt) == []


def test_the_least_loaded_that_can_is_assigned(rt: Runtime) -> None:
    """S2-15."""
    for id, caps, load in (("a", ["gpu"], 2), ("b", ["gpu", "npu"], 0), ("c", ["gpu"], 1), ("d", [], 0)):
        rt.agents.register(id, caps, load=load)
    assert rt.agents.assign(["gpu"]) == ["b"]
    assert rt.agents.assign(["gpu"], 4) == ["b", "c", "a", "b"]
    assert rt.agents.assign(["npu"]) == ["b"] and rt.agents.assign() == ["d"]
    assert {a.id: a.load for a in rt.agents.list()} == {"a": 3, "b": 4, "c": 2, "d": 1}
    assert rt.agents.release("a") == 2 and rt.agents.release("a", 9) == 0 and rt.agents.get("a").load == 0
    with pytest.raises(NotFound, match="no live agent with gpu, tpu"):
        rt.agents.assign(["tpu", "gpu"])


def test_what_is_assigned_at_once_is_spread_evenly(rt: Runtime) -> None:
    for i in range(10):
        rt.agents.register(f"a{i}", ["x"])
    with ThreadPoolExecutor(20) as pool:
        got = [id for ids in pool.map(lambda _: rt.agents.assign(["x"], 2), range(100)) for id in ids]
    assert sorted(got.count(f"a{i}") for i in range(10)) == [20] * 10


def test_one_that_missed_beats_is_assigned_only_if_no_other_can(rt: Runtime) -> None:
    rt.agents.register("doubtful", ["x"], heartbeat=0.5)
    rt.agents.register("fresh", ["x"], load=50)
    until(lambda: rt.agents.get("doubtful").health == "suspect")
    assert rt.agents.assign(["x"]) == ["fresh"]


@pytest.mark.parametrize("id", ["a:leader", "*", "a\nb", "A", "", "-a", "x" * 64, "swarm:a:leader", 7, None])
def test_an_id_that_is_no_name_is_refused(rt: Runtime, id: Any) -> None:
    """Case 93."""
    for what in (rt.agents.register, rt.agents.beat, rt.agents.get, rt.agents.remove, rt.agents.release):
        with pytest.raises(Invalid, match=r"^id: .* is not a name"):
            what(id)


def test_wrong_values_are_refused_with_the_path(rt: Runtime) -> None:
    """Cases 76, 90."""
    bad: list[tuple[str, dict[str, Any]]] = [
        ("capabilities: is not a list", {"capabilities": "gpu"}),
        (r"capabilities\[1\]: 'G P'", {"capabilities": ["gpu", "G P"]}),
        ("capabilities: has 1000000 names", {"capabilities": ["x"] * 1_000_000}),
        ("metadata: is not an object", {"metadata": ["x"]}),
        ("metadata: cannot be sent as JSON", {"metadata": {"x": object()}}),
        ("metadata: cannot be sent as JSON", {"metadata": {"x": float("nan")}}),
        ("parent: ", {"parent": "a:b"}),
        ("heartbeat: '-1'", {"heartbeat": -1}),
        ("heartbeat: 'soon'", {"heartbeat": "soon"}),
        ("load: '-1'", {"load": -1}),
        ("status: ", {"status": "so so"}),
    ]
    for words, kwargs in bad:
        with pytest.raises(Invalid, match=words):
            rt.agents.register("a", **kwargs)
    with pytest.raises(TooLarge):
        rt.agents.register("a", metadata={"x": "y" * 70_000})
    rt.agents.register("a")
    with pytest.raises(Invalid, match="load"):
        rt.agents.beat("a", load=-5)
    with pytest.raises(Invalid, match="n: "):
        rt.agents.assign([], 101)


def test_there_is_a_most(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmops.runtime.registry.agents.MOST", 3)
    for i in range(3):
        rt.agents.register(f"a{i}")
    with pytest.raises(Full, match="there are 3 agents"):
        rt.agents.register("a4")
    assert not rt.agents.register("a1", ["new"]), "those who are there may"


def test_a_beating_agent_is_there_again_after_redis_lost_it_and_gone_at_the_end(rt: Runtime) -> None:
    load = [7]
    with Beating(AgentBeat(rt, "a", ["gpu"], heartbeat=0.1, load=lambda: load[0], status=lambda: "busy")):
        until(lambda: rt.agents.get("a").load == 7)
        command(rt, "FLUSHALL")
        until(lambda: [x.id for x in rt.agents.find(["gpu"])] == ["a"])
        load[0] = 8
        until(lambda: rt.agents.list() and rt.agents.get("a").load == 8)
    assert leftovers(rt) == [] and not [t for t in threading.enumerate() if t.name == "beating"]


def test_a_beating_agent_outlives_redis_and_faults_of_its_own(own_server: Callable[..., Server]) -> None:
    server = own_server("--save", "", "--appendonly", "no")
    asked: list[int] = []

    def load() -> int:
        asked.append(1)
        if len(asked) == 2:
            raise RuntimeError("on purpose")
        return len(asked)

    with Runtime(server.settings) as rt, Beating(AgentBeat(rt, "a", heartbeat=0.05, load=load)):
        until(lambda: len(asked) > 3)
        server.kill()
        server.start()
        until(lambda: [x.id for x in rt.agents.list()] == ["a"])


def test_what_redis_refuses_is_raised_when_beating_starts(rt: Runtime) -> None:
    with pytest.raises(NotFound, match="to be the parent of a"):
        Beating(AgentBeat(rt, "a", parent="nobody")).start()
    with pytest.raises(Invalid):
        AgentBeat(rt, "a:b")


def test_fifty_agents_beat_in_one_loop_and_leave(rt: Runtime, server: Server) -> None:
    async def main() -> None:
        async with AsyncRuntime(server.settings) as art:
            every = [AsyncBeating(AgentBeat(art, f"a{i}", ["x"], heartbeat=1)) for i in range(50)]
            await asyncio.gather(*[one.start() for one in every])
            begun = time.monotonic()
            while time.monotonic() - begun < 3.5:  # longer than it takes to be dead
                assert len(await art.agents.find(["x"])) == 50
                await asyncio.sleep(0.1)
            await asyncio.gather(*[one.close() for one in every])

    asyncio.run(main())
    assert leftovers(rt) == []


def test_two_agents_of_one_host_have_two_stable_ids() -> None:
    """S1-15."""
    assert stable_id("gpu", "Box_7.lan") == stable_id("gpu", "Box_7.lan") == "box-7-gpu"
    assert stable_id("cpu", "Box_7.lan") != stable_id("gpu", "Box_7.lan") and stable_id(host="Box_7.lan") == "box-7"
    assert stable_id("a", "x" * 80) == "x" * 61 + "-a" and stable_id(host="---") == "host"
    assert stable_id() == stable_id()
    with pytest.raises(Invalid, match="name: "):
        stable_id("a b")


def test_what_is_absent_is_not_mentioned(tmp_path: Path) -> None:
    """S1-03: values as found, no constants."""
    found = detect(tmp_path, path=str(tmp_path))
    assert set(found.facts) == {"cpu_cores", "storage_gb", "storage_free_gb"} and found.capabilities == ()
    assert found.facts["cpu_cores"] == len(os.sched_getaffinity(0))
    for node in ("dev/nvidia0", "dev/nvidia1", "dev/nvidiactl", "dev/accel/accel0", "proc/meminfo"):
        (tmp_path / node).parent.mkdir(exist_ok=True)
        (tmp_path / node).touch()
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16777216 kB\nMemFree: 1 kB\n")
    for program in ("firefox", "ollama"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    found = detect(tmp_path, path=str(tmp_path))
    assert found.facts["gpu"] == ["/dev/nvidia0", "/dev/nvidia1"] and found.facts["npu"] == ["/dev/accel/accel0"]
    assert found.facts["memory_gb"] == 16 and found.facts["browser"] == str(tmp_path / "firefox")
    assert found.capabilities == ("browser", "gpu", "npu", "ollama")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{4 << 30}\n")
    assert detect(tmp_path).facts["memory_gb"] == 4, "what the cgroup allows, if that is less"


def test_agents_live_and_leave_while_redis_is_full(own_server: Callable[..., Server]) -> None:
    server = own_server("--maxmemory-policy", "noeviction", "--save", "")
    with Runtime(server.settings.but(patience=0)) as rt:
        rt.agents.register("a", ["x"])
        rt.agents.register("b", ["x"], heartbeat=0.05)
        command(rt, "CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Exception, match="maxmemory"):
            rt.agents.register("c")
        assert rt.agents.beat("a", load=2, status="busy") and rt.agents.get("a").status == "busy"
        until(lambda: rt.agents.get("b").health == "dead")
        assert rt.agents.sweep() == ["b"] and rt.agents.remove("a") == ["a"]
