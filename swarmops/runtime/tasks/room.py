"""Tasks: a queue with priorities, capabilities, leases, retries and dead letters (S0-22, S2-04 to S2-09).

Every call is one script. Submitting and stepping may be repeated: ids make it harmless, attempt numbers fence what is
late. What the keys hold is written in scripts/submit.lua and step.lua.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.errors import NotFound
from swarmops.runtime.flow import Steps, flow, is_async
from swarmops.runtime.ids import name, names, number, one_of
from swarmops.runtime.op import Executor, Mode, Op, Room, operation
from swarmops.runtime.tasks.packing import claimed, depth, described, pack, packed, queue_keys
from swarmops.runtime.tasks.records import (
    STATUSES,
    Claim,
    Claimed,
    Depth,
    Outcome,
    Submitted,
    Task,
    TaskFailed,
    TaskSpec,
)
from swarmops.runtime.tasks.waiting import AsyncWaits, Waits

__all__ = ["Claim", "Claimed", "Depth", "Outcome", "Submitted", "Task", "TaskFailed", "TaskSpec", "Tasks", "queue_keys"]

BULK = 1000  # tasks in one script: some milliseconds of Redis' time
FLUSH = 10  # scripts in one flush
OTHER = 1 << 31  # a number of held tasks that differs from Redis' own, whatever that is


class Tasks(Room[Mode]):
    """Task queues. `queue` names one; its keys lie on one shard."""

    def __init__(self, runtime: Executor):
        super().__init__(runtime)
        self._runtime: Any = runtime
        self._waits: Waits | AsyncWaits | None = None

    def _op(self, script: str, queue: str, *args: Any, **more: Any) -> Op[Any]:
        return Op(script, queue_keys(self.keys, queue, script), args, **more)

    # -- for those who have work to do

    @operation
    def submit(
        self,
        kind: str,
        args: Any = None,
        *,
        id: str | None = None,
        queue: str = "default",
        priority: int = 5,
        needs: Collection[str] = (),
        delay: float = 0.0,
        expires: float | None = None,
        timeout: float | None = None,
        retries: int = 3,
        backoff: float = 1.0,
        meta: dict[str, Any] | None = None,
    ) -> Op[Submitted]:
        """Accept one task; see TaskSpec. Raises Full, Invalid."""
        item = pack(kind, args, id, priority, needs, delay, expires, timeout, retries, backoff, meta)
        which = item[0]
        return Op(
            "submit", queue_keys(self.keys, queue, "submit"), (), lambda reply: Submitted(which, reply[0] == 1),
            True, True, 0.0, (item,),
        )  # fmt: skip

    @flow
    def submit_many(self, specs: Iterable[TaskSpec], queue: str = "default") -> Steps[list[Submitted]]:
        """Accept many, 1000 a script.

        Raises the first error; what was accepted before it stays (submit the same ids again to go on). Full refuses
        1000 at a time.
        """
        items = [packed(s) for s in specs]
        keys = queue_keys(self.keys, queue, "submit")
        parts = [tuple(items[at : at + BULK]) for at in range(0, len(items), BULK)]
        ops = [Op("submit", keys, (), list, True, True, 0.0, part) for part in parts]
        new: list[int] = []
        for at in range(0, len(ops), FLUSH):
            for reply in (yield ops[at : at + FLUSH]):
                new += reply
        return [Submitted(item[0], n == 1) for item, n in zip(items, new)]

    def result(self, id: str | Submitted, timeout: float = 30.0, *, queue: str = "default") -> Any:
        """The result of a task, waited for without polling; awaitable on an AsyncRuntime.

        Raises TaskFailed, Late (it goes on; ask again), NotFound.
        """
        which = id if isinstance(id, str) else id.id
        return self._waiting().outcome(which, None, timeout, queue)

    def submit_and_wait(self, kind: str, args: Any = None, *, wait: float = 30.0, queue: str = "default",
                        **more: Any) -> Any:  # fmt: skip
        """`submit` and `result` in one flush. Raises what they raise."""
        op = self.submit.op(kind, args, queue=queue, **more)
        return self._waiting().outcome(op.items[0][0], op, wait, queue)

    def _waiting(self) -> Any:
        if self._waits is None:
            here = is_async(self._runtime)
            self._waits = AsyncWaits(self) if here else Waits(self)
        return self._waits

    # -- for workers

    @operation
    def step(
        self,
        worker: str,
        results: Sequence[Outcome] = (),
        *,
        want: int = 0,
        caps: Collection[str] = (),
        lease_ms: int = 10_000,
        queue: str = "default",
        released: Collection[str] = (),
        holding: Collection[str] | int | None = None,
        exactly: bool = False,
    ) -> Op[Claimed]:
        """Report outcomes, give tasks back, renew the lease, claim up to `want` more: all in one.

        holding: the ids this worker thinks it holds, those in `results` included, so that it hears of what it lost.
        Redis compares their number, which is cheap, and enough for who says it again and again; exactly: the ids.
        """
        args: list[Any] = [name(worker, "worker"), int(lease_ms), int(number(want, "want", 0, 10_000))]
        args += [",".join(names(caps, "caps")) if caps else ""]
        many = holding if isinstance(holding, int) else -1 if holding is None else len(holding)
        args += [OTHER if exactly and many > 0 else many, len(results)]
        for r in results:
            args += r.packed()
        args += (len(released), *released)
        known = None if holding is None or isinstance(holding, int) else frozenset(holding)
        known = known and known - {r.id for r in results} - set(released)
        return self._op("step", queue, *args, read=lambda reply: claimed(reply, known), safe=True)

    @operation
    def beat(self, worker: str, *, lease_ms: int = 10_000, queue: str = "default",
             holding: Collection[str] | int | None = None) -> Op[Claimed]:  # fmt: skip
        """Renew the lease on everything this worker holds."""
        return self.step.op(worker, lease_ms=lease_ms, queue=queue, holding=holding)

    @operation
    def idle(self, caps: Collection[str] = (), *, seconds: float = 1.0, queue: str = "default") -> Op[bool]:
        """Wait until there may be something for such a worker, at most so long: True if woken."""
        base: str = self.keys.queue(name(queue, "queue"), "wake")
        wakes: tuple[str, ...] = (base, *(f"{base}:{c}" for c in names(caps, "caps")))
        return Op("", wakes, ("BLPOP", *wakes, seconds), lambda reply: reply is not None, safe=True, block=seconds)

    @operation
    def leave(self, worker: str, *, queue: str = "default") -> Op[int]:
        """A worker goes: what it holds is ready at once. How many that were."""
        return self._op("leave", queue, name(worker, "worker"), safe=True)

    @operation
    def progress(self, id: str, attempt: int, fraction: float, text: str = "", *, queue: str = "default") -> Op[None]:
        """What its worker says of a running task. Raises LeaseLost."""
        said = wire.dumps({"fraction": number(fraction, "fraction", 0, 1), "text": text}, "text", 10_000)
        return self._op("progress", queue, name(id, "id"), int(attempt), said, read=lambda _: None, safe=True)

    # -- for those who look after it

    @operation
    def get(self, id: str, *, queue: str = "default") -> Op[Task]:
        """All that is known of a task. Raises NotFound; one that ended is forgotten after a day (see configure)."""

        def read(reply: Any) -> Task:
            task = described(reply[0])
            if task is None:
                raise NotFound(f"there is no task {id}")
            return task

        return self._op("task_get", queue, read=read, safe=True, items=((name(id, "id"),),))

    @operation
    def list(self, status: str = "ready", *, limit: int = 100, offset: int = 0, queue: str = "default") -> Op[_Tasks]:
        """Tasks of one status: ready as they will be claimed, delayed as they are due, ended ones newest first."""
        one_of(status, STATUSES, "status")
        number(limit, "limit", 1, 10_000)
        number(offset, "offset", 0, 1_000_000)
        return self._op("task_list", queue, status, int(offset), int(limit), read=_listed, safe=True)

    @operation
    def dead(self, *, limit: int = 100, offset: int = 0, queue: str = "default") -> Op[_Tasks]:
        """Tasks that were given up, newest first, each with its error."""
        return self.list.op("dead", limit=limit, offset=offset, queue=queue)

    @operation
    def cancel(self, id: str, *, reason: str = "cancelled", queue: str = "default") -> Op[str]:
        """End an open task, and stop those that need it. What it was: open or running (or cancelled already).

        Raises NotFound, Illegal (it has ended).
        """
        why = wire.dumps(reason, "reason", 10_000)
        return self._op("cancel", queue, name(id, "id"), why, read=bytes.decode, safe=True)

    @operation
    def requeue(self, *ids: str, queue: str = "default") -> Op[builtins.list[str]]:
        """Try dead tasks again, all or none. What was stopped because of them stays stopped. Raises NotFound."""
        return self._op("requeue", queue, 0, *[name(i, "id") for i in ids], read=_decoded)

    @operation
    def requeue_dead(self, limit: int = 100, *, queue: str = "default") -> Op[builtins.list[str]]:
        """Try the oldest dead tasks again, 10,000 at most (which is what 0 means): their ids."""
        return self._op("requeue", queue, int(number(limit, "limit", 0, 10_000)) or 10_000, read=_decoded)

    @operation
    def purge(self, what: str = "dead", *, limit: int = 1000, queue: str = "default") -> Op[int]:
        """Forget the oldest dead tasks, or outcomes of ended ones (`ended`), for good: how many."""
        return self._op("purge", queue, one_of(what, ("dead", "ended"), "what"), int(number(limit, "limit", 1, 10_000)))

    @operation
    def depth(self, queue: str = "default") -> Op[Depth]:
        """How full a queue is."""
        return self._op("depth", queue, read=lambda reply: depth(queue, reply), safe=True)

    @operation
    def configure(
        self,
        queue: str = "default",
        *,
        limit: int | None = None,
        aging: float | None = None,
        keep: float | None = None,
        kept: int | None = None,
        audit: bool | None = None,
        kinds: Collection[str] | None = None,
        deaths: int | None = None,
    ) -> Op[dict[str, str]]:
        """Set what is given of a queue's settings; all that were ever set.

        limit: open and dead tasks (1,000,000); aging: seconds of waiting that one priority level is worth (300; 0:
        strict); keep: seconds (86,400) and kept: number (100,000) of outcomes kept; audit: events for tasks (on);
        kinds: the types accepted (all); deaths: of workers after which a task is given up (3).
        """
        said: list[Any] = []
        bounds = {"limit": (limit, 0, 1e9), "aging": (aging, 0, 1e8), "keep": (keep, 0, 1e9), "kept": (kept, 0, 1e9)}
        for field, (value, low, high) in {**bounds, "deaths": (deaths, 1, 1000)}.items():
            if value is not None:
                said += [field, number(value, field, low, high)]
        if audit is not None:
            said += ["audit", int(audit)]
        if kinds is not None:
            said += ["kinds", ",".join(names(kinds, "kinds", 1000))]
        pairs = lambda r: {r[i].decode(): r[i + 1].decode() for i in range(0, len(r), 2)}  # noqa: E731
        return self._op("configure", queue, *said, read=pairs, safe=True)


_Tasks = list[Task]


def _listed(reply: list[Any]) -> list[Task]:
    return [task for facts in reply if (task := described(facts))]


def _decoded(reply: list[bytes]) -> list[str]:
    return [one.decode() for one in reply]
