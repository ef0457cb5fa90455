"""What to do with an interrupted swarm: how far it was, how sure we are, what is next. No Redis here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

ATTEMPTS = 3  # failed recoveries after which people are asked
STRATEGIES = ("resume", "restart", "reassign", "escalate")
_LOST_HANDS = re.compile(r"agent|worker|node|beat|lease|hand", re.I)
_DONE = {"done", "completed", "complete", "finished", "success"}
_OPEN = {"running", "in_progress", "in-progress", "inprogress", "assigned", "claimed", "active"}
_OVER = {"failed", "dead", "cancelled", "expired", "stopped"}


@dataclass(frozen=True, slots=True)
class Plan:
    """The recoveryPlan of S3-46. estimated_time: seconds. confidence: 0 (nothing was left), else 0.5 to 0.95."""

    resume_from: str  # state, checkpoint, snapshot or nothing
    source_id: str  # of the checkpoint or snapshot
    confidence: float
    completed: int
    in_progress: int
    pending: int
    failed: int
    agents: int
    progress: float
    next_actions: tuple[str, ...]
    estimated_time: float
    requeue: tuple[str, ...]  # ids of the work that was in progress

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def confidence(age: float | None, tasks: bool, agents: bool) -> float:
    """S3-45. age: seconds since the source was written, None if there is no source.

    0.5, and 0.3 more under a minute, or 0.2 under five; 0.1 each where tasks and agents are known; at most 0.95.
    """
    if age is None:
        return 0.0
    fresh = 0.3 if age < 60 else 0.2 if age < 300 else 0.0
    return min(0.95, round(0.5 + fresh + 0.1 * bool(tasks) + 0.1 * bool(agents), 2))


def strategy_for(reason: str, attempts: int, source: str, most: int = ATTEMPTS) -> str:
    """S2-34: escalate after too many attempts; restart when nothing can be read; reassign when those who worked are
    gone (the reason speaks of agents, workers, heartbeats, leases); resume otherwise."""
    if attempts > most:
        return "escalate"
    if source == "nothing":
        return "restart"
    return "reassign" if _LOST_HANDS.search(reason) else "resume"


def plan_for(value: Any, source: str, source_id: str, age: float | None, strategy: str) -> Plan:
    """The plan for a state as it was found (`value` may be anything that JSON holds)."""
    state = value if isinstance(value, dict) else {}
    ids: dict[str, list[str]] = {"completed": [], "in_progress": [], "pending": [], "failed": []}
    for id, status in _tasks(state.get("tasks")):
        ids[_kind(status)].append(id)
    agents = state.get("agents")
    hands = len(agents) if isinstance(agents, list | dict) else 0
    counts = {kind: len(found) for kind, found in ids.items()}
    total = sum(counts.values())
    each = state.get("task_seconds")
    seconds = each if isinstance(each, int | float) and not isinstance(each, bool) and 0 <= each <= 1e9 else 1.0
    left = counts["in_progress"] + counts["pending"]
    return Plan(
        resume_from=source,
        source_id=source_id,
        confidence=confidence(age, total > 0, hands > 0),
        **counts,
        agents=hands,
        progress=round(counts["completed"] / total, 4) if total else 0.0,
        next_actions=_actions(strategy, source, source_id, counts),
        estimated_time=round(left * seconds / max(1, hands), 3),
        requeue=tuple(ids["in_progress"]),
    )


def _tasks(tasks: Any) -> Iterator[tuple[str, str]]:
    """Ids and statuses of {id: status}, {id: {"status": ...}}, [{"id": ..., "status": ...}] or {status: [ids]}."""
    if isinstance(tasks, list):
        for i, one in enumerate(tasks):
            if isinstance(one, dict):
                yield str(one.get("id", i)), str(one.get("status", ""))
            else:
                yield str(one), ""
    elif isinstance(tasks, dict):
        for key, one in tasks.items():
            if isinstance(one, list):
                yield from ((str(id), key) for id in one)
            else:
                yield key, str(one.get("status", "")) if isinstance(one, dict) else str(one)


def _kind(status: str) -> str:
    word = status.lower()
    if word in _DONE:
        return "completed"
    if word in _OPEN:
        return "in_progress"
    return "failed" if word in _OVER else "pending"


def _actions(strategy: str, source: str, source_id: str, counts: dict[str, int]) -> tuple[str, ...]:
    if strategy == "restart":
        return ("begin anew: no state, checkpoint or snapshot can be read",)
    found = [] if source == "state" else [f"restore the state from {source} {source_id}"]
    if counts["in_progress"]:
        whom = "to other agents" if strategy == "reassign" else "to the queue"
        found.append(f"give {counts['in_progress']} tasks in progress {whom}")
    if counts["pending"]:
        found.append(f"go on with {counts['pending']} waiting tasks")
    return tuple(found) or ("go on: nothing was left open",)
