"""How what remote agents say is read: nothing is believed before it was looked at (S1-03, cases 76, 89, 90, 93)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, names, number, one_of
from swarmops.runtime.tasks import Outcome

MOST = 100  # tasks that one agent may have at once


@dataclass(frozen=True, slots=True)
class Introduction:
    """What an agent says of itself. holds: id -> attempt of what it still works on; None: it has just started."""

    id: str
    caps: tuple[str, ...]
    kinds: tuple[str, ...]
    facts: dict[str, Any]
    queue: str
    capacity: int
    config: int
    holds: dict[str, int] | None

    @classmethod
    def of(cls, said: Mapping[str, Any], queues: tuple[str, ...], made: Callable[[], str]) -> Introduction:
        """Raises Invalid. `made` gives an id to one that brings none."""
        id = name(said["agent_id"], "agent_id") if said.get("agent_id") is not None else made()
        able, facts = abilities(said.get("capabilities"))
        more = said.get("facts")
        if more is not None and not isinstance(more, Mapping):
            raise Invalid("facts", "is not an object")
        kinds = names(_list(said.get("kinds"), "kinds"), "kinds")
        queue = said.get("queue") if said.get("queue") is not None else queues[0]
        if queue not in queues:
            raise Invalid("queue", f"{str(queue)[:63]!r} is none of {', '.join(queues)}")
        facts = json.loads(wire.dumps({**facts, **(more or {})}, "facts", 32 * 1024))
        return cls(
            id,
            names([*able, *kinds], "capabilities"),
            kinds,
            facts,
            str(queue),
            whole(said.get("capacity", 1), "capacity", 1, MOST),
            whole(said.get("config_version", 0), "config_version", 0, 1 << 53),
            held(said["holds"]) if said.get("holds") is not None else None,
        )


def abilities(value: Any) -> tuple[list[str], dict[str, Any]]:
    """Capabilities and facts of `["gpu"]` or `{"gpu": true, "cpu_cores": 8}`: numbers and texts are facts."""
    if value is None:
        return [], {}
    if not isinstance(value, Mapping):
        return list(names(value, "capabilities")), {}
    if len(value) > 64:
        raise Invalid("capabilities", f"has {len(value)} names, the most is 64")
    able = [name(k, "capabilities") for k, v in value.items() if v is True or (isinstance(v, list) and v)]
    facts = {name(k, "capabilities"): v for k, v in value.items() if not isinstance(v, bool) and v is not None}
    return able, facts


def held(value: Any) -> dict[str, int]:
    """`[{"task_id": .., "attempt": ..}]` or `{id: attempt}` as the latter. Raises Invalid."""
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        pairs = [(one.get("task_id"), one.get("attempt")) for one in value]
    else:
        raise Invalid("holds", "is not a list of objects with task_id and attempt")
    if len(pairs) > MOST:
        raise Invalid("holds", f"has {len(pairs)} tasks, the most is {MOST}")
    return {name(id, "holds"): whole(attempt, "attempt", 1, 1 << 31) for id, attempt in pairs}


def whole(value: Any, path: str, low: int, high: int) -> int:
    """A whole number within the bounds. Raises Invalid."""
    if not isinstance(value, int):
        raise Invalid(path, f"{str(value)[:80]!r} is not a whole number from {low} to {high}")
    return int(number(value, path, low, high))


def _list(value: Any, path: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Invalid(path, "is not a list of names")
    return value


def ids(value: Any) -> list[str]:
    """Task ids. Raises Invalid."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > 1000:
        raise Invalid("holds", "is not a list of at most 1000 task ids")
    return [name(one, "holds") for one in value]


def outcome(said: Mapping[str, Any]) -> tuple[Outcome, str]:
    """What became of a task, and its status. Raises Invalid, TooLarge."""
    id, attempt = name(said.get("task_id"), "task_id"), whole(said.get("attempt"), "attempt", 1, 1 << 31)
    status = one_of(said.get("status", "completed"), ("completed", "failed"), "status")
    if status == "completed":
        return Outcome(id, attempt, wire.dumps(said.get("result"), "result")), status
    error, after = said.get("error"), said.get("retry_after")
    text = error if isinstance(error, str) and error else "it failed without a reason"
    again = said.get("retry", True) is not False
    wait = None if after is None else number(after, "retry_after", 0, 86400)
    return Outcome(id, attempt, error=text[:10_000], retry=again, after=wait), status
