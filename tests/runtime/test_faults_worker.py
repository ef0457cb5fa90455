"""Faults that workers must withstand, with counts: nothing accepted is lost, no result is recorded twice.

Lost = submitted - ended - open; each is one of `out` (ended) or `task` (open or dead). An outcome is appended to `fin`
each time one is recorded.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from swarmops.runtime import Runtime, Settings
from swarmops.runtime.tasks import TaskFailed, TaskSpec
from swarmops.runtime.worker import Context
from tests.runtime.server import Server
from tests.runtime.working import Process, events, processes, redis_ms, size, stats
from tests.waiting import until

SLACK = 15.0  # seconds for a machine with other things to do


def nap(seconds: float) -> None:
    time.sleep(seconds)


def check_all_done(rt: Runtime, submitted: int) -> None:
    """Nothing lost, nothing open, each result recorded once."""
    assert (size(rt, "out"), size(rt, "fin"), size(rt, "task")) == (submitted, submitted, 0)
    assert stats(rt)["tasks_done"] == submitted and size(rt, "held") == 0


def test_fifty_workers_are_killed_over_a_thousand_tasks(rt: Runtime) -> None:
    """F1."""
    lease, chance = 1.0, random.Random(1)
    rt.tasks.configure(deaths=1000)
    rt.tasks.submit_many([TaskSpec("nap", 0.03) for _ in range(1000)])
    died: dict[str, float] = {}
    with processes() as workers:
        for i in range(4):
            workers.append(Process(rt.settings, nap, f"w{i}", lease=lease))
        for k in range(50):
            until(lambda: size(rt, "held") >= 3)
            time.sleep(chance.uniform(0, 0.06))
            victim = chance.choice([w for w in workers if w.alive])
            victim.kill()
            died[victim.name] = redis_ms(rt)
            workers.append(Process(rt.settings, nap, f"w{k + 4}", lease=lease))
        until(lambda: size(rt, "task") == 0, within=1000)
    check_all_done(rt, 1000)
    said = [(at, name.rsplit("-", 2)[0]) for at, names in events(rt, "worker.dead") for name in names.split()]
    late = [at - died[name] for at, name in said]
    assert len(late) >= 25 and stats(rt)["tasks_orphaned"] >= 25, "hardly a worker was killed in the middle of a task"
    assert max(late) / 1000 <= lease + 1 + SLACK


def test_a_worker_stopped_past_its_lease_cannot_report(rt: Runtime) -> None:
    """F2."""
    with processes() as workers:
        workers.append(Process(rt.settings, nap, "frozen", lease=0.6))
        id = rt.tasks.submit("nap", 3.0).id
        until(lambda: rt.tasks.get(id).status == "running")
        workers[0].signal(signal.SIGSTOP)
        workers.append(Process(rt.settings, nap, "other", lease=0.6))
        assert rt.tasks.result(id, 60) is None
        workers[0].signal(signal.SIGCONT)
        until(lambda: stats(rt).get("results_refused") == 1)
        again = rt.tasks.submit_many([TaskSpec("nap", 0.01) for _ in range(20)])
        for one in again:
            rt.tasks.result(one.id, 60)
        assert workers[0].alive
    assert rt.tasks.get(id).attempt == 2
    assert rt.tasks.get(id).worker.startswith("other-")
    check_all_done(rt, 21)


def poison() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_kills_its_workers_is_given_up_and_delays_nobody(rt: Runtime) -> None:
    """F3."""
    handlers = {"poison": poison, "nap": nap}
    with processes() as workers:
        workers += [Process(rt.settings, handlers, f"w{i}", lease=0.5) for i in range(2)]
        bad = rt.tasks.submit("poison").id
        good = rt.tasks.submit_many([TaskSpec("nap", 0.02) for _ in range(40)])

        def given_up() -> bool:
            for i, one in enumerate(workers):
                if not one.alive:
                    workers[i] = Process(rt.settings, handlers, f"w{len(workers)}", lease=0.5)
            return rt.tasks.get(bad).status == "dead"

        until(given_up, within=100)
        for one in good:
            assert rt.tasks.result(one.id, 60) is None
        with pytest.raises(TaskFailed, match="died 3 times"):
            rt.tasks.result(bad)
        ended = [rt.tasks.get(one.id).ended_ms - rt.tasks.get(one.id).submitted_ms for one in good]
    assert rt.tasks.get(bad).attempt == 3 and stats(rt)["tasks_dead"] == 1
    assert max(ended) / 1000 <= 2 * 0.5 + 1 + 2 * SLACK


@pytest.mark.parametrize("fault", ["kill -9", "SIGSTOP"])
def test_redis_goes_away_under_load(own_server: Callable[..., Server], fault: str) -> None:
    """F8: about 200 submits a second; away for 5 s."""
    server = own_server()
    accepted: list[str] = []
    over = threading.Event()

    def submit() -> None:
        with Runtime(server.settings.but(patience=30, timeout=1)) as mine:
            while not over.wait(0.004):
                accepted.append(mine.tasks.submit("nap", 0.001).id)

    with processes() as workers, Runtime(server.settings.but(patience=10)) as rt:
        workers += [Process(server.settings.but(timeout=1), nap, f"w{i}", lease=1.0) for i in range(2)]
        before = [w.pid for w in workers]
        submitting = threading.Thread(target=submit)
        submitting.start()
        until(lambda: len(accepted) > 100)
        server.kill() if fault == "kill -9" else server.stop()
        time.sleep(5)
        if fault == "kill -9":
            server.start()
        else:
            server.go_on()
        back = redis_ms(rt)
        until(lambda: len(accepted) > 300, "submits after it")
        over.set()
        submitting.join(100)
        until(lambda: size(rt, "task") == 0, within=100)
        assert [w.pid for w in workers if w.alive] == before, "a worker has ended"
        assert len(accepted) > 200
        check_all_done(rt, len(accepted))
        first = min(at for at, _ in events(rt, "task.done") if at >= back)
    assert (first - back) / 1000 <= 1 + SLACK


def test_a_redis_that_cannot_be_reached_is_tried_seldom_and_costs_nothing(tmp_path: Path) -> None:
    """F14: tries are counted by who accepts and hangs up."""
    tries: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as door, processes() as workers:
        door.settimeout(0.1)
        settings = Settings(port=door.getsockname()[1])
        workers.append(Process(settings, nap, "w", threads=3))
        began = time.monotonic()
        while len(tries) < 6 and time.monotonic() < began + 60:
            try:
                door.accept()[0].close()
                tries.append(time.monotonic())
            except TimeoutError:
                pass
        fields = Path(f"/proc/{workers[0].pid}/stat").read_text().rsplit(")", 1)[1].split()
        took = time.monotonic() - began
        spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        assert workers[0].alive
        workers[0].signal(signal.SIGTERM)
        assert workers[0].end() == 0
    assert 6 == len(tries) <= 4 * took + 3, took
    assert len({round(b - a, 3) for a, b in pairwise(tries)}) > 1, "no jitter"
    assert spent < 0.2 * took + 0.5


def test_n_tasks_run_on_n_agents_at_the_same_time(rt: Runtime) -> None:
    """S2-12."""
    n = 8
    gate = multiprocessing.get_context("fork").Barrier(n)

    def meet() -> None:
        gate.wait(60)

    with processes() as workers:
        workers += [Process(rt.settings, meet, f"w{i}") for i in range(n)]
        until(lambda: size(rt, "alive") == n)
        ids = [one.id for one in rt.tasks.submit_many([TaskSpec("meet") for _ in range(n)])]
        for id in ids:
            rt.tasks.result(id, 60)
        tasks = [rt.tasks.get(id) for id in ids]
    assert len({t.worker for t in tasks}) == n
    assert max(t.started_ms for t in tasks) < min(t.ended_ms for t in tasks), "they did not all run at once"


def test_sigterm_loses_nothing_and_runs_nothing_twice(rt: Runtime, tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    def noted(context: Context) -> None:
        with open(runs, "a") as f:
            f.write(context.id + "\n")
        time.sleep(0.002)

    rt.tasks.submit_many([TaskSpec("noted") for _ in range(1000)])
    with processes() as workers:
        workers.append(Process(rt.settings, noted, "first", batch=50))
        for i in range(4):
            until(lambda least=100 * (i + 1): stats(rt).get("tasks_done", 0) > least)
            workers.append(Process(rt.settings, noted, f"next-{i}", batch=50, threads=2))
            workers[i].signal(signal.SIGTERM)
            assert workers[i].end() == 0
        until(lambda: size(rt, "task") == 0)
    check_all_done(rt, 1000)
    ran = runs.read_text().split()
    assert len(ran) == len(set(ran)) == 1000
    assert stats(rt)["tasks_released"] > 0, "nobody was told to end in the middle of a batch"


def test_an_outcome_that_could_not_be_delivered_is_delivered_later(own_server: Callable[..., Server]) -> None:
    """Redis goes while the task runs, and is back within the lease."""
    server = own_server()
    with processes() as workers, Runtime(server.settings.but(patience=10)) as rt:
        workers.append(Process(server.settings, nap, "w", lease=30))
        id = rt.tasks.submit("nap", 1.0).id
        until(lambda: rt.tasks.get(id).status == "running")
        server.kill()
        time.sleep(1.5)
        server.start()
        rt.tasks.result(id, 60)
        assert rt.tasks.get(id).attempt == 1
        check_all_done(rt, 1)
