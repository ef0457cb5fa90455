"""A workflow of four steps, and hands that do its work."""

from __future__ import annotations

from typing import Any

from swarmops.runtime import Runtime
from swarmops.runtime.op import Op
from swarmops.runtime.tasks.records import Claim, Outcome
from swarmops.runtime.tasks.workflows import Step, Workflow

DIAMOND = [Step("top", "k"), Step("left", "k", after=["top"]), Step("right", "k", after=["top"]),
           Step("end", "k", after=["left", "right"])]  # fmt: skip


def claim(rt: Runtime, want: int = 10, **more: Any) -> list[Claim]:
    return rt.tasks.step("w", want=want, **more).tasks


def finish(rt: Runtime, claims: list[Claim], value: Any = None) -> None:
    assert not rt.tasks.step("w", [Outcome.done(c, c.id if value is None else value) for c in claims]).refused


def drain(rt: Runtime) -> list[str]:
    """Does all there is to do, and says in which order."""
    order: list[str] = []
    while claims := claim(rt):
        order += [c.id for c in claims]
        finish(rt, claims)
    return order


def states(found: Workflow) -> dict[str, str]:
    return {s.name: s.status for s in found.steps}


def keys(rt: Runtime, part: str) -> Any:
    """How many elements a hash of the queue has."""
    return rt.run(Op("", ("x",), ("HLEN", rt.keys.queue("default", part))))
