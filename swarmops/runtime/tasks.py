"""Tasks: a queue with priorities, capabilities, leases, retries and dead letters (S0-22, S2-04 to S2-09).

Every call is one script. Submitting and stepping may be repeated: ids make it harmless, attempt numbers fence what is
late. What the keys hold is written in scripts/submit.lua and step.lua.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

from swarmops.runtime import scripts, wire
from swarmops.runtime.ids import name, names, number
from swarmops.runtime.keys import Keys
from swarmops.runtime.op import Mode, Op, Room, operation
from swarmops.runtime.taskrecords import Claimed, Outcome, Submitted, TaskSpec, claimed, packed

BULK = 1000  # tasks in one script: some milliseconds of Redis' time
FLUSH = 10  # scripts in one flush


@lru_cache(1024)
def queue_keys(keys: Keys, queue: str, script: str) -> tuple[str, ...]:
    """The keys of a queue script: their names are the names of the parts. Raises Invalid."""
    name(queue, "queue")
    return tuple(keys.queue(queue, part) for part in scripts.load(script).keys)


class Tasks(Room[Mode]):
    """Task queues. `queue` names one; its keys lie on one shard."""

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
        needs = needs if isinstance(needs, str) else tuple(needs)  # type: ignore[assignment]
        spec = TaskSpec(kind, args, id, priority, needs, delay, expires, timeout, retries, backoff, meta)  # type: ignore[arg-type]
        item = packed(spec)
        which = item[0]
        return Op(
            "submit", queue_keys(self.keys, queue, "submit"), (), lambda reply: Submitted(which, reply[0] == 1),
            True, True, 0.0, (item,),
        )  # fmt: skip

    def submit_many(self, specs: Iterable[TaskSpec], queue: str = "default") -> Any:
        """Accept many, in flushes of 1000 a script: list[Submitted] (awaitable on an AsyncRuntime).

        Raises the first error; what was accepted before it stays (submit the same ids again to go on). Full refuses
        1000 at a time.
        """
        return _many(self, [packed(s) for s in specs], queue)

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
    ) -> Op[Claimed]:
        """Report outcomes, give tasks back, renew the lease, claim up to `want` more: all in one.

        holding: the ids this worker thinks it holds, those in `results` included, so that it hears of what it lost.
        """
        args: list[Any] = [name(worker, "worker"), int(lease_ms), int(number(want, "want", 0, 10_000))]
        args += [",".join(names(caps, "caps")) if caps else ""]
        args += [holding if isinstance(holding, int) else -1 if holding is None else len(holding), len(results)]
        for r in results:
            if r.error is None:
                args += (r.id, r.attempt, "d", r.result)
            else:
                args += (r.id, r.attempt, "f" if r.retry else "x", wire.dumps(r.error, "error"))
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
        base = self.keys.queue(name(queue, "queue"), "wake")
        wakes = (base, *(f"{base}:{c}" for c in names(caps, "caps")))
        return Op("", wakes, ("BLPOP", *wakes, seconds), lambda reply: reply is not None, safe=True, block=seconds)


def _many(room: Tasks[Any], items: list[tuple[str, bytes]], queue: str) -> Any:
    """Sends FLUSH scripts at a time: a list, or a coroutine of it."""
    keys = queue_keys(room.keys, queue, "submit")
    runtime: Any = room.runtime
    parts = [items[at : at + BULK] for at in range(0, len(items), BULK)]
    ops = [Op("submit", keys, (), list, True, True, 0.0, tuple(part)) for part in parts]
    flushes = [ops[at : at + FLUSH] for at in range(0, len(ops), FLUSH)]

    def joined(replies: list[Any]) -> list[Submitted]:
        new = [n for reply in replies for n in _good(reply)]
        return [Submitted(item[0], n == 1) for item, n in zip(items, new)]

    if inspect.iscoroutinefunction(runtime.run_many):

        async def later() -> list[Submitted]:
            return joined([reply for flush in flushes for reply in map(_good, await runtime.run_many(flush))])

        return later()
    return joined([reply for flush in flushes for reply in map(_good, runtime.run_many(flush))])


def _good(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply
