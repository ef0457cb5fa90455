#!/usr/bin/env python3
"""Provisioning, compared: the same workload by swarmops, ansible-core, pyinfra and the floor, on real lab hosts.

Needs root and what the lab needs. See benchmarks/README.md; results are in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from bench_provision.hosts import Hosts  # noqa: E402
from bench_provision.measure import Bench, Run, WrongResult  # noqa: E402
from bench_provision.report import Results  # noqa: E402
from bench_provision.tools import BIN, TOOLS  # noqa: E402

DELAYED = ("swarmops", "floor", "ssh")
ANSIBLE_MOST = 6  # hosts; with 24 it needs three minutes a run


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--tools", default=",".join(TOOLS), help=f"of {', '.join(TOOLS)} (default: all)")
    p.add_argument("--hosts", default="1,6,24", help="numbers of hosts (default: 1,6,24)")
    p.add_argument("--repeat", type=int, default=3, help="series from new hosts for each tool (default: 3)")
    p.add_argument("--times", type=int, default=3, help="runs of each stage in a series (default: 3)")
    p.add_argument("--rtt", type=float, default=50, help="ms of round trip for the runs with delay; 0: none")
    p.add_argument("--quick", action="store_true", help="1 and 6 hosts, one series, no delay")
    p.add_argument("--slow", action="store_true", help=f"ansible-core with more than {ANSIBLE_MOST} hosts too")
    p.add_argument("--lab", default="bench", help="name of the lab to make (default: bench)")
    p.add_argument("--keep", action="store_true", help="leave the lab running")
    p.add_argument("--out", type=Path, help="write all runs there, as JSON")
    o = p.parse_args()
    if o.quick:
        o.hosts, o.repeat, o.rtt = "1,6", 1, 0.0
    o.tools = o.tools.split(",")
    o.hosts = [int(n) for n in str(o.hosts).split(",")]
    if unknown := set(o.tools) - set(TOOLS):
        p.error(f"no tool {', '.join(sorted(unknown))} (there are {', '.join(TOOLS)})")
    if os.geteuid() != 0:
        p.error("it boots hosts with systemd-nspawn: run it as root")
    return o


def plan(o: argparse.Namespace) -> list[tuple[str, int, float, int]]:
    """(tool, hosts, RTT, repetition) of every series. The repetitions of all tools alternate."""
    made = []
    for hosts, rtt in [(n, 0.0) for n in o.hosts] + ([(6, o.rtt / 1000)] if o.rtt else []):
        for repetition in range(o.repeat):
            for tool in o.tools:
                if (rtt and tool not in DELAYED) or (tool == "more" and (hosts != 6 or rtt)):
                    continue
                if TOOLS[tool].once and repetition:
                    continue
                if tool == "ansible" and hosts > ANSIBLE_MOST and not o.slow:
                    continue
                made.append((tool, hosts, rtt, repetition))
    return made


def measure(o: argparse.Namespace, work: Path) -> tuple[list[Run], list[tuple[str, str]]]:
    """All runs, and (tool, what went wrong): a tool that fails or leaves another state has no results."""
    series = plan(o)
    hosts = Hosts(o.lab, max(n for _, n, _, _ in series))
    hosts.up()
    bench, runs, wrong = Bench(hosts), list[Run](), list[tuple[str, str]]()
    try:
        for number, (tool, count, rtt, _) in enumerate(series):
            made = TOOLS[tool](hosts, hosts.names[:count], work / str(number))
            if made.name in dict(wrong):
                continue
            try:
                for run in bench.series(made, o.times, rtt):
                    runs.append(run)
                    say(f"{run.tool:26} {count:2} hosts {rtt * 1000:3.0f} ms  {run.stage:6} {run.wall:7.2f} s")
            except WrongResult as e:
                wrong.append((made.name, f"{count} hosts: {e}"))
                say(": ".join(wrong[-1]))
            finally:
                made.close()
    finally:
        if not o.keep:
            hosts.down()
    return [r for r in runs if r.tool not in dict(wrong)], wrong


def start_up(times: int = 15) -> tuple[float, float]:
    """Seconds of `swarmops --help` and of bare Python, medians of alternating runs."""
    found: dict[str, list[float]] = {"help": [], "bare": []}
    for _ in range(times):
        for name, argv in (("help", [str(BIN / "swarmops"), "--help"]), ("bare", [sys.executable, "-c", "pass"])):
            began = time.perf_counter()
            subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
            found[name].append(time.perf_counter() - began)
    return statistics.median(found["help"]), statistics.median(found["bare"])


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    o = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        runs, wrong = measure(o, Path(work))
    help_, bare = start_up()
    results = Results(runs)
    print(results.markdown())
    print(f"\n`swarmops --help` {help_ * 1000:.0f} ms, bare Python {bare * 1000:.0f} ms (aim: at most 150 more).")
    print(f"Other programs used {results.others():.0%} of this machine meanwhile (median of all runs).")
    for name, why in wrong:
        print(f"\nNo credit: {name}, {why}")
    if o.out:
        o.out.write_text(json.dumps([dataclasses.asdict(r) for r in runs], indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
