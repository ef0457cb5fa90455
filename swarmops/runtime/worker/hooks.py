"""The hooks around a worker's tasks (S1-14): plain or coroutine functions, called by either worker."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any

from swarmops.runtime.worker.handlers import Handlers
from swarmops.runtime.worker.outage import log


def call(hook: Callable[[], Any]) -> None:
    found = hook()
    if inspect.iscoroutine(found):
        asyncio.run(found)


def attempt(hook: Callable[[], Any]) -> None:
    """Its errors are logged."""
    try:
        call(hook)
    except Exception:
        log.exception("the hook %s failed", getattr(hook, "__name__", hook))


def begin_ticks(handlers: Handlers, stopping: Callable[[], bool]) -> None:
    """Call each tick hook every so many seconds, in a thread of their own: one that hangs holds up no heartbeat."""

    def ticks() -> None:
        due = [time.monotonic() + every for every, _ in handlers.ticks]
        while not stopping():
            time.sleep(max(0.0, min(0.5, min(due) - time.monotonic())))
            for i, (every, hook) in enumerate(handlers.ticks):
                if time.monotonic() >= due[i] and not stopping():
                    attempt(hook)
                    due[i] = time.monotonic() + every

    if handlers.ticks:
        threading.Thread(target=ticks, name="ticks", daemon=True).start()
