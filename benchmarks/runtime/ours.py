"""The same workload as peers.py, by swarmops.runtime. Same command line; `many` is 200 asyncio callers."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.tasks import TaskSpec

URL = os.environ.get("BENCH_URL", "redis://127.0.0.1:6379")
ARGS = {"n": 1, "text": "x" * 80}


def one(rt: Runtime, n: int) -> dict[str, Any]:
    began = time.perf_counter()
    for _ in range(n):
        rt.tasks.submit("noop", ARGS)
    return {"rate": n / (time.perf_counter() - began)}


def bulk(rt: Runtime, n: int) -> dict[str, Any]:
    began = time.perf_counter()
    rt.tasks.submit_many([TaskSpec("noop", ARGS) for _ in range(n)])
    return {"rate": n / (time.perf_counter() - began)}


def fill(rt: Runtime, n: int) -> dict[str, Any]:
    found = bulk(rt, n)
    rt.tasks.submit("end")
    return found


def trip(rt: Runtime, n: int) -> dict[str, Any]:
    took = []
    for _ in range(n):
        began = time.perf_counter()
        rt.tasks.submit_and_wait("noop", ARGS, wait=10)
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return {"p50": statistics.median(took), "p99": took[int(len(took) * 0.99)]}


def many(rt: Runtime, n: int) -> dict[str, Any]:
    async def caller(art: AsyncRuntime, each: int) -> None:
        for _ in range(each):
            await art.tasks.submit("noop", ARGS)

    async def main() -> float:
        async with AsyncRuntime(URL) as art:
            await art.connect()
            began = time.perf_counter()
            await asyncio.gather(*[caller(art, n // 200) for _ in range(200)])
            return n / (time.perf_counter() - began)

    return {"rate": asyncio.run(main())}


def worker(rt: Runtime, n: int) -> dict[str, Any]:
    import redis

    from swarmops.runtime.worker import Handlers, Worker

    handlers = Handlers()

    @handlers.task("noop")
    def noop(**kwargs: Any) -> Any:
        return {"ok": 1}

    @handlers.task("end")
    def end() -> None:
        redis.Redis.from_url(URL).set("bench:end", repr(time.time()))

    Worker(rt, handlers).run()
    return {}


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["one", "bulk", "fill", "trip", "many", "worker"])
    p.add_argument("n", type=int, nargs="?", default=1000)
    o = p.parse_args()
    with Runtime(URL) as rt:
        rt.connect()
        print(json.dumps(globals()[o.what](rt, o.n)))


if __name__ == "__main__":
    main()
