"""Workflows (S2-09): resumed after deaths, waited for, listed, forgotten when they are over."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Late
from swarmops.runtime.op import Op
from swarmops.runtime.tasks.records import Outcome
from swarmops.runtime.tasks.workflows import Step, Workflow
from tests.runtime.flowing import DIAMOND, claim, drain, finish, keys, states
from tests.runtime.server import Server


def test_redis_killed_in_the_middle_goes_on_where_it_was(own_server: Callable[..., Server]) -> None:
    """S2-09. What was done is not done again, whoever was restarted."""
    server = own_server("--appendonly", "yes", "--appendfsync", "always")
    with Runtime(server.settings) as rt:
        rt.workflows.submit("wf", DIAMOND, id="wf")
        finish(rt, claim(rt), "once")
        held = claim(rt, want=1)
        server.kill()
        server.start()
    with Runtime(server.settings) as other:
        seen = states(other.workflows.show("wf"))
        assert seen.pop(held[0].id.removeprefix("wf-")) == "running"
        assert sorted(seen.values()) == ["done", "ready", "waiting"]
        finish(other, held)
        assert "wf-top" not in drain(other)
        found = other.workflows.show("wf")
        assert found.status == "done" and found.results["top"] == "once"
        assert {s.attempt for s in found.steps} == {1}


def test_a_dead_workers_step_runs_again_and_only_that(rt: Runtime) -> None:
    rt.workflows.submit("wf", DIAMOND, id="wf")
    finish(rt, claim(rt))
    rt.tasks.step("mortal", want=1, lease_ms=1)
    time.sleep(0.005)
    again = drain(rt)
    assert sorted(again) == ["wf-end", "wf-left", "wf-right"]
    assert sorted(s.attempt for s in rt.workflows.show("wf").steps) == [1, 1, 1, 2]


# -- waiting


def test_the_end_is_pushed_to_who_waits(rt: Runtime, server: Server) -> None:
    rt.workflows.submit("wf", DIAMOND, id="wf")
    commands = Op("", ("x",), ("INFO", "commandstats"))
    rt.run(Op("", ("x",), ("CONFIG", "RESETSTAT")))
    found: list[Workflow] = []

    def watch() -> None:
        with Runtime(server.settings) as own:
            found.append(own.workflows.wait("wf", 60))

    thread = threading.Thread(target=watch)
    thread.start()
    while not keys(rt, "waits"):
        time.sleep(0.005)
    drain(rt)
    thread.join(60)
    assert found[0].status == "done" and len(found[0].results) == 4
    said = rt.run(commands)
    assert isinstance(said, bytes)
    pops = int(said.split(b"cmdstat_blpop:calls=")[1].split(b",")[0])
    assert pops <= 8 and keys(rt, "waits") == 0


def test_waiting_ends_at_once_for_what_has_ended_and_is_late_for_what_does_not(rt: Runtime) -> None:
    rt.workflows.submit("wf", [Step("a", "k")], id="wf")
    with pytest.raises(Late, match=r"1 open steps after 0\.05 s"):
        rt.workflows.wait("wf", 0.05)
    assert keys(rt, "waits") == 0
    drain(rt)
    assert rt.workflows.wait("wf", 0).status == "done"


def test_asyncio_does_the_same(server: Server, rt: Runtime) -> None:
    async def main() -> Workflow:
        async with AsyncRuntime(server.settings) as art:
            await art.workflows.submit("wf", DIAMOND, id="wf")
            waiting = asyncio.create_task(art.workflows.wait("wf", 60))
            while not await asyncio.to_thread(keys, rt, "waits"):
                await asyncio.sleep(0.005)
            await asyncio.to_thread(drain, rt)
            assert [w.id for w in await art.workflows.list()] == ["wf"]
            return await waiting

    assert asyncio.run(main()).status == "done"


# -- listing and forgetting


def test_the_newest_come_first(rt: Runtime) -> None:
    for i in range(5):
        rt.workflows.submit(f"n{i}", [Step("a", "k")], id=f"w{i}")
        time.sleep(0.002)
    assert [w.id for w in rt.workflows.list(limit=2, offset=1)] == ["w3", "w2"]
    drain(rt)
    assert {(w.steps, w.open) for w in rt.workflows.list()} == {(1, 0)}


def test_what_is_over_is_forgotten_with_its_outcomes(rt: Runtime) -> None:
    """Bounded: as many as the queue keeps outcomes of; an open one is never forgotten, nor what it still needs."""
    rt.workflows.submit("long", [Step("a", "k"), Step("b", "k", after=["a"], needs=["rare"])], id="long")
    drain(rt)
    rt.tasks.configure(kept=10)
    for i in range(60):
        rt.workflows.submit("wf", [Step("a", "k"), Step("b", "k", after=["a"])], id=f"wf-{i}")
        drain(rt)
    assert keys(rt, "out") <= 20 and keys(rt, "wf") <= 20
    (late,) = claim(rt, caps=["rare"])
    assert late.parents["long-a"] == "long-a"


def test_a_workflow_whose_dead_step_is_purged_is_forgotten_too(rt: Runtime) -> None:
    rt.workflows.submit("wf", [Step("ok", "k"), Step("bad", "k", retries=0)], id="wf")
    by_id = {c.id: c for c in claim(rt)}
    rt.tasks.step("w", [Outcome.done(by_id["wf-ok"]), Outcome.failed(by_id["wf-bad"], "no")])
    assert rt.workflows.show("wf").status == "failed"
    rt.tasks.purge("dead")
    for i in range(2):
        rt.workflows.submit("next", [Step("a", "k")], id=f"next-{i}")
    assert [w.id for w in rt.workflows.list()] == ["next-1", "next-0"]
    assert keys(rt, "wfleft") == 2 and rt.tasks.get("wf-ok").status == "done"
    rt.tasks.purge("ended")
    assert keys(rt, "out") == 0


def test_every_change_is_in_the_audit_trail(rt: Runtime) -> None:
    rt.workflows.submit("wf", [Step("a", "k")], id="wf")
    drain(rt)
    rt.workflows.submit("wf", [Step("a", "k")], id="wg")
    rt.workflows.cancel("wg")
    entries: Any = rt.run(Op("", ("x",), ("XRANGE", rt.keys.queue("default", "events"), "-", "+")))
    seen = [(fields[1].decode(), fields[3].decode()) for _, fields in entries]
    wanted = ["workflow.submitted", "workflow.ended", "workflow.cancelled"]
    assert [s for s in seen if s[0] in wanted] == [
        ("workflow.submitted", "wf"), ("workflow.ended", "wf"), ("workflow.submitted", "wg"),
        ("workflow.ended", "wg"), ("workflow.cancelled", "wg")]  # fmt: skip
