"""Waiting for results, idle workers, dependencies, and tasks posted by plain Redis users (S2-07, S0-29)."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Late, NotFound
from swarmops.runtime.op import Op
from swarmops.runtime.tasks import Outcome, TaskFailed, TaskSpec
from tests.runtime.server import Server


def raw(rt: Runtime, *args: Any) -> Any:
    return rt.run(Op("", ("x",), args))


@contextmanager
def worker(server: Server) -> Iterator[None]:
    """Answers tasks with their arguments; fails those of type `bad`."""
    stop = threading.Event()

    def work() -> None:
        with Runtime(server.settings) as rt:
            results: list[Outcome] = []
            while not stop.is_set():
                step = rt.tasks.step.op("echo", results, want=50)
                claimed = rt.run_many([step] if results else [rt.tasks.idle.op(seconds=0.2), step])[-1]
                results = [
                    Outcome.failed(c, "bad luck", retry=False) if c.kind == "bad" else Outcome(c.id, c.attempt, c.args)
                    for c in claimed.tasks
                ]

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_result_is_waited_for_before_and_after_it_is_there(rt: Runtime, server: Server) -> None:
    with worker(server):
        task = rt.tasks.submit("echo", {"a": [1, "ü"]})
        assert rt.tasks.result(task, 60) == {"a": [1, "ü"]} == rt.tasks.result(task.id)
        assert rt.tasks.submit_and_wait("echo", 7, wait=60, id="seven") == 7
        with pytest.raises(TaskFailed, match="is dead: bad luck") as e:
            rt.tasks.submit_and_wait("bad", wait=60)
        assert e.value.status == "dead"
    assert raw(rt, "EXISTS", rt.keys.queue("default", "waits")) == 0


def test_a_wait_ends_at_its_deadline_and_leaves_nothing(rt: Runtime) -> None:
    rt.tasks.submit("echo", id="x")
    with pytest.raises(Late, match=r"within 0\.05 s"):
        rt.tasks.result("x", 0.05)
    began = time.monotonic()
    with pytest.raises(NotFound):
        rt.tasks.result("nobody", 60)
    assert time.monotonic() - began < 30
    assert raw(rt, "EXISTS", rt.keys.queue("default", "waits")) == 0
    rt.tasks.cancel("x")
    with pytest.raises(TaskFailed, match="is cancelled"):
        rt.tasks.result("x", 60)


def test_waiters_never_steal_each_others_results(rt: Runtime, server: Server) -> None:
    """S2-07: also several for one task, and threads."""
    found: dict[int, Any] = {}
    rt.tasks.submit("echo", "shared", id="shared")

    def wait(i: int) -> None:
        with Runtime(server.settings) as mine:
            found[i] = (mine.tasks.result("shared", 60), mine.tasks.submit_and_wait("echo", i, wait=60))

    threads = [threading.Thread(target=wait, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    while raw(rt, "HLEN", rt.keys.queue("default", "waits")) == 0:
        time.sleep(0.01)
    with worker(server):
        for t in threads:
            t.join()
    assert found == {i: ("shared", i) for i in range(8)}


def test_300_async_waiters_share_one_connection(rt: Runtime, server: Server) -> None:
    async def main() -> tuple[list[Any], int]:
        async with AsyncRuntime(server.settings) as art:
            calls = [art.tasks.submit_and_wait("echo", i, wait=60) for i in range(300)]
            found = await asyncio.gather(*calls)
            one = await art.tasks.submit("bad")
            with pytest.raises(TaskFailed, match="bad luck"):
                await art.tasks.result(one.id, 60)
            with pytest.raises(NotFound):
                await art.tasks.result("nobody", 60)
            await art.tasks.submit("echo", id="late", delay=60)
            with pytest.raises(Late):
                await art.tasks.result("late", 0.05)
            many = await art.tasks.submit_many([TaskSpec("echo", i) for i in range(2500)])
            assert await art.tasks.result(many[-1], 20) == 2499
            clients = await art.run(Op("", ("x",), ("CLIENT", "LIST")))
            return found, clients.count(b"\n")

    before = raw(rt, "CLIENT", "LIST").count(b"\n")
    with worker(server):
        found, clients = asyncio.run(main())
    assert found == list(range(300)) and clients - before <= 4


def test_a_waiter_survives_its_connection(rt: Runtime, server: Server) -> None:
    rt.tasks.submit("echo", 1, id="x")
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(rt.tasks.result("x", 20)))
    waiting.start()
    with Runtime(server.settings) as other:
        for _ in range(3):
            while b"cmd=blpop" not in raw(other, "CLIENT", "LIST"):
                time.sleep(0.01)
            raw(other, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with worker(server):
            waiting.join(60)
    assert found == [1]


def test_an_idle_worker_is_woken_for_its_lane_and_not_for_others(rt: Runtime, server: Server) -> None:
    rt.tasks.submit("a", needs=["gpu"])
    assert rt.tasks.idle(["arm"], seconds=0.05) is False and rt.tasks.idle(["arm", "gpu"], seconds=5) is True
    assert rt.tasks.idle(["gpu"], seconds=0.05) is False
    rt.tasks.submit_many([TaskSpec("a") for _ in range(3)])
    assert rt.tasks.idle(seconds=5) is True
    rt.tasks.step("w", want=1)
    assert rt.tasks.idle(seconds=5) is True, "who leaves work behind passes the token on"
    rt.tasks.step("w", want=5)
    assert rt.tasks.idle(seconds=0.05) is False


def link(rt: Runtime, parent: str, *children: str) -> None:
    """What workflows write: children wait for their parent."""
    raw(rt, "HSET", rt.keys.queue("default", "next"), parent, " ".join(children))
    for child in children:
        raw(rt, "HINCRBY", rt.keys.queue("default", "deps"), child, 1)
        before = (raw(rt, "HGET", rt.keys.queue("default", "par"), child) or b"").decode()
        raw(rt, "HSET", rt.keys.queue("default", "par"), child, f"{before} {parent}".strip())
        raw(rt, "ZREM", rt.keys.queue("default", "ready", ""), child)


def test_children_are_ready_when_all_parents_are_done_and_get_their_results(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("a", id=i) for i in ("one", "two", "sum", "copy")])
    link(rt, "one", "sum", "copy")
    link(rt, "two", "sum")
    assert rt.tasks.depth().blocked == 2 and rt.tasks.get("sum").status == "waiting"
    one, two = rt.tasks.step("w", want=9).tasks
    (copy,) = rt.tasks.step("w", [Outcome.done(one, 1)], want=9).tasks
    assert (copy.id, copy.parents) == ("copy", {"one": 1})
    (both,) = rt.tasks.step("w", [Outcome.done(two, {"n": 2})], want=9).tasks
    assert (both.id, both.parents) == ("sum", {"one": 1, "two": {"n": 2}})
    rt.tasks.step("w", [Outcome.done(both), Outcome.done(copy)])
    for part in ("deps", "next", "par", "task"):
        assert raw(rt, "EXISTS", rt.keys.queue("default", part)) == 0, part


@pytest.mark.parametrize("how", ["dead", "cancelled", "expired"])
def test_what_needs_a_task_without_a_result_is_stopped_all_the_way_down(rt: Runtime, how: str) -> None:
    chain = [TaskSpec("a", id="t0", expires=0.02 if how == "expired" else None, retries=0)]
    rt.tasks.submit_many(chain + [TaskSpec("a", id=f"t{i}") for i in range(1, 200)] + [TaskSpec("a", id="free")])
    for i in range(199):
        link(rt, f"t{i}", f"t{i + 1}")
    if how == "dead":
        rt.tasks.step("w", [Outcome.failed(rt.tasks.step("w", want=1).tasks[0], "no")])
    elif how == "cancelled":
        rt.tasks.cancel("t0")
    else:
        time.sleep(0.03)
        rt.tasks.beat("w")
    assert rt.tasks.get("t0").status == how
    last = rt.tasks.get("t199")
    assert (last.status, last.error) == ("stopped", "needs t198, which is stopped")
    assert rt.tasks.get("t1").error == f"needs t0, which is {how}"
    assert [c.id for c in rt.tasks.step("w", want=9).tasks] == ["free"] and rt.tasks.depth().blocked == 0


def post(rt: Runtime, *texts: str | bytes) -> None:
    raw(rt, "LPUSH", rt.keys.queue("default", "post"), *texts)


def test_a_posted_task_is_one_like_others(rt: Runtime) -> None:
    """S0-29"""
    entry = {"type": "echo", "args": {"n": [], "big": 12345678901234567890}, "id": "mine", "priority": 8}
    post(rt, json.dumps({**entry, "needs": ["gpu", "arm"], "timeout": 2.5, "meta": {"by": "me"}}, indent=1))
    post(rt, '{"type":"echo"}', '{"type":"echo","id":"mine","args":2}')
    (plain,) = rt.tasks.step("w", want=9).tasks
    assert plain.id.startswith("post-") and plain.args == b"null" and not plain.fault
    (claim,) = rt.tasks.step("w", want=9, caps=["arm", "gpu"]).tasks
    assert (claim.id, claim.priority, claim.timeout_ms, claim.meta) == ("mine", 8, 2500, {"by": "me"})
    assert json.loads(claim.args) == entry["args"]
    rt.tasks.step("w", [Outcome.done(claim, "ok")])
    out = json.loads(raw(rt, "HGET", rt.keys.queue("default", "out"), "mine"))
    assert (out["status"], out["result"]) == ("done", "ok")


def test_bad_posts_end_with_a_reason_and_do_not_stop_the_others(rt: Runtime) -> None:
    bad = {
        b"\x80\x04\x95pickle": "is not JSON",
        b"{": "is not JSON",
        b"[" * 100_000: "is not JSON",
        b"7": "is not an object",
        b"null": "is not an object",
        b"{}": "type is not a name",
        b'{"type":"a|b"}': "type is not a name",
        b'{"type":"a","id":"x\\ny"}': "id is not a name",
        b'{"type":"a","priority":99}': "priority is not a whole number from 0 to 9",
        b'{"type":"a","priority":"9"}': "priority is not a whole number from 0 to 9",
        b'{"type":"a","needs":"gpu"}': "needs is not a list of names",
        b'{"type":"a","needs":{"x":"y"}}': "needs is not a list of names",
        b'{"type":"a","needs":["a,b"]}': "needs is not a list of names",
        b'{"type":"a","delay":-1}': "delay is not a number of seconds",
        b'{"type":"a","delay":NaN}': "delay is not a number of seconds",
        b'{"type":"a","timeout":"x"}': "timeout is not a number of seconds",
        b'{"type":"a","retries":1e9}': "retries is not a number from 0 to 1000",
        b'{"type":"a","args":"' + b"x" * (1 << 20) + b'"}': "has more than 1,048,576 bytes",
    }
    post(rt, *bad, b'{"type":"good"}')
    claims = rt.tasks.step("w", want=99).tasks
    assert [c.kind for c in claims] == ["good"]
    found = rt.tasks.list("spoilt", limit=100)
    assert sorted(t.error or "" for t in found) == sorted(bad.values())
    for task in found:
        with pytest.raises(TaskFailed, match="spoilt"):
            rt.tasks.result(task.id, 1)


def test_a_posted_task_whose_arguments_cannot_be_read_is_marked(rt: Runtime) -> None:
    post(rt, b'{"type":"a","args":{"k":1,"k":2}}', b'{"type":"a","args":"\xff"}', b'{"type":"a","args":NaN}')
    faults = [c.fault for c in rt.tasks.step("w", want=9).tasks]
    assert "there twice" in faults[0] and "UTF-8" in faults[1] and "NaN" in faults[2]
    assert [t.status for t in rt.tasks.list("running")] == ["running"] * 3


def test_posts_wait_while_the_queue_is_full(rt: Runtime) -> None:
    rt.tasks.configure(limit=1)
    post(rt, '{"type":"a","id":"one"}', '{"type":"a","id":"two"}')
    (one,) = rt.tasks.step("w", want=9).tasks
    assert one.id == "one" and rt.tasks.depth().posted == 1
    (two,) = rt.tasks.step("w", [Outcome.done(one)], want=9).tasks
    assert two.id == "two"
