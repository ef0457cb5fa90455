"""One run of one tool, measured: time as its user feels it, and what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench_provision.hosts import Hosts
from bench_provision.tools import Tool

HERE = Path(__file__).parent
LIMIT = 1200  # seconds after which a run is given up
CORES = os.cpu_count() or 1


@dataclass
class Run:
    """One run. Times in seconds, `cpu` of the controller's processes, `hosts_cpu` of all hosts together."""

    tool: str
    hosts: int
    rtt: float
    stage: str
    wall: float
    cpu: float
    hosts_cpu: float
    others: float  # part of the machine's CPU time that others used meanwhile
    kilobytes: float  # a host
    execs: float = 0.0  # a host


class WrongResult(Exception):
    """A tool failed, or did not reach the state that it must reach."""


@dataclass
class Bench:
    """Runs tools on hosts, and compares what they leave."""

    hosts: Hosts
    state: dict[tuple[int, int], tuple[str, dict[str, str]]] = field(default_factory=dict)

    def once(self, tool: Tool, stage: str, level: int, rtt: float) -> Run:
        argv = self.hosts.command(tool.command(stage, level))
        log = tool.work / "last.log"
        execs = self.hosts.execs(tool.names)
        busy, sent, hosts_cpu = _busy(), self.hosts.bytes(), self.hosts.cpu()
        began = time.perf_counter()
        with open(log, "wb") as out:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=tool.environment(), cwd=tool.work
            )
            code, usage = _wait(process, began)
        wall = time.perf_counter() - began
        if code != 0:
            raise WrongResult(f"{tool.name}, {stage}: exit code {code}\n{log.read_text()[-2000:]}")
        cpu = usage.ru_utime + usage.ru_stime
        _settled(self.hosts)
        hosts_cpu = self.hosts.cpu() - hosts_cpu
        others = max(0.0, _busy() - busy - cpu - hosts_cpu) / (time.perf_counter() - began) / CORES
        kilobytes = (self.hosts.bytes() - sent) / 1024 / len(tool.names)
        execs = self.hosts.execs(tool.names) - execs
        n = len(tool.names)
        return Run(tool.name, n, rtt, stage, wall, cpu, hosts_cpu, others, kilobytes, execs / n)

    def series(self, tool: Tool, times: int, rtt: float = 0.0) -> Iterator[Run]:
        """From new hosts: converge, then each further stage `times` times. Raises WrongResult."""
        tool.fresh()
        self.hosts.fresh(tool.names)
        if rtt:
            self.hosts.lab.fault("delay", *tool.names, value=rtt * 1000 / 2)
        try:
            yield self.once(tool, "cold", 1, rtt)
            marks = self.compare(tool, 1)
            level = 1
            for stage in [s for s in tool.stages if s != "cold"]:
                for _ in range(1 if tool.slow else times):
                    level += stage == "change"
                    yield self.once(tool, stage, level, rtt)
                if stage == "no-op" and tool.live:
                    yield from self._live(tool, rtt)
                if stage == "no-op" and self.compare(tool, 1) != marks:
                    raise WrongResult(f"{tool.name}: the no-op changed something")
                if stage == "change":
                    self.compare(tool, level)
        finally:
            self.hosts.lab.heal()

    def _live(self, tool: Tool, rtt: float) -> Iterator[Run]:
        """No-ops on connections that are open already."""
        argv = self.hosts.command([sys.executable, str(HERE / "live.py"), str(tool.work)])
        done = subprocess.run(argv, capture_output=True, text=True, env=tool.environment(), check=False)
        if done.returncode:
            raise WrongResult(f"{tool.name}, live: {done.stderr[-2000:]}")
        for seconds in json.loads(done.stdout):
            yield Run(tool.name, len(tool.names), rtt, "live", seconds, 0.0, 0.0, 0.0, 0.0)

    def compare(self, tool: Tool, level: int) -> dict[str, str]:
        """The hosts' marks, if their state is the one that the first tool left at this level."""
        state, marks = self.hosts.look(tool.names)
        for name, text in state.items():
            key = (name, level)
            first, known = self.state.setdefault(key, (tool.name, text))
            if text != known:
                raise WrongResult(f"{name} is not the same after {tool.name} and {first}:\n{_difference(known, text)}")
        return marks


def _wait(process: subprocess.Popen, began: float):
    """Exit code and resource usage, of the process and all that it waited for."""
    import threading

    timer = threading.Timer(LIMIT, process.kill)
    timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def _settled(hosts: Hosts) -> None:
    """Wait until the hosts have ended what a run left them (sessions being closed), 0.5 s at most."""
    before = hosts.cpu()
    for _ in range(10):
        time.sleep(0.05)
        now = hosts.cpu()
        if now - before < 0.002:
            return
        before = now


def _busy() -> float:
    """CPU seconds that this machine has worked so far."""
    f = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(f[:3]) + f[5] + f[6]) / os.sysconf("SC_CLK_TCK")


def _difference(a: str, b: str) -> str:
    import difflib

    return "\n".join(difflib.unified_diff(a.splitlines(), b.splitlines(), "first", "now", lineterm="", n=0))
