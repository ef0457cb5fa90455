#!/usr/bin/env python3
"""How long the runtime takes to go on after a kill -9: of the leader, of a worker, of Redis under load.

    .venv/bin/python benchmarks/runtime/failures.py [--times 10] [--only leader,orphan,redis]

Times are Redis' own: TIME just before the kill, and what Redis recorded of what followed. Where the fault leaves Redis
alone, several go on side by side, each in a namespace or queue of its own. Exits with 1 if an aim is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from redis import Redis  # noqa: E402

from swarmops.runtime import Runtime, Settings  # noqa: E402
from swarmops.runtime.errors import SwarmError  # noqa: E402
from swarmops.runtime.registry.candidate import Candidate  # noqa: E402
from swarmops.runtime.worker import Context  # noqa: E402
from tests.runtime.server import Server  # noqa: E402
from tests.runtime.working import Process, processes, redis_ms, size, until  # noqa: E402

SIDE_BY_SIDE = 5
fork = multiprocessing.get_context("fork")


def campaign(settings: Settings, id: str, lease: float) -> None:
    with Runtime(settings) as rt, Candidate(rt, id, lease):
        time.sleep(600)


class Pair:
    """Two processes, of which the one at work is killed. `begin` all, `kill` all, `took` of all: one wait for many."""

    at = 0.0

    def __init__(self, settings: Settings, lease: float):
        self.rt, self.lease = Runtime(settings), lease

    def close(self) -> None:
        self.rt.close()


class Candidates(Pair):
    """took: seconds until the other leads."""

    def begin(self) -> None:
        self.both = {
            i: fork.Process(target=campaign, args=(self.rt.settings, i, self.lease), daemon=True)
            for i in ("one", "two")
        }
        for process in self.both.values():
            process.start()

    def kill(self) -> None:
        self.before = until(self.rt.leader.who)
        self.at = redis_ms(self.rt)
        self.both[self.before.holder].kill()

    def took(self) -> float:
        def next_one() -> float:
            now = self.rt.leader.who()
            return now.since_ms if now and now.term > self.before.term else 0.0

        return (until(next_one, within=self.lease + 20) - self.at) / 1000

    def close(self) -> None:
        for process in self.both.values():
            process.kill()
            process.join()
        super().close()


def hang(context: Context) -> str:
    """The first attempt never ends by itself."""
    if context.attempt == 1:
        time.sleep(600)
    return "ran"


class Workers(Pair):
    """took: seconds from the kill of a task's worker until another has run it."""

    def __init__(self, settings: Settings, lease: float, queue: str):
        super().__init__(settings, lease)
        self.queue, self.both = queue, []

    def begin(self) -> None:
        self.both.append(Process(self.rt.settings, {"hang": hang}, "first", queue=self.queue, lease=self.lease))
        self.id = self.rt.tasks.submit("hang", queue=self.queue).id
        until(lambda: self.rt.tasks.get(self.id, queue=self.queue).status == "running")
        self.both.append(Process(self.rt.settings, {"hang": hang}, "second", queue=self.queue, lease=self.lease))

    def kill(self) -> None:
        self.at = redis_ms(self.rt)
        self.both[0].kill()

    def took(self) -> float:
        assert self.rt.tasks.result(self.id, self.lease + 20, queue=self.queue) == "ran"
        task = self.rt.tasks.get(self.id, queue=self.queue)
        assert task.attempt == 2, task
        return (task.ended_ms - self.at) / 1000

    def close(self) -> None:
        for process in self.both:
            process.close()
        super().close()


def measured(make: Callable[[str], Any], lease: float, times: int) -> list[float]:
    """`times` kills, each at some moment between two renewals of the lease."""
    took: list[float] = []
    while len(took) < times:
        pairs = [make(f"x{len(took)}-{i}-{round(lease)}") for i in range(min(SIDE_BY_SIDE, times - len(took)))]
        try:
            for pair in pairs:
                pair.begin()
            time.sleep(1)
            for pair in pairs:
                time.sleep(random.uniform(0, lease / 3 / len(pairs)))
                pair.kill()
            took += [pair.took() for pair in pairs]
        finally:
            for pair in pairs:
                pair.close()
    return took


def noop(n: int) -> int:
    return n


class Submitters:
    """`rate` submits a second from 4 threads. refused: those that raised."""

    def __init__(self, settings: Settings, rate: int):
        self.accepted: list[str] = []
        self.refused, self.slowest = 0, 0.0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._submit, args=(settings, 4 / rate)) for _ in range(4)]
        for t in self._threads:
            t.start()

    def _submit(self, settings: Settings, every: float) -> None:
        with Runtime(settings) as rt:
            n, due = 0, time.monotonic()
            while not self._over.is_set():
                n, due = n + 1, due + every
                began = time.monotonic()
                try:
                    self.accepted.append(rt.tasks.submit("noop", n).id)
                except SwarmError:
                    self.refused += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
                time.sleep(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        self._over.set()
        for t in self._threads:
            t.join()


def redis_dies(folder: Path, rate: int, away: float, patience: float) -> dict[str, float]:
    """kill -9 under load, away for so many seconds, started again on the same files; two workers all the time."""
    with Server(folder) as server, processes() as workers:
        settings = server.settings.but(patience=patience)
        workers += [Process(settings, {"noop": noop}, f"w{i}") for i in range(2)]
        load = Submitters(settings, rate)
        try:
            time.sleep(2)
            server.kill()
            time.sleep(away)
            server.start()
            up, redis = time.monotonic(), Redis(port=server.port)
            before = redis.hlen(_out(settings))
            until(lambda: redis.hlen(_out(settings)) > before, within=30, pause=0.002)
            back = time.monotonic() - up
            time.sleep(2)
        finally:
            load.close()
        with Runtime(settings) as rt:
            until(lambda: size(rt, "task") == 0, within=30)
            known = {k.decode() for k in redis.hkeys(_out(settings))}
            doubled = int(redis.llen(rt.keys.queue("default", "fin"))) - len(known)
        lost = len(set(load.accepted) - known)
        alive = sum(w.alive for w in workers)
    return {
        "accepted": len(load.accepted),
        "refused": load.refused,
        "lost": lost,
        "results twice": doubled,
        "workers alive": alive,
        "workers went on after s": round(back, 2),
        "slowest submit s": round(load.slowest, 2),
    }


def _out(settings: Settings) -> str:
    return Runtime(settings).keys.queue("default", "out")


def told(what: str, took: list[float], aim: float) -> bool:
    held = max(took) <= aim
    numbers = f"{statistics.median(took):.2f} | {min(took):.2f} | {max(took):.2f}"
    print(f"| {what} | {len(took)} | {numbers} | {aim:g} | {'yes' if held else 'NO'} |", flush=True)
    return held


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--times", type=int, default=10)
    p.add_argument("--only", default="leader,orphan,redis")
    o = p.parse_args()
    what, held = o.only.split(","), True
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "redis") as server:
        if {"leader", "orphan"} & set(what):
            print(
                "| seconds after kill -9 | times | median | least | most | aim | held |\n|---|---|---|---|---|---|---|"
            )
        if "leader" in what:
            for lease in (10.0, 3.0):
                made = measured(lambda id, s=lease: Candidates(server.settings.but(namespace=id), s), lease, o.times)
                held &= told(f"a new leader, lease {lease:g} s", made, lease + 0.5)
        if "orphan" in what:
            made = measured(lambda id: Workers(server.settings, 2.0, id), 2.0, o.times)
            held &= told("an orphaned task has run again, lease 2 s", made, 3.0)
    if "redis" in what:
        for patience in (10.0, 0.0):
            with tempfile.TemporaryDirectory() as folder:
                found = redis_dies(Path(folder), 200, 5.0, patience)
            print(f"Redis killed under 200 submits/s, away 5 s, patience {patience:g} s: {found}", flush=True)
            held &= not found["lost"] and not found["results twice"] and found["workers went on after s"] <= 1
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
