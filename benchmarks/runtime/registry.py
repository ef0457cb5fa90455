#!/usr/bin/env python3
"""Discovery, registration, assignment and leadership: p50 in milliseconds, alone and beside 200,000 other keys.

The floor is one PING by the same executor in the same run; SCAN is how discovery is often done.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from swarmops.runtime import Runtime  # noqa: E402
from swarmops.runtime.op import command  # noqa: E402
from tests.runtime.server import Server  # noqa: E402

OTHERS = 200_000
TIMES = 1000


def p50(do: Callable[[int], Any], times: int = TIMES) -> float:
    for i in range(20):
        do(i)
    took = []
    for i in range(times):
        began = time.perf_counter()
        do(i)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def scan(rt: Runtime) -> None:
    """Discovery by walking the keyspace, as the sources do it."""
    cursor: Any = b"0"
    while True:
        cursor, _ = rt.run(command("x", "SCAN", cursor, "MATCH", "*agent:*", "COUNT", 1000))
        if cursor == b"0":
            return


def register(rt: Runtime, i: int, **more: Any) -> None:
    """The agent of that number, always with the same capabilities; a quarter have a GPU."""
    rt.agents.register(f"agent-{i}", ["cpu", "embed", *(["gpu"] if i % 4 == 0 else [])], {"zone": "a"}, **more)


def measure(rt: Runtime) -> dict[str, float]:
    lease = rt.leader.campaign("bench", 60_000)
    assert lease.leading
    return {
        "floor: one PING": p50(lambda i: rt.run(command("x", "PING"))),
        "discover 100 agents": p50(lambda i: rt.agents.list()),
        "find by two capabilities": p50(lambda i: rt.agents.find(["gpu", "embed"])),
        "register": p50(lambda i: register(rt, i % 100, heartbeat=3600)),
        "beat": p50(lambda i: rt.agents.beat(f"agent-{i % 100}")),
        "assign to the least loaded": p50(lambda i: rt.agents.assign(["embed"])),
        "renew leadership": p50(lambda i: rt.leader.campaign("bench", 60_000)),
        "discovery by SCAN": p50(lambda i: scan(rt), 3),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server, Runtime(server.settings) as rt:
        for i in range(100):
            register(rt, i, heartbeat=3600)
        alone = measure(rt)
        for start in range(0, OTHERS, 1000):
            pairs = [x for i in range(start, start + 1000) for x in (f"other:{i}", "x" * 50)]
            rt.run(command("x", "MSET", *pairs))
        beside = measure(rt)
    print(f"| p50, ms | alone | beside {OTHERS:,} other keys |\n|---|---|---|")
    for name, value in alone.items():
        print(f"| {name} | {value:.3f} | {beside[name]:.3f} |")


if __name__ == "__main__":
    main()
