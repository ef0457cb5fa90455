"""The worker for plain functions: threads that claim and run tasks, and one that keeps their leases."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import re
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from swarmops.runtime import ids
from swarmops.runtime.errors import Invalid, SwarmError
from swarmops.runtime.settings import Settings
from swarmops.runtime.sync import Runtime
from swarmops.runtime.worker.handlers import Handlers
from swarmops.runtime.worker.heart import TICK, Heart
from swarmops.runtime.worker.lane import Lane
from swarmops.runtime.worker.outage import Outage, is_hopeless, log
from swarmops.runtime.worker.pace import Pace


class Worker:
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
        self.handlers = Handlers.of(handlers)
        for handler in self.handlers.tasks.values():
            if handler.coroutine:
                raise Invalid(f"task {handler.name}", "is a coroutine function: that takes an AsyncWorker")
        self.queue, self.caps = ids.name(queue, "queue"), ids.names(list(caps), "caps")
        self.name = incarnation(name)
        self.threads = int(ids.number(threads, "threads", 1, 256))
        self.lease_ms = int(ids.number(lease, "lease", 0.1, 86400) * 1000)
        self.drain_timeout = ids.number(drain_timeout, "drain_timeout", 0, 86400)
        self.batch = batch
        Pace(batch)
        self._own = not isinstance(where, Runtime)
        self.runtime = where if isinstance(where, Runtime) else Runtime(_roomy(where, self.threads + 2))
        self.outage, self.bell = Outage(), SimpleQueue[None]()
        self.lanes: list[Lane] = []
        self.stopping = self.hurry = False
        self.refused = self.timed_out = self.exit_code = 0
        self._heart = Heart(self)

    def run(self) -> int:
        """Work until told to end; returns an exit code. In the main thread SIGTERM and SIGINT do: once to finish what
        runs, twice to hand it back. Raises Unavailable or Misconfigured when the settings cannot be right.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            stack.enter_context(signals(self._signalled))
            try:
                self.runtime.connect()
            except SwarmError as e:
                if is_hopeless(e):
                    raise
                self.outage.failed(e)
            for hook in self.handlers.inits:
                _call(hook)
            stack.callback(self._cleanup)
            threading.Thread(target=self._ticks, name="ticks", daemon=True).start()
            self.lanes = [Lane(self, f"{self.name}-{i}") for i in range(self.threads)]
            log.info("%s works on queue %s with %d threads", self.name, self.queue, self.threads)
            while not self.stopping:
                self._sleep()
                self._heart.tick()
            self._drain()
        return self.exit_code

    def stop(self, hurry: bool = False) -> None:
        """Claim nothing more and end when what runs is done, or drain_timeout is over (hurry: at once)."""
        self.hurry = self.hurry or hurry
        self.stopping = True
        self.bell.put(None)

    def _signalled(self) -> None:
        self.stop(hurry=self.stopping)

    def _sleep(self) -> None:
        with contextlib.suppress(Empty):
            self.bell.get(timeout=TICK)

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
        end = max(end, time.monotonic() + 2)
        while not self._farewell() and time.monotonic() < end:
            self.outage.wait() if self.outage.away else self._sleep()

    def _farewell(self) -> bool:
        """Deliver, hand back and leave. A worker leaves with empty hands only: who has left is not looked after."""
        if not self._heart.beat(self.lanes) or any(lane.busy for lane in self.lanes):
            return False
        step = self.runtime.tasks.step
        try:
            self.runtime.run_many([step.op(lane.name, lease_ms=0, queue=self.queue) for lane in self.lanes], 0)
        except SwarmError as e:
            log.warning("could not take leave: %s", e)
        return True

    # -- hooks

    def _ticks(self) -> None:
        due = [time.monotonic() + every for every, _ in self.handlers.ticks]
        while due and not self.stopping:
            time.sleep(max(0.0, min(0.5, min(due) - time.monotonic())))
            for i, (every, hook) in enumerate(self.handlers.ticks):
                if time.monotonic() >= due[i] and not self.stopping:
                    _try(hook)
                    due[i] = time.monotonic() + every

    def _cleanup(self) -> None:
        for hook in self.handlers.cleanups:
            _try(hook)

    def _close(self) -> None:
        if self._own:
            self.runtime.close()


def incarnation(name: str | None) -> str:
    """`name` (default: host and process) and something no other start of it has: a restart is another worker."""
    if name is None:
        host = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:30] or "worker"
        name = f"{host}-{os.getpid()}"
    return f"{ids.name(name, 'name')[:44]}-{secrets.token_hex(4)}"


@contextlib.contextmanager
def signals(told: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT call `told`, in the main thread; elsewhere nobody can say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {which: signal.signal(which, lambda *_: told()) for which in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def _roomy(where: Settings | str | None, connections: int) -> Settings:
    settings = where if isinstance(where, Settings) else Settings.find(where)
    return settings.but(connections=max(settings.connections, connections))


def _call(hook: Callable[[], Any]) -> None:
    found = hook()
    if inspect.iscoroutine(found):
        asyncio.run(found)


def _try(hook: Callable[[], Any]) -> None:
    try:
        _call(hook)
    except Exception:
        log.exception("the hook %s failed", getattr(hook, "__name__", hook))
