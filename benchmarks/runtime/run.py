#!/usr/bin/env python3
"""The runtime, compared: the same tasks by swarmops, the floor and six task queues, on one Redis in one run.

Needs redis-server and, for peers, the package index (each gets an environment of its own under build/bench).
See benchmarks/README.md; results that were kept are in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from redis import Redis  # noqa: E402

from tests.runtime.server import Server  # noqa: E402

HERE = Path(__file__).parent
PACKAGES = {  # all with the fast parser that swarmops and the floor have
    "celery": ["celery[redis]", "redis>=6.1", "hiredis"],
    "dramatiq": ["dramatiq[redis]", "hiredis"],
    "rq": ["rq", "hiredis"],
    "huey": ["huey", "redis", "hiredis"],
    "arq": ["arq", "hiredis"],
    "taskiq": ["taskiq-redis", "hiredis"],
}
# How many: (one by one, bulk, drained, round trips, many callers). Slow ones do less: rates are what is compared.
COUNTS = {"swarmops": (5000, 100_000, 100_000, 500, 60_000), "floor": (5000, 100_000, 100_000, 500, 0)}
SLOW = (1500, 5000, 3000, 200, 4000)
COLUMNS = ["one", "bulk", "drain 1", "drain 2", "trip p50", "trip p99", "many"]


class Candidate:
    """One way to run tasks: how its programs are started."""

    def __init__(self, name: str, url: str):
        self.name, self.env = name, {**os.environ, "BENCH_URL": url}
        self.counts = COUNTS.get(name, SLOW)
        if name in PACKAGES:
            self.argv = [str(_environment(name)), str(HERE / "peers.py"), name]
        else:
            self.argv = [sys.executable, str(HERE / ("ours.py" if name == "swarmops" else "floor.py"))]

    def say(self, what: str, n: int) -> dict[str, Any]:
        done = subprocess.run(
            [*self.argv, what, str(n)], env=self.env, capture_output=True, text=True, timeout=180, check=False
        )
        if done.returncode:
            print(f"{self.name} {what}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return {}
        return json.loads(done.stdout.strip().splitlines()[-1])

    def start(self, what: str = "worker") -> subprocess.Popen[bytes]:
        null = subprocess.DEVNULL
        return subprocess.Popen([*self.argv, what], env=self.env, stdin=null, stdout=null, stderr=null)


def _environment(name: str) -> Path:
    folder = ROOT / "build" / "bench" / name
    python = folder / "bin" / "python"
    wanted = " ".join(PACKAGES[name])
    if not (folder / ".done").exists() or (folder / ".done").read_text() != wanted:
        print(f"installing {name}", file=sys.stderr)
        if not python.exists():
            venv.create(folder, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES[name]], check=True)
        (folder / ".done").write_text(wanted)
    return python


def measure(candidate: Candidate, redis: Redis) -> dict[str, float]:
    found: dict[str, float] = {}
    ones, bulk, drained, trips, many = candidate.counts
    for column, what, n in (("one", "one", ones), ("bulk", "bulk", bulk), ("many", "many", many)):
        redis.flushall()
        if n and "rate" in (said := candidate.say(what, n)):
            found[column] = said["rate"]
    for workers in (1, 2):
        found[f"drain {workers}"] = _drain(candidate, redis, drained, workers)
    redis.flushall()
    worker = candidate.start("echo" if candidate.name == "floor" else "worker")
    try:
        candidate.say("trip", 3)
        said = candidate.say("trip", trips)
        found |= {f"trip {k}": v for k, v in said.items()}
    finally:
        worker.kill()
        worker.wait()
    return found


def _drain(candidate: Candidate, redis: Redis, n: int, workers: int) -> float:
    """Tasks a second from the first one done to the last: the start of the processes does not count."""
    redis.flushall()
    candidate.say("fill", 50)
    started = [candidate.start() for _ in range(workers)]
    try:
        _until_end(redis)
        time.sleep(0.5)  # all workers are up and idle
        for p in started:
            os.kill(p.pid, 19)
        redis.delete("bench:end")
        candidate.say("fill", n)
        began = time.time()
        for p in started:
            os.kill(p.pid, 18)
        return n / (_until_end(redis) - began)
    finally:
        for p in started:
            p.kill()
            p.wait()


def _until_end(redis: Redis) -> float:
    end = time.monotonic() + 120
    while not (found := redis.get("bench:end")):
        if time.monotonic() > end:
            raise SystemExit("the queue was not drained in 120 s")
        time.sleep(0.005)
    return float(found)


def table(rows: dict[str, dict[str, float]]) -> str:
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    for name, row in rows.items():
        cells = [
            f"{row[c]:,.2f}" if c in row and "trip" in c else f"{row[c]:,.0f}" if c in row else "-" for c in COLUMNS
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios(rows: dict[str, dict[str, float]]) -> list[str]:
    """The aims that this run can judge."""
    ours, floor = rows.get("swarmops", {}), rows.get("floor", {})
    peers = {k: v for k, v in rows.items() if k not in ("swarmops", "floor")}
    said = []

    def best(column: str) -> tuple[str, float]:
        have = {k: v[column] for k, v in peers.items() if column in v}
        pick = (min if "trip" in column else max)(have, key=lambda k: have[k])
        return pick, have[pick]

    for column in COLUMNS:
        if column not in ours:
            continue
        if any(column in v for v in peers.values()):
            name, value = best(column)
            times = value / ours[column] if "trip" in column else ours[column] / value
            said.append(f"{column}: {times:.1f} x as good as the best peer ({name})")
        if column in floor:
            said.append(f"{column}: {ours[column] / floor[column]:.2f} x the floor")
    return said


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--only", default=",".join(["swarmops", "floor", *PACKAGES]), help="which, separated by commas")
    p.add_argument("--repeat", type=int, default=1, help="rounds; medians are shown")
    p.add_argument("--out", type=Path, help="write all numbers there, as JSON")
    o = p.parse_args()
    rows: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        redis = Redis(port=server.port)
        candidates = [Candidate(name, server.url) for name in o.only.split(",")]
        for _ in range(o.repeat):
            for candidate in candidates:
                print(f"measuring {candidate.name}", file=sys.stderr)
                rows.setdefault(candidate.name, []).append(measure(candidate, redis))
    medians = {
        name: {c: statistics.median([r[c] for r in found if c in r]) for c in COLUMNS if any(c in r for r in found)}
        for name, found in rows.items()
    }
    print(table(medians))
    print("\n".join(ratios(medians)))
    if o.out:
        o.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
