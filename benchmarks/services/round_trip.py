"""From submit to result: through the coordinator's HTTP, and by the runtime's own way, in the same run.

    python -m benchmarks.services.round_trip [--n 1000]

One redis-server on loopback, one coordinator process, one worker process that returns its argument; one task at a time.
The aim: p50 over HTTP at most three times that of the runtime. Rounds of both alternate, so that both meet the same
machine. Last row: the task is done by an agent on a WebSocket instead of a worker beside Redis.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swarmops.client import Agent, Client
from swarmops.runtime import Runtime
from tests.runtime.server import Server
from tests.runtime.working import Process
from tests.services.coordinator import Coordinator

ROUND = 50


def same(value: Any) -> Any:
    return value


def measure(ways: dict[str, Callable[[int], Any]], n: int) -> dict[str, list[float]]:
    """Milliseconds of each call, round by round."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for first in range(0, n, ROUND):
        for name, call in ways.items():
            for at in range(first, first + ROUND):
                began = time.perf_counter()
                assert call(at) == at
                found[name].append((time.perf_counter() - began) * 1000)
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1000)
    n = parser.parse_args().n
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "redis") as redis:
        api = Coordinator(Path(folder) / "api", redis).start()
        worker = Process(redis.settings, {"same": same}, "bench", caps=["same"])
        agent = Agent(api.url, api.tokens["agent"], "far")
        thread = threading.Thread(target=agent.run, args=({"far": same},))
        thread.start()
        try:
            with Runtime(redis.settings) as rt, Client(api.url, api.tokens["submit"]) as client:
                agent.connected.wait(20)
                ways: dict[str, Callable[[int], Any]] = {
                    "runtime": lambda at: rt.tasks.submit_and_wait("same", [at], needs=["same"])[0],
                    "http": lambda at: client.run("same", [at], needs=["same"], anyway=True)[0],
                    "http, websocket agent": lambda at: client.run("far", [at])[0],
                }
                measure(ways, ROUND)
                found = measure(ways, n)
        finally:
            agent.stop()
            thread.join()
            worker.close()
            api.close()
    own = statistics.median(found["runtime"])
    print(f"{'way':24} {'p50 ms':>8} {'p99 ms':>8} {'times':>6}   ({n} tasks each)")
    for name, times in found.items():
        p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        print(f"{name:24} {p50:8.2f} {p99:8.2f} {p50 / own:6.2f}")
    return 0 if statistics.median(found["http"]) <= 3 * own else 1


if __name__ == "__main__":
    sys.exit(main())
