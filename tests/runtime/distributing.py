"""Swarms that work, and what a leader gives them."""

from __future__ import annotations

from swarmops.runtime import Runtime


def active(rt: Runtime, id: str, *capabilities: str, priority: str = "normal") -> str:
    rt.swarms.create("to work", id=id, metadata={"capabilities": list(capabilities), "priority": priority})
    rt.swarms.status(id, "active")
    return id


def given(rt: Runtime, term: int, batch: int = 100) -> dict[str, str]:
    return {task: swarm for task, swarm, _ in rt.distribution.cycle(term, batch).given}
