"""The worker for plain functions: threads that claim and run tasks, and one that keeps their leases."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any

from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.errors import Invalid, SwarmError
from swarmops.runtime.settings import Settings
from swarmops.runtime.worker import hooks
from swarmops.runtime.worker.base import Base, roomy, signals
from swarmops.runtime.worker.heart import TICK, Heart
from swarmops.runtime.worker.lane import Lane
from swarmops.runtime.worker.outage import is_hopeless, log
from swarmops.runtime.worker.pace import Pace


class Worker(Base):
    """Claims tasks of `queue` and runs them until `stop`, SIGTERM or SIGINT. Raises Invalid.

    where: a Runtime, Settings, a URL or None (the environment). handlers: Handlers, a dict or a function.
    caps: what this worker can do: it gets tasks that need no more. threads: tasks at the same time.
    lease: seconds after which a silent worker's tasks are given to others. batch: tasks claimed at once.
    drain_timeout: seconds that running tasks are given when the worker is told to end.
    """

    def __init__(
        self,
        where: Runtime | Settings | str | None,
        handlers: Any,
        queue: str = "default",
        name: str | None = None,
        caps: Sequence[str] = (),
        threads: int = 1,
        lease: float = 30.0,
        batch: int | str = "auto",
        drain_timeout: float = 30.0,
    ):
        super().__init__(handlers, queue, name, caps, threads, lease, drain_timeout)
        for handler in self.handlers.tasks.values():
            if handler.coroutine:
                raise Invalid(f"task {handler.name}", "is a coroutine function: that takes an AsyncWorker")
        self.batch = batch
        Pace(batch)
        self._own = not isinstance(where, Runtime)
        self.runtime = where if isinstance(where, Runtime) else Runtime(roomy(where, self.threads + 2))
        self._bell: SimpleQueue[None] = SimpleQueue()  # a signal handler may ring it at any moment
        self.lanes: list[Lane] = []
        self._heart = Heart(self)

    def run(self) -> int:
        """Work until told to end; returns an exit code. In the main thread SIGTERM and SIGINT do: once to finish what
        runs, twice to hand it back. Raises Unavailable or Misconfigured when the settings cannot be right.
        """
        with contextlib.ExitStack() as stack:
            if self._own:
                stack.callback(self.runtime.close)
            stack.enter_context(signals(self.signalled))
            try:
                self.runtime.connect()
            except SwarmError as e:
                if is_hopeless(e):
                    raise
                self.outage.failed(e)
            for hook in self.handlers.inits:
                hooks.call(hook)
            for hook in reversed(self.handlers.cleanups):
                stack.callback(hooks.attempt, hook)
            hooks.begin_ticks(self.handlers, lambda: self.stopping)
            self.lanes = [Lane(self, f"{self.name}-{i}") for i in range(self.threads)]
            log.info("%s works on queue %s with %d threads", self.name, self.queue, self.threads)
            while not self.stopping:
                self._sleep()
                self._heart.tick()
            self._drain()
        return self.exit_code

    def ring(self) -> None:
        self._bell.put(None)

    def _sleep(self) -> None:
        with contextlib.suppress(Empty):
            self._bell.get(timeout=TICK)

    # -- the end

    def _drain(self) -> None:
        """Finish what runs, hand back the rest, deliver what is done, and take leave."""
        end = time.monotonic() + self.drain_timeout
        while time.monotonic() < end and not self.hurry and not all(lane.over for lane in self.lanes):
            self._sleep()
            for lane in self.lanes:
                lane.hand_back_rest()
            self._heart.tick()
        for lane in self.lanes:
            if claim := lane.running:
                lane.give_up(claim, None)
            lane.hand_back_rest()
        if self.hurry or not any(lane.done for lane in self.lanes):
            end = 0.0  # to leave is polite, but leases end anyway
        end = max(end, time.monotonic() + 2)
        while not self._farewell() and time.monotonic() < end:
            self.outage.wait() if self.outage.away else self._sleep()

    def _farewell(self) -> bool:
        """Deliver what is done and leave, which hands back the rest."""
        if not self._heart.beat([lane for lane in self.lanes if lane.done or not lane.over]):
            return False
        leave = [self.runtime.tasks.leave.op(lane.name, queue=self.queue) for lane in self.lanes]
        try:
            self.runtime.run_many(leave, 0)
        except SwarmError as e:
            self.outage.failed(e)
            return False
        return True
