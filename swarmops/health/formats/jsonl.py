"""For programs that listen: one line a check as it ends, and a `verdict` line at the end of each look."""

from __future__ import annotations

import json

from swarmops.health.formats import json as document
from swarmops.health.verdict import Result, Verdict


def line(r: Result) -> str:
    """The line of one result."""
    return _dump({"schema": document.SCHEMA, "e": "check", "host": r.host, **document.check(r)})


def closing(verdict: Verdict) -> str:
    """The last line of a look: the verdict without the checks, which were lines of their own."""
    whole = document.document(verdict)
    hosts = {h["host"]: h["state"] for h in whole.pop("hosts")}
    return _dump({"schema": whole.pop("schema"), "e": "verdict", **whole, "hosts": hosts})


def text(verdict: Verdict, verbose: bool = False) -> str:
    """All lines at once, for a file."""
    return "\n".join([*(line(r) for h in verdict.hosts for r in h.results), closing(verdict)])


def _dump(data: dict) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)
