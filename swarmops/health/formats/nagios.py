"""For Nagios and its kin: one line, then `|` and performance data. The exit code says the rest."""

from __future__ import annotations

from swarmops.health.formats.table import sentence
from swarmops.health.verdict import Result, State, Verdict

LONGEST = 8000  # characters; Nagios reads 8 KiB
UNITS = {"ms": "ms", "s": "s"}


def text(verdict: Verdict, verbose: bool = False) -> str:
    worst = [r for h in verdict.hosts for r in h.troubles if r.state is h.state][:3]
    said = sentence(verdict).partition(": ")[2]
    why = "; ".join(f"{r.host} {r.name}: {r.detail}" for r in worst)
    line = f"SWARMOPS {verdict.state.name} - {said}{' ' + why if why else ''}".replace("|", "/")
    data = [f"time={verdict.seconds}s;;;0", f"hosts_ok={verdict.counts['OK']};;;0;{len(verdict.hosts)}"]
    for host in verdict.hosts:
        data += [_data(r) for r in host.results if r.value is not None and r.state is not State.UNKNOWN]
    whole = f"{line[:2000]} |"
    for item in data:
        if len(whole) + len(item) + 1 > LONGEST:
            break
        whole += f" {item}"
    return whole


def _data(r: Result) -> str:
    """'label'=value[unit];warn;crit in Nagios' ranges: `10` is up to ten, `10:` is ten at least."""
    label = f"{r.host}/{r.id}".replace("'", "").replace("=", "-").replace("|", "/")
    warn = r.limits.get("warn")
    warn = _range(warn) if isinstance(warn, dict) else ""
    return f"'{label}'={r.value}{UNITS.get(r.unit, '')};{warn};{_range(r.limits)}"


def _range(bounds: object) -> str:
    low, high = (bounds.get("min"), bounds.get("max")) if isinstance(bounds, dict) else (None, None)
    if low is None:
        return "" if high is None else f"{high}"
    return f"{low}:" if high is None else f"{low}:{high}"
