"""Runs as tables: medians, ratios, budgets."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from bench_provision.measure import Run

# (hosts, RTT, stage) -> seconds that swarmops may take
BUDGETS = {(6, 0.0, "cold"): 1.9, (6, 0.0, "no-op"): 1.1, (24, 0.0, "cold"): 6.3, (24, 0.0, "no-op"): 3.0}
BUDGETS |= {(6, 0.0, "live"): 0.5}
BUDGETS |= {(6, 0.05, "cold"): 2.4, (6, 0.05, "no-op"): 1.6}
# tool -> stage -> how many times faster swarmops shall be
AIMS = {
    "ansible-core": {"cold": 30, "no-op": 50},
    "pyinfra": {"cold": 6, "no-op": 6},
    "pyinfra, TCP_NODELAY": {"cold": 6, "no-op": 6},
    "floor, same transport": {"cold": 1 / 1.3, "no-op": 1 / 1.3},
    "floor, plain ssh": {},
}
KB = 20  # a host on a no-op
STAGES = ("cold", "no-op", "change", "check")
NAMES = {"live": "no-op on open connections"}


class Results:
    """All runs of one bench."""

    def __init__(self, runs: Iterable[Run]):
        self.runs = list(runs)

    def median(self, what: str, tool: str, hosts: int, rtt: float, stage: str) -> float | None:
        found = [getattr(r, what) for r in self.runs if (r.tool, r.hosts, r.rtt, r.stage) == (tool, hosts, rtt, stage)]
        return statistics.median(found) if found else None

    def settings(self) -> list[tuple[int, float]]:
        return list(dict.fromkeys((r.hosts, r.rtt) for r in self.runs))

    def tools(self, hosts: int, rtt: float) -> list[str]:
        return list(dict.fromkeys(r.tool for r in self.runs if (r.hosts, r.rtt) == (hosts, rtt)))

    def markdown(self) -> str:
        return "\n\n".join(
            part for s in self.settings() for part in (self._table(*s), self._ratios(*s), self._aims(*s))
        )

    def _table(self, hosts: int, rtt: float) -> str:
        title = f"{hosts} host{'s' * (hosts > 1)}" + (f" at {rtt * 1000:.0f} ms round trip" if rtt else "")
        head = [title, *STAGES, "controller CPU s, no-op", "hosts' CPU s, no-op"]
        head += ["execs a host, no-op (cold)", "KB a host, no-op (cold)"]
        rows = []
        for tool in self.tools(hosts, rtt):
            at = lambda what, stage, tool=tool: self.median(what, tool, hosts, rtt, stage)  # noqa: E731
            row = [tool, *(_seconds(at("wall", s)) for s in STAGES)]
            row += [_seconds(at("cpu", "no-op")), _seconds(at("hosts_cpu", "no-op"))]
            for what in ("execs", "kilobytes"):
                row.append(f"{_number(at(what, 'no-op'))} ({_number(at(what, 'cold'))})")
            rows.append(row)
        return _markdown(head, rows)

    def _ratios(self, hosts: int, rtt: float) -> str:
        """How many times the others take what swarmops takes, in time and in CPU time of all machines."""
        rows = []
        for tool in self.tools(hosts, rtt):
            if not tool.startswith("swarmops"):
                row = [f"{tool} / swarmops"]
                row += [_times(self._ratio("wall", tool, hosts, rtt, s)) for s in STAGES]
                rows.append([*row, _times(self._all_cpu(tool, hosts, rtt))])
        return _markdown(["times as long", *STAGES, "CPU of all, no-op"], rows) if rows else ""

    def _ratio(self, what: str, tool: str, hosts: int, rtt: float, stage: str) -> float | None:
        ours, theirs = (self.median(what, t, hosts, rtt, stage) for t in ("swarmops", tool))
        return theirs / ours if ours and theirs else None

    def _all_cpu(self, tool: str, hosts: int, rtt: float) -> float | None:
        sums = []
        for name in (tool, "swarmops"):
            parts = [self.median(what, name, hosts, rtt, "no-op") for what in ("cpu", "hosts_cpu")]
            sums.append(None if None in parts else sum(p for p in parts if p))
        return sums[0] / sums[1] if sums[0] and sums[1] else None

    def _aims(self, hosts: int, rtt: float) -> str:
        rows = []
        for stage in (*STAGES, "live"):
            budget, took = BUDGETS.get((hosts, rtt, stage)), self.median("wall", "swarmops", hosts, rtt, stage)
            if budget and took:
                rows.append([f"{NAMES.get(stage, stage)} within {budget} s", f"{took:.2f} s", _held(took <= budget)])
        for tool, aims in AIMS.items():
            for stage, aim in aims.items():
                ratio = self._ratio("wall", tool, hosts, rtt, stage)
                if ratio and not rtt:
                    said = f"at most {1 / aim:.1f} times {tool}" if aim < 1 else f"{aim:g} times as fast as {tool}"
                    shown = f"{1 / ratio:.2f}" if aim < 1 else f"{ratio:.1f}"
                    rows.append([f"{stage}: {said}", shown, _held(ratio >= aim)])
        kb = self.median("kilobytes", "swarmops", hosts, rtt, "no-op")
        if kb is not None:
            rows.append([f"no-op: at most {KB} KB a host", f"{kb:.1f} KB", _held(kb <= KB)])
            execs = self.median("execs", "swarmops", hosts, rtt, "no-op") or 0.0
            rows.append(["no-op: one exec a host", f"{execs:g}", _held(execs <= 1)])
        more, plain = (self.median("wall", t, hosts, rtt, "no-op") for t in ("swarmops, 100 tasks more", "swarmops"))
        if more and plain:
            rows.append(
                ["100 no-op tasks more: under 100 ms", f"{(more - plain) * 1000:.0f} ms", _held(more - plain < 0.1)]
            )
        return _markdown(["aim", "measured", "held"], rows) if rows else ""

    def others(self) -> float:
        """The median part of this machine's CPU time that others used."""
        return statistics.median(r.others for r in self.runs) if self.runs else 0.0


def _held(yes: bool) -> str:
    return "yes" if yes else "NO"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
