"""Workers: what handlers are given and may answer, and that a worker goes on whatever they do."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import SwarmError
from swarmops.runtime.op import Op
from swarmops.runtime.tasks import TaskFailed, TaskSpec
from swarmops.runtime.worker import Context, Fatal, Handlers, Retry, Worker
from tests.runtime.server import Server
from tests.runtime.working import size, stats, working
from tests.waiting import until


def add(a: int, b: int = 1) -> int:
    return a + b


def test_args_become_keywords_one_argument_or_none(rt: Runtime) -> None:
    with working(rt, {"add": add, "total": sum, "now": lambda: "now"}):
        assert rt.tasks.submit_and_wait("add", {"a": 1, "b": 2}) == 3
        assert rt.tasks.submit_and_wait("add", 41) == 42
        assert rt.tasks.submit_and_wait("total", [1, 2, 3]) == 6
        assert rt.tasks.submit_and_wait("now") == "now"


def test_the_context_tells_of_the_task_and_takes_progress(rt: Runtime) -> None:
    handlers, seen, go = Handlers(), [], threading.Event()

    @handlers.task("study")
    def study(subject: str, context: Context) -> list[Any]:
        context.progress(0.5, subject)
        go.wait(60)
        seen.append((context.id, context.key, context.parents))
        return [context.attempt, context.kind, context.cancelled]

    with working(rt, handlers):
        id = rt.tasks.submit("study", {"subject": "ants"}).id
        assert until(lambda: rt.tasks.get(id).progress) == {"fraction": 0.5, "text": "ants"}
        go.set()
        assert rt.tasks.result(id) == [1, "study", False]
    assert seen == [(id, f"{id}:1", {})]


def failing(rt: Runtime, kind: str, args: Any = None, **more: Any) -> TaskFailed:
    with pytest.raises(TaskFailed) as e:
        rt.tasks.submit_and_wait(kind, args, **{"retries": 0, **more})
    return e.value


def test_an_exception_is_a_failure_with_a_short_traceback_and_the_worker_goes_on(rt: Runtime) -> None:
    """S1-16."""

    def bad(n: int) -> None:
        raise ValueError("no such color " + "x" * n)

    def deep(n: int) -> None:
        deep(n - 1) if n else sys.exit(3)

    with working(rt, {"bad": bad, "deep": deep, "add": add}):
        error = failing(rt, "bad", 3).error
        assert error.startswith("ValueError: no such color xxx\n") and "in bad" in error and "calls.py" not in error
        assert len(failing(rt, "bad", 100_000).error.encode()) <= 4096
        assert failing(rt, "deep", 50).error.startswith("SystemExit: 3")
        assert rt.tasks.submit_and_wait("add", 1) == 2


def test_what_cannot_get_better_is_not_tried_again(rt: Runtime) -> None:
    """Case 77, and results that are no JSON: failed, not a crash."""

    def fatal() -> None:
        raise Fatal("the disk is full of holes")

    def big() -> str:
        return "x" * 2_000_000

    with working(rt, {"fatal": fatal, "add": add, "odd": lambda: {1, 2}, "nan": lambda: float("nan"), "big": big}):
        assert failing(rt, "fatal", retries=5).error == "the disk is full of holes"
        assert "unexpected keyword argument 'c'" in failing(rt, "add", {"a": 1, "c": 2}, retries=5).error
        assert "cannot be sent as JSON" in failing(rt, "odd", retries=5).error
        assert "cannot be sent as JSON" in failing(rt, "nan", retries=5).error
        assert "the most is 1,048,576" in failing(rt, "big", retries=5).error
        unknown = failing(rt, "dance", retries=0).error
        assert unknown == "this worker knows no task 'dance' (it knows: add, big, fatal, nan, odd)"
        assert rt.tasks.submit_and_wait("add", 1) == 2


def test_a_handler_may_ask_for_another_try(rt: Runtime) -> None:
    times: list[float] = []

    def shy(context: Context) -> int:
        times.append(time.monotonic())
        if context.attempt < 3:
            raise Retry(after=0.1)
        return context.attempt

    with working(rt, {"shy": shy}):
        assert rt.tasks.submit_and_wait("shy", backoff=30) == 3
    assert all(later - earlier >= 0.09 for earlier, later in pairwise(times))


def test_a_task_that_hangs_is_given_up_and_the_worker_goes_on(rt: Runtime) -> None:
    hang = threading.Event()
    with working(rt, {"hang": lambda: hang.wait(30), "add": add}) as worker:
        hung = rt.tasks.submit("hang", timeout=0.2, retries=0).id
        assert rt.tasks.submit_and_wait("add", 1) == 2
        with pytest.raises(TaskFailed, match=r"timed out after 0\.2 s"):
            rt.tasks.result(hung)
        until(lambda: worker.timed_out == 1)
        hang.set()
    assert size(rt, "held") == 0


def test_a_cancelled_task_hears_of_it(rt: Runtime) -> None:
    heard = threading.Event()

    def patient(context: Context) -> None:
        if context.wait(60):
            heard.set()

    with working(rt, {"patient": patient}, lease=1.0):
        id = rt.tasks.submit("patient").id
        until(lambda: rt.tasks.get(id).status == "running")
        rt.tasks.cancel(id)
        assert heard.wait(60)
    assert rt.tasks.get(id).status == "cancelled"


def test_nothing_waits_behind_a_long_task(rt: Runtime) -> None:
    """What was claimed with it goes to others, and what was done before it is told."""
    go = threading.Event()
    handlers = {"long": lambda: go.wait(30), "add": add}
    first = rt.tasks.submit("add", 1).id
    rt.tasks.submit_many([TaskSpec("long"), *[TaskSpec("add", n) for n in range(20)]])
    with working(rt, handlers, batch=10):
        assert rt.tasks.result(first, 10) == 2
        until(lambda: stats(rt).get("tasks_released") == 8)
        with working(rt, handlers):
            until(lambda: stats(rt)["tasks_done"] == 21)
        go.set()
    assert stats(rt)["tasks_done"] == 22 and size(rt, "held") == 0 and size(rt, "load") == 0


def test_a_lease_is_kept_while_a_task_runs(rt: Runtime) -> None:
    with working(rt, {"nap": time.sleep}, lease=1.5), working(rt, {"nap": time.sleep}, lease=1.5):
        assert rt.tasks.submit_and_wait("nap", 4.0) is None
    assert "tasks_orphaned" not in stats(rt) and stats(rt)["tasks_distributed"] == 1


def test_threads_work_at_the_same_time(rt: Runtime) -> None:
    meet = threading.Barrier(3)
    with working(rt, {"meet": lambda: meet.wait(60) >= 0}, threads=3):
        ids = [one.id for one in rt.tasks.submit_many([TaskSpec("meet") for _ in range(3)])]
        assert [rt.tasks.result(id, 10) for id in ids] == [True] * 3
    assert size(rt, "alive") == 0


def test_capabilities_decide_who_gets_what(rt: Runtime) -> None:
    with working(rt, {"who": lambda: "npu"}, caps=["npu", "big"]), working(rt, {"who": lambda: "plain"}):
        assert {rt.tasks.submit_and_wait("who", needs=["npu"]) for _ in range(5)} == {"npu"}


def test_each_task_comes_to_a_worker_that_knows_its_type(rt: Runtime) -> None:
    """Whoever is asked first: what it has no handler for goes to one that has, and no attempt has failed."""
    with working(rt, {"left": lambda: "left"}), working(rt, {"right": lambda: "right"}):
        until(lambda: rt.tasks.depth().workers == 2)
        given = rt.tasks.submit_many([TaskSpec(kind, retries=0) for _ in range(50) for kind in ("left", "right")])
        said = [rt.tasks.result(one.id, 20) for one in given]
        assert said == ["left", "right"] * 50
        assert {rt.tasks.get(one.id).failures for one in given} == {0}
        assert failing(rt, "neither", retries=0).error.startswith("this worker knows no task 'neither'")


def test_hooks_are_called_and_their_errors_end_nothing(rt: Runtime) -> None:
    """S1-14: init, tick, cleanup."""
    handlers, called = Handlers(), []
    handlers.add("add", add)
    handlers.init(lambda: called.append("init"))
    handlers.cleanup(lambda: called.append("cleanup"))

    @handlers.tick(every=0.05)
    def tick() -> None:
        called.append("tick")
        raise OSError("no disk")

    with working(rt, handlers):
        assert rt.tasks.submit_and_wait("add", 1) == 2
        until(lambda: called.count("tick") >= 3)
    assert called[0] == "init" and called[-1] == "cleanup"


def test_a_batch_grows_for_short_tasks_and_is_one_for_long_ones(rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("add", n) for n in range(3000)])
    with working(rt, {"add": add, "nap": time.sleep}) as worker:
        until(lambda: stats(rt).get("tasks_done") == 3000)
        grown = worker.lanes[0].pace.want
        rt.tasks.submit_and_wait("nap", 0.01)
        assert grown >= 8 and worker.lanes[0].pace.want == 1


def program(server: Server, *args: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "swarmops", "worker", "--redis", server.url, *args]
    return subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("name", ["handlers", "coroutines"])
def test_the_command_works_until_sigterm_and_finishes_what_runs(rt: Runtime, server: Server, name: str) -> None:
    worker = program(server, "--handlers", f"tests.runtime.programs.worker_tasks:{name}", "--name", "w")
    assert worker.stdout and worker.stdout.readline() == "ready\n"
    id = rt.tasks.submit("nap", {"seconds": 0.5}).id
    until(lambda: rt.tasks.get(id).status == "running")
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=60)
    assert (worker.returncode, out) == (0, "cleaned up\n"), err
    assert rt.tasks.get(id).status == "done" and size(rt, "alive") == 0


def test_a_second_signal_hands_back_what_runs(rt: Runtime, server: Server) -> None:
    worker = program(server, "--handlers", "tests.runtime.programs.worker_tasks:handlers")
    assert worker.stdout and worker.stdout.readline() == "ready\n"
    id = rt.tasks.submit("nap", {"seconds": 60}).id
    until(lambda: rt.tasks.get(id).status == "running")
    worker.send_signal(signal.SIGINT)
    time.sleep(1)  # two signals at once are one
    assert worker.poll() is None
    worker.send_signal(signal.SIGINT)
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0 and "cleaned up" in out, err
    assert rt.tasks.get(id).status == "ready"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("no_such_module:x", "there is no module 'no_such_module'"),
        ("json:nothing", "json has no 'nothing'"),
        ("json", "is not module:name"),
        ("json:__doc__", "str is neither Handlers, a dict of functions nor a function"),
    ],
)
def test_handlers_that_are_not_there_are_named(spec: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        Handlers.find(spec)


def test_bad_settings_are_refused_at_once(rt: Runtime) -> None:
    async def coroutine() -> None: ...

    for wrong in ({"lease": 0}, {"threads": 0}, {"queue": "a:b"}, {"batch": "many"}, {"caps": "npu"}, {"name": "A b"}):
        with pytest.raises(Exception, match=next(iter(wrong))):
            Worker(rt, {"add": add}, **wrong)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="takes an AsyncWorker"):
        Worker(rt, coroutine)
    with pytest.raises(Exception, match="two handlers"):
        both = Handlers.of({"add": add})
        both.include(Handlers.of({"add": sum}))


def test_handlers_are_found_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Group swarmops.tasks, of a distribution that is there."""
    about = tmp_path / "my_tasks-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-tasks\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[swarmops.tasks]\nmany = my_tasks:handlers\nshout = my_tasks:upper\n")
    (tmp_path / "my_tasks.py").write_text(
        "from swarmops.runtime.worker import Handlers\nhandlers = Handlers()\n"
        "@handlers.task\ndef echo(text): return text\ndef upper(text): return text.upper()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = Handlers.find()
    assert {"echo", "shout"} <= set(found.tasks)
    assert found.tasks["shout"].function("hi") == "HI"


def test_a_task_posted_by_a_plain_redis_user_is_worked_on(rt: Runtime) -> None:
    """S0-29: LPUSH, then HGET."""
    post, out = rt.keys.queue("default", "post"), rt.keys.queue("default", "out")
    assert (post, out) == ("swarm:{q:default}:post", "swarm:{q:default}:out")
    with working(rt, {"add": add}):
        for text in ('{"type":"add","args":{"a":1,"b":2},"id":"mine"}', '{"type":"add","args":NaN,"id":"bad"}', "junk"):
            rt.run(Op("", (post,), ("LPUSH", post, text)))
        found = until(lambda: rt.run(Op("", (out,), ("HGET", out, "mine"))))
        assert b'"status":"done"' in found and b'"result":3' in found
        assert rt.tasks.submit_and_wait("add", 1) == 2


def test_a_claim_whose_answer_was_lost_is_handed_back(rt: Runtime) -> None:
    """Redis counts one more than the worker knows of."""
    with working(rt, {"add": add}) as plain:
        until(lambda: size(rt, "alive") == 1)
        id = rt.tasks.submit("add", 1, needs=["npu"]).id
        lost = rt.tasks.step(plain.lanes[0].name, want=1, caps=["npu"])
        assert [claim.id for claim in lost.tasks] == [id]
        until(lambda: rt.tasks.get(id).status == "ready")
        with working(rt, {"add": add}, caps=["npu"]):
            assert rt.tasks.result(id, 10) == 2
    assert size(rt, "held") == 0 and stats(rt)["tasks_done"] == 1


def test_settings_that_cannot_be_right_end_it_at_the_start(own_server: Callable[..., Server]) -> None:
    for options, kind in ((["--requirepass", "x"], "Unavailable"), (["--maxmemory-policy", "allkeys-lru"], "Misconf")):
        with pytest.raises(SwarmError) as e:
            Worker(own_server(*options).settings, {"add": add}).run()
        assert type(e.value).__name__.startswith(kind)
