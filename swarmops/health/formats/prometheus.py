"""For Prometheus' textfile collector: gauges only, with the labels host, role and check and no others.

The labels come from the inventory and the roles, never from what a host says, so their number is bounded.
"""

from __future__ import annotations

from swarmops.health.verdict import Result, State, Verdict

LONGEST = 120  # characters of a label's value
STATES = "0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN"


def text(verdict: Verdict, verbose: bool = False) -> str:
    rows: list[str] = []
    everything = [r for h in verdict.hosts for r in h.results]
    _gauge(rows, "fleet_state", f"Worst state of all hosts: {STATES}.", [({}, int(verdict.state))])
    _gauge(rows, "fleet_seconds", "How long the last look took.", [({}, verdict.seconds)])
    _gauge(rows, "fleet_timestamp_seconds", "When the last look began.", [({}, round(verdict.at, 3))])
    hosts = [({"host": h.name}, int(h.state)) for h in verdict.hosts]
    _gauge(rows, "host_state", f"Worst state of the host's checks: {STATES}.", hosts)
    up = [({"host": r.host}, int(r.state is State.OK)) for r in everything if r.id == "reach"]
    _gauge(rows, "host_reachable", "1 when the controller could log in to the host.", up)
    _gauge(rows, "check_state", f"State: {STATES}.", [(_labels(r), int(r.state)) for r in everything])
    values = [(_labels(r), r.value) for r in everything if r.value is not None]
    _gauge(rows, "check_value", "What the check measured, in its own unit.", values)
    took = [(_labels(r), round(r.ms / 1000, 6)) for r in everything if not r.quiet]
    _gauge(rows, "check_seconds", "How long the check took.", took)
    return "\n".join(rows)


def _labels(r: Result) -> dict[str, str]:
    return {"host": r.host, "role": r.role, "check": r.label}


def _gauge(rows: list[str], name: str, help_: str, samples: list) -> None:
    if samples:
        rows.append(f"# HELP swarmops_{name} {help_}")
        rows.append(f"# TYPE swarmops_{name} gauge")
    for labels, value in samples:
        inside = ",".join(f'{k}="{_escape(v)}"' for k, v in labels.items())
        rows.append(f"swarmops_{name}{'{' + inside + '}' if inside else ''} {value}")


def _escape(value: str) -> str:
    return value[:LONGEST].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
