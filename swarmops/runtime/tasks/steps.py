"""The steps of a workflow, and what is checked before anything is sent (S2-08): all faults at once."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name

MOST_STEPS = 1000
MOST_EDGES = 10_000
SHOWN = 20  # faults named in one message


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a workflow. `after` names the steps that must be done before; their results come with the claim.

    The rest is as in `rt.tasks.submit`; times are seconds. `expires` counts from the submission of the workflow.
    """

    name: str
    kind: str
    args: Any = None
    after: Sequence[str] = ()
    needs: Sequence[str] = ()
    priority: int = 5
    expires: float | None = None
    timeout: float | None = None
    retries: int = 3
    backoff: float = 1.0

    @classmethod
    def of(cls, value: object, path: str = "step") -> Step:
        """From a mapping, as a file gives it. Raises Invalid for unknown and missing fields."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise Invalid(path, "is not a mapping with name and kind")
        known = [f.name for f in fields(cls)]
        unknown = [f"{str(k)[:60]!r}{_near(str(k), known)}" for k in value if k not in known]
        missing = [k for k in ("name", "kind") if k not in value]
        if unknown or missing:
            said = [f"has an unknown field {k}" for k in unknown] + [f"lacks {k}" for k in missing]
            raise Invalid(path, "; ".join(said))
        given = dict(value)
        if isinstance(given.get("after"), str):
            given["after"] = [given["after"]]
        return cls(**given)


def checked(steps: Iterable[Step | Mapping[str, Any]]) -> list[Step]:
    """The steps, parents before children. Raises one Invalid that names every fault, cycles as `a -> b -> a`."""
    if isinstance(steps, str | bytes | Mapping) or not isinstance(steps, Iterable):
        raise Invalid("steps", "is not a list of steps")
    given = list(steps)
    if not given or len(given) > MOST_STEPS:
        raise Invalid("steps", f"there are {len(given)}, a workflow has 1 to {MOST_STEPS}")
    faults: list[str] = []
    found: list[Step] = []
    for i, one in enumerate(given):
        try:
            found.append(Step.of(one, f"steps[{i}]"))
        except Invalid as e:
            faults.append(str(e))
    faults += _names(found)
    if not faults:
        faults += _edges(found)
    if not faults:
        order, cycle = _sorted(found)
        if not cycle:
            return order
        faults.append("steps wait for each other: " + " -> ".join(cycle))
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    raise Invalid("", "; ".join(faults[:SHOWN] + more))


def task_id(workflow: str, step: str) -> str:
    """`<workflow>-<step>`; what is longer than a name may be is cut, and a digest keeps it apart from others."""
    whole = f"{workflow}-{step}"
    if len(whole) <= 63:
        return whole
    return f"{whole[:50]}-{hashlib.sha256(f'{workflow}/{step}'.encode()).hexdigest()[:12]}"


def _names(steps: list[Step]) -> list[str]:
    faults: list[str] = []
    seen: dict[str, int] = {}
    for i, step in enumerate(steps):
        try:
            name(step.name, f"steps[{i}].name")
        except Invalid as e:
            faults.append(str(e))
            continue
        if step.name in seen:
            faults.append(f"steps[{i}].name: {step.name} is the name of steps[{seen[step.name]}] too")
        seen.setdefault(step.name, i)
    return faults


def _edges(steps: list[Step]) -> list[str]:
    faults: list[str] = []
    known = [s.name for s in steps]
    have, edges = set(known), 0
    for step in steps:
        path = f"{step.name}.after"
        if isinstance(step.after, str) or not isinstance(step.after, list | tuple | set | frozenset):
            faults.append(f"{path}: is not a list of names")
            continue
        edges += len(step.after)
        if len(set(map(str, step.after))) < len(step.after):
            faults.append(f"{path}: names a step twice")
        for parent in step.after:
            if parent == step.name:
                faults.append(f"{path}: {step.name} waits for itself")
            elif parent not in have:
                faults.append(f"{path}: there is no step {str(parent)[:63]!r}{_near(str(parent), known)}")
    if edges > MOST_EDGES:
        faults.append(f"the steps have {edges} dependencies, the most is {MOST_EDGES}")
    return faults


def _sorted(steps: list[Step]) -> tuple[list[Step], list[str]]:
    """Parents first, in the given order where free; or a shortest-found cycle, its first name again at its end."""
    by_name = {s.name: s for s in steps}
    left = {s.name: len(s.after) for s in steps}
    children: dict[str, list[str]] = {n: [] for n in by_name}
    for step in steps:
        for parent in step.after:
            children[parent].append(step.name)
    free = [n for n, count in left.items() if not count]
    for one in free:  # grows while it is walked
        for child in children[one]:
            left[child] -= 1
            if not left[child]:
                free.append(child)
    if len(free) == len(steps):
        return [by_name[n] for n in free], []
    stuck = {n for n, count in left.items() if count}
    path: list[str] = [next(s.name for s in steps if s.name in stuck)]
    while True:  # each stuck step has a stuck parent: going up must come back to where it was
        parent = next(p for p in by_name[path[-1]].after if p in stuck)
        if parent in path:
            return [], [parent, *reversed(path[path.index(parent) :])]
        path.append(parent)


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
