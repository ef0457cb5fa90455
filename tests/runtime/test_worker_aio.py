"""The worker for coroutines: many at once, cancelled when they should be, and it goes on whatever they do."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.tasks import TaskFailed, TaskSpec
from swarmops.runtime.worker import AsyncContext, AsyncWorker, Context, Fatal, Handlers, Retry
from tests.runtime.server import Server
from tests.runtime.working import size, stats
from tests.waiting import until


@contextlib.contextmanager
def working(rt: Runtime, handlers: Any, **more: Any) -> Iterator[AsyncWorker]:
    """A worker in a thread with an event loop of its own."""
    workers: list[AsyncWorker] = []

    async def work() -> None:
        workers.append(AsyncWorker(rt.settings, handlers, **more))
        await workers[0].run()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    until(lambda: workers)
    try:
        yield workers[0]
    finally:
        workers[0].stop()
        thread.join(60)
        assert not thread.is_alive(), "the worker does not end"


async def nap(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "rested"


def test_a_hundred_run_at_once(rt: Runtime) -> None:
    began = time.monotonic()
    with working(rt, nap):
        ids = [one.id for one in rt.tasks.submit_many([TaskSpec("nap", 0.3) for _ in range(100)])]
        assert [rt.tasks.result(id, 60) for id in ids] == ["rested"] * 100
    assert time.monotonic() - began < 25  # 30 s one after the other
    assert size(rt, "held") == 0 and size(rt, "alive") == 0 and stats(rt)["tasks_done"] == 100


def test_no_more_than_allowed_run_at_once_and_none_is_left(rt: Runtime) -> None:
    now, most = 0, 0

    async def count() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1

    rt.tasks.submit_many([TaskSpec("count") for _ in range(200)])
    with working(rt, count, concurrency=7):
        until(lambda: size(rt, "task") == 0)
    assert most == 7 and stats(rt)["tasks_distributed"] == 200


def test_answers_failures_and_tries_are_those_of_plain_functions(rt: Runtime) -> None:
    handlers = Handlers()

    @handlers.task("moody")
    async def moody(mood: str, context: AsyncContext) -> Any:
        if mood == "shy" and context.attempt < 2:
            raise Retry(after=0.01)
        if mood == "fatal":
            raise Fatal("never")
        if mood == "cancels itself":
            raise asyncio.CancelledError
        if mood == "odd":
            return object()
        await context.progress(0.5, mood)
        return [mood, context.attempt]

    handlers.add("plain", lambda n: n + 1)
    with working(rt, handlers):
        assert rt.tasks.submit_and_wait("moody", {"mood": "good"}) == ["good", 1]
        assert rt.tasks.submit_and_wait("moody", "shy") == ["shy", 2]
        assert rt.tasks.submit_and_wait("plain", 1) == 2
        said = {"fatal": "never", "cancels itself": "CancelledError", "odd": "cannot be sent as JSON"}
        for mood, why in said.items():
            with pytest.raises(TaskFailed, match=why):
                rt.tasks.submit_and_wait("moody", mood, retries=0)
        with pytest.raises(TaskFailed, match="knows no task 'dance'"):
            rt.tasks.submit_and_wait("dance", retries=0)
        with pytest.raises(TaskFailed, match="unexpected keyword argument"):
            rt.tasks.submit_and_wait("plain", {"x": 1})


def test_a_coroutine_is_cancelled_when_its_time_is_over_or_its_task_is_cancelled(rt: Runtime) -> None:
    ended: list[str] = []

    async def hang(who: str) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append(who)
            raise

    with working(rt, hang, lease=0.6) as worker:
        slow = rt.tasks.submit("hang", "slow", timeout=0.2, retries=0).id
        with pytest.raises(TaskFailed, match=r"timed out after 0\.2 s"):
            rt.tasks.result(slow, 60)
        other = rt.tasks.submit("hang", "cancelled").id
        until(lambda: rt.tasks.get(other).status == "running")
        rt.tasks.cancel(other)
        until(lambda: ended == ["slow", "cancelled"])
        assert not worker.running
    assert rt.tasks.get(other).status == "cancelled" and "tasks_released" not in stats(rt)


def test_a_plain_function_among_them_may_hang_or_hear_that_it_is_cancelled(rt: Runtime) -> None:
    heard = threading.Event()

    def patient(context: Context) -> None:
        if context.wait(60):
            heard.set()

    hang = threading.Event()
    handlers = {"patient": patient, "nap": nap, "hang": lambda: hang.wait(30)}
    with working(rt, handlers, lease=0.6, threads=1, drain_timeout=0.1):
        with pytest.raises(TaskFailed, match="timed out"):
            rt.tasks.submit_and_wait("hang", timeout=0.1, retries=0)
        id = rt.tasks.submit("patient").id
        until(lambda: rt.tasks.get(id).status == "running")
        rt.tasks.cancel(id)
        assert heard.wait(60)
    hang.set()


def test_what_runs_is_finished_or_handed_back_at_the_end(rt: Runtime) -> None:
    with working(rt, nap, drain_timeout=3.0):
        short, long = rt.tasks.submit("nap", 0.4).id, rt.tasks.submit("nap", 30).id
        until(lambda: stats(rt).get("tasks_distributed") == 2)
    assert rt.tasks.get(short).status == "done"
    assert rt.tasks.get(long).status == "ready" and size(rt, "held") == 0


def test_it_goes_on_when_redis_is_back_and_delivers_what_it_has(own_server: Callable[..., Server]) -> None:
    server = own_server()
    with Runtime(server.settings.but(patience=10)) as rt, working(rt, nap):
        id = rt.tasks.submit("nap", 0.3).id
        until(lambda: rt.tasks.get(id).status == "running")
        server.kill()
        time.sleep(1)
        server.start()
        until(lambda: rt.tasks.get(id).status == "done")
        assert rt.tasks.get(id).attempt == 1
        assert rt.tasks.submit_and_wait("nap", 0.01) == "rested"
