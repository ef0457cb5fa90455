"""A snapshot as Prometheus text (S2-14). Labels are queues and statuses only, so that series stay few."""

from __future__ import annotations

import re

from swarmops.runtime.observe.stats import Snapshot

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,99}")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*)"')
_QUEUE_GAUGES = ("ready", "delayed", "running", "blocked", "dead", "limit", "oldest_ms", "workers")


class Page:
    """Metrics, each with its type said once."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self._lines: dict[str, list[str]] = {}

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self._put(name, "gauge", value, labels)

    def counter(self, name: str, value: float, **labels: str) -> None:
        self._put(f"{name}_total", "counter", value, labels)

    def measured(self, name: str, value: float) -> None:
        """`name` as somebody else made it, its labels inside; a counter if it ends in _total."""
        bare, _, labels = name.partition("{")
        said = dict(_LABEL.findall(labels))
        bare = bare.removeprefix(f"{self.prefix}_")
        self._put(bare, "counter" if bare.endswith("_total") else "gauge", value, said)

    def _put(self, name: str, kind: str, value: float, labels: dict[str, str]) -> None:
        if not _NAME.fullmatch(name):  # somebody's own field that is no metric name
            return
        full = f"{self.prefix}_{name}"
        said = ",".join(f'{k}="{_escaped(v)}"' for k, v in labels.items())
        head = self._lines.setdefault(full, [f"# TYPE {full} {kind}"])
        head.append(f"{full}{{{said}}} {value:.15g}" if said else f"{full} {value:.15g}")

    def text(self) -> str:
        return "".join(line + "\n" for _, lines in sorted(self._lines.items()) for line in lines)


def prometheus(snapshot: Snapshot, prefix: str = "swarmops") -> str:
    """Text for a scrape or for node_exporter's textfile collector. Counters end in _total and never fall."""
    page, registry = Page(prefix), snapshot.registry
    page.gauge("agents", registry.agents_alive, state="alive")
    page.gauge("agents", registry.agents - registry.agents_alive, state="late")
    for status, many in registry.swarms.items():
        page.gauge("swarms", many, status=status)
    page.gauge("leader", int(registry.leader))
    page.gauge("leader_term", registry.term)
    page.gauge("inboxes", registry.inboxes)
    page.gauge("inbox_unread", registry.unread)
    page.gauge("inbox_longest", max(registry.longest.values(), default=0))
    page.gauge("channels", registry.channels)
    page.gauge("round_trip_seconds", snapshot.round_trip_ms / 1000)
    for field, value in registry.counters.items():
        page.counter(field, value)
    for queue in snapshot.queues:
        for field in _QUEUE_GAUGES:
            if field in queue.depth:
                page.gauge(f"queue_{field}", queue.depth[field], queue=queue.name)
        for field, value in queue.counters.items():
            page.counter(f"queue_{field}", value, queue=queue.name)
    for field in ("connected_clients", "used_memory", "maxmemory", "uptime_in_seconds"):
        if field in snapshot.server:
            page.gauge(f"redis_{field}", snapshot.server[field])
    for quantile, micros in snapshot.commands.items():
        page.gauge("redis_script_seconds", micros / 1e6, quantile={"p50": "0.5", "p99": "0.99"}[quantile])
    return page.text()


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
