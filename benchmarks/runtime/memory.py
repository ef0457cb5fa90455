#!/usr/bin/env python3
"""Bytes of Redis memory that a queued task takes, its arguments about 100 bytes of JSON: growth of used_memory.

50,000 tasks of swarmops and of the floor, 10,000 of each peer (built as in run.py). The difference holds all that a
submission leaves: indexes, events, statistics. Nothing works on the queue meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from redis import Redis  # noqa: E402

from benchmarks.runtime.run import PACKAGES, Candidate  # noqa: E402
from tests.runtime.server import Server  # noqa: E402

OWN, PEERS = 50_000, 10_000


def used(redis: Redis) -> int:
    """used_memory with nobody connected but us, and without what waits for the disk."""
    end = time.monotonic() + 10
    while redis.info("clients")["connected_clients"] > 1 and time.monotonic() < end:
        time.sleep(0.02)
    said = redis.info("memory")
    return int(said["used_memory"]) - int(said["mem_aof_buffer"]) - int(said["mem_clients_normal"])


def bytes_each(candidate: Candidate, redis: Redis, n: int) -> float:
    redis.flushall()
    candidate.say("fill", 10)  # scripts are loaded
    redis.flushall()
    before = used(redis)
    if not candidate.say("fill", n):
        raise SystemExit(f"{candidate.name} failed")
    return (used(redis) - before) / n


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--only", default=",".join(["swarmops", "floor", *PACKAGES]), help="which, separated by commas")
    o = p.parse_args()
    print("| | tasks | bytes a task |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        redis = Redis(port=server.port)
        for name in o.only.split(","):
            n = PEERS if name in PACKAGES else OWN
            found = bytes_each(Candidate(name, server.url), redis, n)
            print(f"| {name} | {n:,} | {found:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
