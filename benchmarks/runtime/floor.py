"""The floor: redis-py streams by hand, as little as a queue can be. Same command line as ours.py.

One field of JSON a task, XADD; workers XREADGROUP 100, XADD the results and XACK in one pipeline; no lease, no retry,
no priority, no idempotency, no waiting by id. `trip` is RPUSH and BLPOP there and back between two processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import time
from typing import Any

import redis

URL = os.environ.get("BENCH_URL", "redis://127.0.0.1:6379")
ARGS = {"n": 1, "text": "x" * 80}
BATCH = 100


def body() -> bytes:
    return json.dumps({"type": "noop", "args": ARGS}, separators=(",", ":")).encode()


def one(r: redis.Redis, n: int) -> dict[str, Any]:
    began = time.perf_counter()
    for _ in range(n):
        r.xadd("floor", {"d": body()})
    return {"rate": n / (time.perf_counter() - began)}


def bulk(r: redis.Redis, n: int) -> dict[str, Any]:
    began = time.perf_counter()
    for start in range(0, n, 1000):
        pipe = r.pipeline(transaction=False)
        for _ in range(start, min(start + 1000, n)):
            pipe.execute_command("XADD", "floor", "*", "d", body())
        pipe.execute()
    return {"rate": n / (time.perf_counter() - began)}


def fill(r: redis.Redis, n: int) -> dict[str, Any]:
    found = bulk(r, n)
    r.xadd("floor", {"d": json.dumps({"type": "end"})})
    return found


def trip(r: redis.Redis, n: int) -> dict[str, Any]:
    took = []
    for i in range(n):
        began = time.perf_counter()
        pipe = r.pipeline(transaction=False)
        pipe.rpush("floor:trip", json.dumps({"reply": f"floor:reply:{i}", "args": ARGS}))
        pipe.blpop([f"floor:reply:{i}"], 10)
        pipe.execute()
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return {"p50": statistics.median(took), "p99": took[int(len(took) * 0.99)]}


def echo(r: redis.Redis, n: int) -> dict[str, Any]:
    while True:
        got = r.blpop(["floor:trip"], 1)
        if got:
            r.rpush(json.loads(got[1])["reply"], json.dumps({"ok": 1}))


def worker(r: redis.Redis, n: int) -> dict[str, Any]:
    with contextlib.suppress(redis.ResponseError):
        r.xgroup_create("floor", "g", "0", mkstream=True)
    me = f"w{os.getpid()}"
    while True:
        got = r.xreadgroup("g", me, {"floor": ">"}, count=BATCH, block=1000)
        if not got:
            continue
        pipe = r.pipeline(transaction=False)
        entries = got[0][1] if isinstance(got, list) else next(iter(got.values()))[0]
        for entry, fields in entries:
            task = json.loads(fields[b"d"])
            if task["type"] == "end":
                pipe.execute_command("SET", "bench:end", repr(time.time()))
            pipe.execute_command("XADD", "floor:done", "MAXLEN", "~", "100000", "*", "id", entry, "r", b'{"ok":1}')
        pipe.execute_command("XACK", "floor", "g", *[entry for entry, _ in entries])
        pipe.execute()


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["one", "bulk", "fill", "trip", "echo", "worker"])
    p.add_argument("n", type=int, nargs="?", default=1000)
    o = p.parse_args()
    r = redis.Redis.from_url(URL, protocol=2)
    r.ping()
    print(json.dumps(globals()[o.what](r, o.n)))


if __name__ == "__main__":
    main()
