"""The steps of a workflow, and what is checked before anything is sent (S2-08): all faults at once."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name
from swarmops.runtime.tasks.packing import packed
from swarmops.runtime.tasks.records import TaskSpec

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


FIELDS = tuple(f.name for f in fields(Step))
WRONG_TYPE = "is of the wrong type"
OF_TASKS = ("kind", "args", "needs", "priority", "expires", "timeout", "retries", "backoff")


@dataclass(frozen=True, slots=True)
class StepFault:
    """One mistake in a workflow. step: which one, from 0; field: of that step; item: in the list of that field."""

    path: str
    sentence: str
    hint: str = ""
    step: int | None = None
    field: str = ""
    item: int | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" + (f" ({self.hint})" if self.hint else "")


class WrongSteps(Invalid):
    """Every mistake there is in the steps of a workflow."""

    def __init__(self, faults: Sequence[StepFault]):
        self.faults = list(faults)
        super().__init__("", "; ".join(self._told()))

    def lines(self) -> list[str]:
        return self._told()

    def _told(self) -> list[str]:
        more = [f"and {len(self.faults) - SHOWN} more"] if len(self.faults) > SHOWN else []
        return [*map(str, self.faults[:SHOWN]), *more]


def checked(steps: Iterable[Step | Mapping[str, Any]]) -> list[Step]:
    """The steps, parents before children. Raises WrongSteps, which names every fault."""
    order, faults = examined(steps)
    if faults:
        raise WrongSteps(faults)
    return order


def examined(steps: Any) -> tuple[list[Step], list[StepFault]]:
    """The steps, parents before children, and every fault: a fault in one place hides none in another. Cycles are told
    as `a -> b -> a`."""
    if isinstance(steps, str | bytes | Mapping) or not isinstance(steps, Iterable):
        return [], [StepFault("steps", "is not a list of steps")]
    given = list(steps)
    if not given or len(given) > MOST_STEPS:
        return [], [StepFault("steps", f"there are {len(given)}, a workflow has 1 to {MOST_STEPS}")]
    faults: list[StepFault] = []
    drafts = [_Draft(i, one, faults) for i, one in enumerate(given)]
    by_name: dict[str, _Draft] = {}
    for draft in drafts:
        draft.named(by_name, faults)
    parents = {n: draft.parents(by_name, faults) for n, draft in by_name.items()}
    for draft in drafts:
        if by_name.get(draft.path) is not draft:
            draft.parents(by_name, faults)  # looked at as well, though nothing can wait for it
        faults += draft.wrong_fields()
    edges = sum(map(len, parents.values()))
    if edges > MOST_EDGES:
        faults.append(StepFault("steps", f"the steps have {edges} dependencies, the most is {MOST_EDGES}"))
        return [], faults
    order, cycles = _sorted(parents)
    for cycle in cycles:
        at = by_name[cycle[0]].at
        text = f"steps wait for each other: {' -> '.join(cycle)}"
        faults.append(StepFault(f"{cycle[0]}.after", text, step=at, field="after"))
    return [by_name[n].step for n in order], faults


class _Draft:
    """A step as it was given, with as much of it as can be understood. `path` is how errors name it."""

    def __init__(self, at: int, given: Any, faults: list[StepFault]):
        self.at, self.path, self.lacks = at, f"steps[{at}]", set[str]()
        self.step = given if isinstance(given, Step) else Step("", "")
        if isinstance(given, Step):
            return
        if not isinstance(given, Mapping):
            self.lacks = set(FIELDS)
            faults.append(self._fault("", "is not a mapping with name and kind"))
            return
        for key in given:
            if key not in FIELDS:
                shown = f"has an unknown field {str(key)[:60]!r}"
                faults.append(StepFault(self.path, shown, _near(str(key), FIELDS), at, str(key)))
        self.lacks = {k for k in ("name", "kind") if k not in given}
        faults += [StepFault(self.path, f"lacks {k}", step=at) for k in ("name", "kind") if k in self.lacks]
        known = {k: v for k, v in given.items() if k in FIELDS}
        if isinstance(known.get("after"), str):
            known["after"] = [known["after"]]
        self.step = Step(**{"name": "", "kind": "", **known})

    def _fault(self, field: str, sentence: str, hint: str = "", item: int | None = None) -> StepFault:
        return StepFault(f"{self.path}.{field}" if field else self.path, sentence, hint, self.at, field, item)

    def named(self, by_name: dict[str, _Draft], faults: list[StepFault]) -> None:
        """Take its place among the steps that others can wait for: the first of a name has it."""
        if "name" in self.lacks:
            return
        try:
            own = name(self.step.name, "name")
        except Invalid as e:
            faults.append(self._fault("name", _sentence(e)))
            return
        if own in by_name:
            faults.append(self._fault("name", f"{own} is the name of steps[{by_name[own].at}] too"))
            return
        self.path = own
        by_name[own] = self

    def parents(self, by_name: Mapping[str, _Draft], faults: list[StepFault]) -> list[str]:
        """The steps it waits for, those that there are."""
        after, found = self.step.after, dict[str, None]()
        if isinstance(after, str) or not isinstance(after, list | tuple | set | frozenset):
            faults.append(self._fault("after", "is not a list of names"))
            return []
        if len(set(map(str, after))) < len(after):
            faults.append(self._fault("after", "names a step twice"))
        for i, parent in enumerate(after):
            if parent == self.path:
                faults.append(self._fault("after", f"{parent} waits for itself", item=i))
            elif isinstance(parent, str) and parent in by_name:
                found[parent] = None
            else:
                shown = f"there is no step {str(parent)[:63]!r}"
                faults.append(self._fault("after", shown, _near(str(parent), list(by_name)), i))
        return list(found)

    def wrong_fields(self) -> list[StepFault]:
        """What is wrong with it as a task: all at once when all is well, else field by field."""
        values = {f: getattr(self.step, f) for f in OF_TASKS if f not in self.lacks}
        if _wrong(values) is None:
            return []
        found = []
        for field, value in values.items():
            if e := _wrong({field: value}):
                path, said = (e.path, _sentence(e)) if e.path.startswith(field) else (field, WRONG_TYPE)
                found.append(StepFault(f"{self.path}.{path}", said, step=self.at, field=field))
        return found


def _wrong(values: Mapping[str, Any]) -> Invalid | None:
    """What a task with these fields is refused for."""
    try:
        needs = values.get("needs", ())
        given = {"kind": "any", **values, "needs": needs if isinstance(needs, str) else tuple(needs)}
        packed(TaskSpec(**given))
    except Invalid as e:
        return e
    except TypeError:
        return Invalid("", WRONG_TYPE)
    return None


def _sentence(e: Invalid) -> str:
    return str(e).removeprefix(f"{e.path}: ")


def task_id(workflow: str, step: str) -> str:
    """`<workflow>-<step>`; what is longer than a name may be is cut, and a digest keeps it apart from others."""
    whole = f"{workflow}-{step}"
    if len(whole) <= 63:
        return whole
    return f"{whole[:50]}-{hashlib.sha256(f'{workflow}/{step}'.encode()).hexdigest()[:12]}"


def _sorted(parents: Mapping[str, list[str]]) -> tuple[list[str], list[list[str]]]:
    """Names, parents first and in the given order where free; and the cycles, each with its first name again at its
    end, none of them only a way round another."""
    left = {n: list(p) for n, p in parents.items()}
    cycles: list[list[str]] = []
    while len(order := _free(left)) < len(left) and len(cycles) < SHOWN:
        stuck = left.keys() - set(order)
        path = [next(n for n in left if n in stuck)]
        while True:  # each stuck step has a stuck parent: going up must come back to where it was
            parent = next(p for p in left[path[-1]] if p in stuck)
            if parent in path:
                break
            path.append(parent)
        cycles.append([parent, *reversed(path[path.index(parent) :])])
        left[cycles[-1][1]].remove(parent)  # opened, the next one is seen
    return order, cycles


def _free(parents: Mapping[str, list[str]]) -> list[str]:
    """What can be reached without waiting for itself, in order."""
    open_ = {n: len(p) for n, p in parents.items()}
    children: dict[str, list[str]] = {n: [] for n in parents}
    for one, waits in parents.items():
        for parent in waits:
            children[parent].append(one)
    free = [n for n, count in open_.items() if not count]
    for one in free:  # grows while it is walked
        for child in children[one]:
            open_[child] -= 1
            if not open_[child]:
                free.append(child)
    return free


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""
