"""For programs: the whole verdict as one document."""

from __future__ import annotations

import json
from typing import Any

from swarmops.health.verdict import Result, Verdict

SCHEMA = "swarmops.health/1"


def text(verdict: Verdict, verbose: bool = False) -> str:
    return json.dumps(document(verdict), indent=2, ensure_ascii=False)


def document(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain data."""
    ill = verdict.ill()
    return {
        "schema": SCHEMA,
        "state": verdict.state.name,
        "exit": int(verdict.state),
        "at": round(verdict.at, 3),
        "seconds": verdict.seconds,
        "counts": verdict.counts,
        "services": {s: service(s, verdict, ill) for s in verdict.services},
        "hosts": [
            {
                "host": h.name,
                "state": h.state.name,
                "roles": list(h.roles),
                "checks": [check(r) for r in h.results],
            }
            for h in verdict.hosts
        ],
    }


def service(name: str, verdict: Verdict, ill: dict[str, tuple[list[str], int]]) -> dict[str, Any]:
    total = sum(name in h.roles for h in verdict.hosts)
    bad = ill.get(name, ([], 0))[0]
    state = "well" if not bad else "degraded" if len(bad) < total else "down"
    return {"state": state, "hosts": total, "without": bad}


def check(r: Result) -> dict[str, Any]:
    """One result as plain data."""
    return {
        "id": r.id,
        "role": r.role,
        "service": r.service,
        "name": r.name,
        "probe": r.probe,
        "from": r.source,
        "state": r.state.name,
        "value": r.value,
        "unit": r.unit,
        "limits": dict(r.limits),
        "detail": r.detail,
        "ms": r.ms,
    }
