"""Workflows: tasks that wait for each other (S2-08, S2-09).

All of a workflow lies in Redis from its submission on: the tasks, who waits for whom, and what ended. Whatever is
restarted, it goes on where it was, and what is done is not done again. Free steps run at the same time; what waited
for a step that failed for good is stopped, with the reason.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.errors import Invalid, Late
from swarmops.runtime.flow import is_async
from swarmops.runtime.ids import name, new_id, number
from swarmops.runtime.op import Mode, Op, Room, operation
from swarmops.runtime.tasks.packing import packed, queue_keys
from swarmops.runtime.tasks.records import Submitted, TaskSpec
from swarmops.runtime.tasks.steps import Step, checked, task_id

__all__ = ["Step", "StepState", "Summary", "Workflow", "Workflows"]
OPEN = ("waiting", "delayed", "ready", "running")
AGAIN = 15.0  # seconds after which a waiter asks anew, in case Redis was restarted between an answer and its arrival


@dataclass(frozen=True, slots=True)
class StepState:
    """A step: task is its id; status as of any task. Times are ms of Redis' clock, 0: not yet."""

    name: str
    task: str
    kind: str
    status: str
    after: tuple[str, ...] = ()
    result: Any = None
    error: str | None = None
    attempt: int = 0
    failures: int = 0
    worker: str = ""
    progress: Any = None
    started_ms: int = 0
    ended_ms: int = 0


@dataclass(frozen=True, slots=True)
class Workflow:
    """status: running, done, failed (a step is dead, expired or stopped, and nothing is open any more), cancelled."""

    id: str
    name: str
    queue: str
    status: str
    open: int
    submitted_ms: int
    steps: tuple[StepState, ...] = field(default_factory=tuple)

    @property
    def results(self) -> dict[str, Any]:
        """What the steps that are done gave, by name."""
        return {s.name: s.result for s in self.steps if s.status == "done"}

    def step(self, which: str) -> StepState:
        """Raises Invalid."""
        found = next((s for s in self.steps if s.name == which), None)
        if found is None:
            raise Invalid("step", f"workflow {self.id} has no step {which[:63]!r}")
        return found

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of the list. open: steps that have not ended; those given up as dead count until they are purged."""

    id: str
    name: str
    steps: int
    open: int
    submitted_ms: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Workflows(Room[Mode]):
    """Workflows of a queue. All steps of one lie in the same queue."""

    def _op(self, script: str, queue: str, *args: Any, **more: Any) -> Op[Any]:
        return Op(script, queue_keys(self.keys, queue, script), args, **more)

    @operation
    def submit(
        self, name: str, steps: Iterable[Step | Mapping[str, Any]], id: str | None = None, queue: str = "default"
    ) -> Op[Submitted]:
        """Accept all steps, or none. Raises Invalid with every fault, Full, Exists (a step's task id is taken).

        The same id again changes nothing and is not new.
        """
        which = _named(id or new_id(), "id")
        order = checked(steps)
        args = _packed(which, _named(name, "name"), order)
        op = self._op("workflow_submit", queue, *args, safe=True, durable=True)
        return _read(op, lambda reply: Submitted(which, reply == 1))

    @operation
    def show(self, id: str, queue: str = "default") -> Op[Workflow]:
        """All that is known of it, the results of its steps included. Raises NotFound."""
        op = self._op("workflow_show", queue, _named(id, "id"), "", safe=True)
        return _read(op, lambda reply: _workflow(id, queue, reply))

    @operation
    def list(self, queue: str = "default", limit: int = 100, offset: int = 0) -> Op[list[Summary]]:
        """The newest first."""
        most, first = int(number(limit, "limit", 1, 1000)), int(number(offset, "offset", 0, 1e9))
        return _read(self._op("workflow_list", queue, first, most, safe=True), _summaries)

    @operation
    def cancel(self, id: str, queue: str = "default", why: str = "the workflow was cancelled") -> Op[int]:
        """End all its open steps as cancelled: how many those were. Raises NotFound."""
        return self._op("workflow_cancel", queue, _named(id, "id"), wire.dumps(why[:1000]), safe=True)

    def wait(self, id: str, timeout: float = 60.0, queue: str = "default") -> Any:
        """Wait for its end, pushed by Redis: the Workflow (awaitable on an AsyncRuntime). Raises Late, NotFound."""
        number(timeout, "timeout", 0, 1e7)
        client = new_id()
        ask = _read(
            self._op("workflow_show", queue, _named(id, "id"), client, safe=True),
            lambda reply: _workflow(id, queue, reply),
        )
        end = _End(self, client, ask, queue, timeout)
        return end.awaited() if is_async(self.runtime) else end.waited()


class _End:
    """The end of a workflow, waited for: the outcome of each open step comes to a list of the waiter's own."""

    def __init__(self, room: Workflows[Any], client: str, ask: Op[Workflow], queue: str, timeout: float):
        self.room, self.client, self.ask, self.queue, self.timeout = room, client, ask, queue, timeout
        self.runtime: Any = room.runtime
        self.reply = room.keys.queue(queue, "reply", client)
        self.end = time.monotonic() + timeout

    def waited(self) -> Workflow:
        while True:
            found: Workflow = self.runtime.run(self.ask)
            if not found.open:
                return found
            if time.monotonic() >= self.end:
                self.runtime.run_many(self._forget(found), patience=0)
                raise self._late(found)
            again = time.monotonic() + AGAIN
            for _ in range(found.open):
                if self.runtime.run(self._pop(again)) is None:
                    break

    async def awaited(self) -> Workflow:
        while True:
            found: Workflow = await self.runtime.run(self.ask)
            if not found.open:
                return found
            if time.monotonic() >= self.end:
                await self.runtime.run_many(self._forget(found), patience=0)
                raise self._late(found)
            again = time.monotonic() + AGAIN
            for _ in range(found.open):
                if await self.runtime.run(self._pop(again)) is None:
                    break

    def _pop(self, again: float) -> Op[Any]:
        seconds = max(0.01, round(min(again, self.end) - time.monotonic(), 3))
        return Op("", (self.reply,), ("BLPOP", self.reply, seconds), safe=True, block=seconds)

    def _forget(self, found: Workflow) -> list[Op[Any]]:
        keys = queue_keys(self.room.keys, self.queue, "unwait")
        return [Op("unwait", keys, (s.task, self.client), safe=True) for s in found.steps if s.status in OPEN]

    def _late(self, found: Workflow) -> Late:
        return Late(f"workflow {found.id} has {found.open} open steps after {self.timeout:g} s")


# -- to Redis and back


def _packed(which: str, title: str, order: list[Step]) -> list[Any]:
    """Arguments of workflow_submit. Raises Invalid with every fault."""
    ids = {s.name: task_id(which, s.name) for s in order}
    children: dict[str, list[str]] = {s.name: [] for s in order}
    for step in order:
        for parent in step.after:
            children[parent].append(ids[step.name])
    faults: list[str] = []
    items: list[Any] = []
    for s in order:
        try:
            needs: Any = s.needs if isinstance(s.needs, str) else tuple(s.needs)
            spec = TaskSpec(
                s.kind, s.args, ids[s.name], s.priority, needs, 0.0, s.expires, s.timeout, s.retries, s.backoff
            )
            parents = [ids[p] for p in s.after]
            items += [*packed(spec, which), len(parents), " ".join(children[s.name]), " ".join(parents)]
        except Invalid as e:
            faults.append(f"{s.name}.{e}")
        except TypeError:
            faults.append(f"{s.name}: a field has a value of the wrong type")
    if faults:
        more = [f"and {len(faults) - 20} more"] if len(faults) > 20 else []
        raise Invalid("", "; ".join(faults[:20] + more))
    shape = [{"name": s.name, "id": ids[s.name], "kind": s.kind, "after": sorted(s.after)} for s in order]
    body = wire.dumps({"name": title, "last": ids[order[-1].name], "steps": shape})
    return [which, body[:-1], len(order), *items]


def _workflow(id: str, queue: str, reply: list[Any]) -> Workflow:
    text, open_, rows = reply
    known = json.loads(text)
    steps = tuple(_step(one, *row) for one, row in zip(known["steps"], rows))
    status = "running"
    if not open_:
        ends = {s.status for s in steps}
        status = "done" if ends <= {"done"} else "cancelled" if "cancelled" in ends else "failed"
    return Workflow(id, known["name"], queue, status, open_, known["submitted"], steps)


def _step(one: dict[str, Any], outcome: bytes, state: bytes, fails: bytes, told: bytes, held: bytes) -> StepState:
    found: dict[str, Any] = json.loads(outcome.decode("utf-8", "replace")) if outcome else {}
    holder = held.decode().split(" ") if held else ["", "0", "0"]
    failures, _, error = fails.partition(b"\n")
    status = state.decode() or found.get("status") or "unknown"
    return StepState(
        one["name"],
        one["id"],
        one["kind"],
        status,
        tuple(one["after"]),
        found.get("result"),
        found.get("error") or (json.loads(error) if error else None),
        found.get("attempt") or int(holder[1]),
        int(failures or 0),
        found.get("worker") or holder[0],
        _progress(told),
        found.get("started") or int(holder[2]),
        found.get("ended") or 0,
    )


def _progress(told: bytes) -> Any:
    try:
        return json.loads(told) if told else None
    except ValueError:
        return told.decode("utf-8", "replace")


def _summaries(reply: list[Any]) -> list[Summary]:
    found = []
    for i in range(0, len(reply), 3):
        known = json.loads(reply[i + 1])
        found.append(
            Summary(reply[i].decode(), known["name"], len(known["steps"]), int(reply[i + 2]), known["submitted"])
        )
    return found


def _named(value: object, path: str) -> str:
    return name(value, path)


def _read(op: Op[Any], read: Any) -> Op[Any]:
    return replace(op, read=read)
