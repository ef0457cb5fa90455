"""One thread of a worker: claims, runs, and says how it went, all in one call to Redis a batch.

To Redis each lane is a worker of its own with its own lease. What a lane holds is always in one of its queues:
todo (claimed), running, done (outcomes to deliver), back (to hand back). So it can say how many it holds, and Redis
answers with their names when it counted differently: an answer was lost, or a lease.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from swarmops.runtime.op import Op
from swarmops.runtime.tasks import Claim, Claimed, Outcome
from swarmops.runtime.worker import calls
from swarmops.runtime.worker.context import Context
from swarmops.runtime.worker.pace import Pace

if TYPE_CHECKING:
    from swarmops.runtime.worker.loop import Worker

WAIT = 1.0  # seconds that Redis keeps an idle worker waiting


class Lane:
    """`lock` is held while it talks to Redis, `guard` while the running task changes."""

    def __init__(self, worker: Worker, name: str):
        self.worker, self.name = worker, name
        self.lock, self.guard = threading.Lock(), threading.Lock()
        self.todo: deque[Claim] = deque()
        self.done: deque[Outcome] = deque()
        self.back: deque[str] = deque()
        self.running: Claim | None = None
        self.context: Context | None = None
        self.since = self.spoke = 0.0  # when the running task began, and when Redis last heard of us
        self.pace = Pace(worker.batch)
        self.hungry = True  # the last claim may have left something: ask again before waiting
        self.turn = 0
        self.over = False
        self.due_ms = -1  # until Redis has something to do for the queue
        self.start()

    def start(self) -> None:
        self.thread = threading.Thread(target=self._main, args=(self.turn,), name=self.name, daemon=True)
        self.thread.start()

    @property
    def busy(self) -> bool:
        return self.running is not None or bool(self.todo or self.done or self.back)

    # -- the thread

    def _main(self, turn: int) -> None:
        worker = self.worker
        while not worker.stopping:
            try:
                self._work(turn)
                if self.turn != turn:
                    return
                if not worker.stopping:
                    self._claim()
                    worker.outage.fine()
            except Exception as e:
                worker.outage.failed(e)
        self._work(turn)
        if self.turn == turn:
            self.over = True
            worker.ring()

    def _claim(self) -> None:
        if self.worker.outage.away:
            self.worker.outage.wait()
        with self.lock:
            idle = not (self.hungry or self.busy)
            want = self.pace.want
            op, told = self.step(want)
            found = self.worker.runtime.run_many([self._wait(), op] if idle else [op], patience=0)
            claimed = self.heard(found[-1], told)
            self.hungry = len(claimed.tasks) >= want

    def _wait(self) -> Op[bool]:
        """Until there may be something: a token, or a timer that is due."""
        seconds = WAIT if self.due_ms < 0 else min(WAIT, max(0.01, self.due_ms / 1000))
        return self.worker.runtime.tasks.idle.op(self.worker.caps, seconds=seconds, queue=self.worker.queue)

    def _work(self, turn: int) -> None:
        """Run what was claimed; when the worker stops, what is not begun is left in todo."""
        handlers, n, began = self.worker.handlers, 0, time.monotonic()
        with self.guard:
            claim = self._next()
        while claim:
            outcome = calls.run(handlers, claim, self._context)
            with self.guard:
                if self.turn != turn:  # timed out meanwhile: another thread goes on in our place
                    return
                self.done.append(outcome)
                claim = self._next()
            n += 1
        self.pace.learn(n, time.monotonic() - began)

    def _next(self) -> Claim | None:
        self.context = None
        self.running = self.todo.popleft() if self.todo and not self.worker.stopping else None
        self.since = time.monotonic()
        return self.running

    def _context(self) -> Context:
        assert self.running
        self.context = Context(self.running, self.worker.queue, self.worker.runtime)
        return self.context

    # -- talking to Redis, with `lock` held

    def step(self, want: int) -> tuple[Op[Claimed], tuple[int, int]]:
        """What to tell Redis, and how much of done and back it will know then."""
        worker = self.worker
        with self.guard:
            results, back = list(self.done), list(self.back)
            holding = [o.id for o in results] + back + [c.id for c in self.todo]
            if self.running:
                holding.append(self.running.id)
        op = worker.runtime.tasks.step.op(
            self.name,
            results,
            want=want,
            caps=worker.caps,
            lease_ms=worker.lease_ms,
            queue=worker.queue,
            released=back,
            holding=holding,
        )
        return op, (len(results), len(back))

    def heard(self, answer: Any, told: tuple[int, int]) -> Claimed:
        """Redis answered. Raises what went wrong; then nothing is forgotten."""
        if isinstance(answer, Exception):
            raise answer
        claimed: Claimed = answer
        self.spoke, self.due_ms = time.monotonic(), claimed.next_due_ms
        with self.guard:
            for _ in range(told[0]):
                self.done.popleft()
            for _ in range(told[1]):
                self.back.popleft()
            if claimed.lost:
                self._forget(set(claimed.lost))
            self.back.extend(claimed.strays)
            self.todo.extend(claimed.tasks)
        self.worker.tell_refused(claimed.refused)
        return claimed

    def _forget(self, lost: set[str]) -> None:
        """These were cancelled, timed out, or given to others when our lease had ended."""
        self.todo = deque(c for c in self.todo if c.id not in lost)
        if self.running and self.running.id in lost and self.context:
            self.context.cancel()

    # -- what the heart does with a lane whose task takes long

    def hand_back_rest(self) -> None:
        """What is claimed and not begun goes to others."""
        with self.guard:
            self.back.extend(c.id for c in self.todo)
            self.todo.clear()

    def give_up(self, claim: Claim, outcome: Outcome | None) -> bool:
        """Leave the running task to its thread, which cannot be stopped, and go on in a new one. False if it ended.

        `outcome` is reported in its stead; without one the task is handed back.
        """
        with self.guard:
            if self.running is not claim:
                return False
            if self.context:
                self.context.cancel()
            self.turn += 1
            self.running = self.context = None
            if outcome:
                self.done.append(outcome)
            else:
                self.back.append(claim.id)
        return True
