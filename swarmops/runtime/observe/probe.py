"""Is this Redis fit for coordination? One look at everything that `swarmops redis-test` reports (S4-18, S4-17)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swarmops.runtime.errors import SwarmError, Unavailable
from swarmops.runtime.ids import new_id
from swarmops.runtime.op import Op, command

if TYPE_CHECKING:
    from swarmops.runtime.client.sync import Runtime

PINGS = 50
OLDEST = (6, 2)
MODES = {"single": "one server", "sentinel": "watched by sentinels", "cluster": "a cluster"}


@dataclass(slots=True)
class Report:
    """facts: name -> value, for people and --json. faults: why it is not fit. warnings: what may hurt later."""

    facts: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.faults


def probe(rt: Runtime) -> Report:
    """Connect, read, write, run a script, measure. Nothing is left behind. Never raises for what Redis does."""
    report = Report()
    settings = rt.settings
    report.facts |= {"place": settings.place, "mode": MODES[settings.kind], "tls": settings.tls}
    report.facts |= {"user": settings.username or "default", "namespace": settings.namespace}
    report.facts["timeouts"] = {"connect": settings.connect_timeout, "answer": settings.timeout}
    try:
        began = time.perf_counter()
        rt.connect()
        report.facts["connect_ms"] = round((time.perf_counter() - began) * 1000, 2)
        _look(rt, report)
        _work(rt, report)
        _measure(rt, report)
    except SwarmError as e:
        report.faults.append(str(e))
        if isinstance(e, Unavailable):
            report.facts["trouble"] = e.kind
    return report


def info(rt: Runtime, section: str) -> dict[str, str]:
    """A section of INFO as text by name. Raises SwarmError."""
    said = rt.run(command(rt.keys.registry(), "INFO", section, safe=True))
    pairs = (line.partition(":") for line in said.decode("utf-8", "replace").splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}


def _look(rt: Runtime, report: Report) -> None:
    server, persistence = info(rt, "server"), info(rt, "persistence")
    memory, clients = info(rt, "memory"), info(rt, "clients")
    version = server.get("redis_version", "?")
    report.facts |= {"version": version, "uptime_s": int(server.get("uptime_in_seconds", 0))}
    report.facts |= {"append_only": persistence.get("aof_enabled") == "1"}
    report.facts |= {"used_memory": int(memory.get("used_memory", 0)), "maxmemory": int(memory.get("maxmemory", 0))}
    report.facts |= {"policy": memory.get("maxmemory_policy", "?"), "clients": int(clients.get("connected_clients", 0))}
    numbers = tuple(int(n) for n in version.split(".")[:2] if n.isdigit())
    if numbers < OLDEST:
        report.faults.append(f"Redis {version} is too old: 7.0 is needed, 6.2 for trying out")
    elif numbers < (7, 0):
        report.warnings.append(f"Redis {version} is for trying out: run 7.0 or newer for real work")
    if persistence.get("loading") == "1":
        report.faults.append("it is still loading its data")
    if not report.facts["append_only"]:
        report.warnings.append("append-only file is off: a crash loses what came after the last save (appendonly yes)")
    if persistence.get("aof_last_write_status", "ok") != "ok":
        report.faults.append("its last write to the append-only file failed: look at its disk")
    if persistence.get("rdb_last_bgsave_status", "ok") != "ok":
        report.warnings.append("its last save failed: look at its disk")
    most, used = report.facts["maxmemory"], report.facts["used_memory"]
    if most and used > 0.8 * most:
        report.warnings.append(f"{used / most:.0%} of maxmemory is used")


def _work(rt: Runtime, report: Report) -> None:
    """What the runtime itself does: write, read, run a script, delete."""
    key, value = rt.keys.tagged("probe", new_id(), "x"), new_id()
    rt.run(command(key, "SET", key, value, "PX", 5000))
    if rt.run(command(key, "GET", key)) != value.encode():
        report.faults.append("what was written is not what was read")
    script: Op[int] = Op("ping", (key,))
    rt.run(script)
    rt.run(command(key, "DEL", key))


def _measure(rt: Runtime, report: Report) -> None:
    op = command(rt.keys.registry(), "PING", safe=True)
    took = []
    for _ in range(PINGS):
        began = time.perf_counter()
        rt.run(op)
        took.append((time.perf_counter() - began) * 1000)
        if sum(took) > 1000:
            break
    took.sort()
    report.facts["ping_ms"] = {"p50": round(took[len(took) // 2], 3), "p99": round(took[int(len(took) * 0.99)], 3)}
