"""What became of each host of a deploy: its counts, how it ended, and the records of what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from swarmops.delivery.hardware import shortfalls
from swarmops.model.project import Project
from swarmops.planning.plan import Plan

Record = dict[str, Any]
COUNTED = ("ok", "changed", "would", "skipped", "failed")
_SHOWN = ("was", "want", "diff", "why", "after", "cmds", "out")


class Tally:
    """Filled while a deploy runs. `begun`: hosts on which something may have been changed."""

    def __init__(self, project: Project):
        self.project = project
        self.counts: dict[str, dict[str, int]] = {}
        self.ends: dict[str, Record] = {}
        self.execs: dict[str, int] = {}
        self.begun: set[str] = set()

    def asks(self, name: str) -> None:
        """One more program is started on the host."""
        self.execs[name] = self.execs.get(name, 0) + 1

    def none_yet(self, name: str) -> None:
        """The host's steps are counted from here."""
        self.counts[name] = dict.fromkeys(COUNTED, 0)

    def keep_only(self, name: str, counted: str) -> None:
        self.counts[name] = {c: n if c == counted else 0 for c, n in self.counts[name].items()}

    def applied_now(self) -> None:
        """What would change is counted anew, as it is changed."""
        for counts in self.counts.values():
            counts["would"] = 0

    def records(self, name: str, plan: Plan, event: Mapping[str, Any]) -> Iterator[Record]:
        """The records that an event makes: none or more."""
        kind = event["e"]
        if kind == "step":
            yield self._step(name, plan, event)
        elif kind == "hello":
            for shortfall in shortfalls(self.project, self.project.inventory.hosts[name], event):
                yield {"type": "note", "host": name, "text": f"has {shortfall}"}
        elif kind == "end":
            yield self.end(name, event)
        elif text := _told(event):
            yield {"type": "note", "host": name, "text": text}

    def _step(self, name: str, plan: Plan, event: Mapping[str, Any]) -> Record:
        step = plan.steps[event["i"]]
        status = event["s"]
        self.counts[name][status] += 1
        base = {
            "type": "step",
            "host": name,
            "id": step["id"],
            "role": step["role"],
            "task": step["name"],
        }
        shown = {k: event[k] for k in _SHOWN if k in event}
        return {**base, "status": status, "ms": event["ms"], "tags": step.get("tags", []), **shown}

    def end(self, name: str, event: Mapping[str, Any]) -> Record:
        """The host's record, now that it has ended."""
        self.counts.setdefault(name, dict.fromkeys(COUNTED, 0))
        self.ends[name] = {k: v for k, v in event.items() if k != "e"}
        return {"type": "host", "host": name, "ok": self.well(name), **self.ends[name]}

    def well(self, name: str) -> bool:
        end = self.ends.get(name, {})
        return end.get("status") == "done" and bool(end.get("ok")) and not self.counts[name]["failed"]

    def total(self, counted: str) -> int:
        return sum(c[counted] for c in self.counts.values())

    def why(self) -> dict[str, str]:
        """Host -> why it did not end well, where its end says it."""
        return {n: str(e["reason"]) for n, e in self.ends.items() if e["status"] != "done" and e.get("reason")}


def _told(event: Mapping[str, Any]) -> str:
    if event["e"] == "waiting":
        return f"waiting for a run of {event['by']} that lost its way"
    if event["e"] == "unconfirmed":
        return f"no new connection: {event['reason']}"
    return str(event["text"]) if event["e"] == "note" else ""
