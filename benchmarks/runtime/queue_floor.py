"""Our task queue beside redis-py streams written by hand, on the same Redis in one run: what do our guarantees cost?

    python benchmarks/runtime/queue_floor.py [redis://127.0.0.1:6379] [n]

Empties nothing: it uses a namespace of its own and deletes it. Prints one line a figure: ours, the floor, the ratio.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import redis

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.tasks import Outcome, TaskSpec

URL = sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379"
N = int(sys.argv[2]) if len(sys.argv) > 2 else 50_000
BATCH, CALLERS, TRIPS = 100, 200, 1000
SPACE = "queue-floor"
ARGS = {"n": 1, "text": "x" * 80}
floor = redis.Redis.from_url(URL)
rt = Runtime(URL, namespace=SPACE)


def clean() -> None:
    for key in floor.scan_iter(f"{SPACE}:*", 1000):
        floor.delete(key)


def rate(n: int, work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return n / (time.perf_counter() - began)


def used() -> int:
    found: int = floor.info("memory")["used_memory"]
    return found


def our_drain() -> None:
    results: list[Outcome] = []
    while True:
        tasks = rt.tasks.step("w", results, want=BATCH).tasks
        results = [Outcome.done(c, {"ok": len(json.loads(c.args))}) for c in tasks]
        if not results:
            return


def floor_bulk() -> None:
    for at in range(0, N, 1000):
        pipe = floor.pipeline(transaction=False)
        for _ in range(min(1000, N - at)):
            pipe.xadd(f"{SPACE}:s", {"d": json.dumps({"type": "noop", "args": ARGS})})
        pipe.execute()


def floor_drain() -> None:
    """Read a batch, store the results, acknowledge and delete: two flushes a batch."""
    floor.xgroup_create(f"{SPACE}:s", "g", id="0")
    while found := floor.xreadgroup("g", "c", {f"{SPACE}:s": ">"}, count=BATCH):
        rows = found[0][1]
        pipe = floor.pipeline(transaction=False)
        for id, fields in rows:
            pipe.hset(f"{SPACE}:r", id, json.dumps({"ok": len(json.loads(fields[b"d"])["args"])}))
        pipe.xack(f"{SPACE}:s", "g", *[id for id, _ in rows])
        pipe.xdel(f"{SPACE}:s", *[id for id, _ in rows])
        pipe.execute()


def trips(one: Callable[[], Any], answer: Callable[[], Any]) -> float:
    """Median ms of `one` while a thread calls `answer` again and again."""
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            answer()

    thread = threading.Thread(target=serve)
    thread.start()
    took = []
    for _ in range(TRIPS):
        began = time.perf_counter()
        one()
        took.append((time.perf_counter() - began) * 1000)
    over.set()
    thread.join()
    return statistics.median(took)


def our_trips() -> float:
    with Runtime(URL, namespace=SPACE) as mine:
        results: list[Outcome] = []

        def answer() -> None:
            step = mine.tasks.step.op("t", results, want=1)
            tasks = mine.run_many([step] if results else [mine.tasks.idle.op(seconds=0.2), step])[-1].tasks
            results[:] = [Outcome.done(c) for c in tasks]

        return trips(lambda: rt.tasks.submit_and_wait("noop", ARGS, wait=10), answer)


def floor_trips() -> float:
    mine = redis.Redis.from_url(URL)
    mine.xgroup_create(f"{SPACE}:t", "g", id="$", mkstream=True)

    def answer() -> None:
        for _, rows in mine.xreadgroup("g", "c", {f"{SPACE}:t": ">"}, count=1, block=200) or []:
            pipe = mine.pipeline(transaction=False)
            pipe.xack(f"{SPACE}:t", "g", rows[0][0])
            pipe.lpush(f"{SPACE}:a", b"null")
            pipe.execute()

    def one() -> None:
        floor.xadd(f"{SPACE}:t", {"d": json.dumps({"type": "noop", "args": ARGS})})
        floor.blpop([f"{SPACE}:a"], 10)

    return trips(one, answer)


async def our_callers() -> None:
    async with AsyncRuntime(URL, namespace=SPACE) as art:

        async def caller() -> None:
            for _ in range(N // 2 // CALLERS):
                await art.tasks.submit("noop", ARGS, queue="callers")

        await asyncio.gather(*[caller() for _ in range(CALLERS)])


def main() -> None:
    clean()
    rt.tasks.beat("w")

    def show(what: str, ours: float, theirs: float | None, unit: str) -> None:
        beside = f"{theirs:12,.2f} {ours / theirs:7.2f}x" if theirs else ""
        print(f"{what:34}{ours:12,.2f}{beside}  {unit}", flush=True)

    print(f"{'':34}{'ours':>12}{'floor':>12}{'ratio':>8}")
    before = used()
    ours = rate(N, lambda: rt.tasks.submit_many([TaskSpec("noop", ARGS) for _ in range(N)]))
    memory, before = used() - before, used()
    theirs = rate(N, floor_bulk)
    show("bulk submit", ours, theirs, "tasks/s")
    show("memory of a queued task", memory / N, (used() - before) / N, "bytes")
    show(f"drain, batches of {BATCH}", rate(N, our_drain), rate(N, floor_drain), "tasks/s")
    show("round trip, idle, p50", our_trips(), floor_trips(), "ms")
    n = 2000
    submits = rate(n, lambda: [rt.tasks.submit("noop", ARGS) for _ in range(n)])
    adds = rate(n, lambda: [floor.xadd(f"{SPACE}:o", {"d": json.dumps(ARGS)}) for _ in range(n)])
    show("submit one by one", submits, adds, "tasks/s")
    show(f"submit, {CALLERS} asyncio callers", rate(N // 2, lambda: asyncio.run(our_callers())), None, "tasks/s")
    clean()


if __name__ == "__main__":
    main()
