"""What a handler may know of the task it runs, and say about it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmops.runtime.client.aio import AsyncRuntime
    from swarmops.runtime.client.sync import Runtime
    from swarmops.runtime.tasks import Claim


class _Facts:
    """id, kind, attempt (1 first); parents: results of the tasks this one needs, by id."""

    def __init__(self, claim: Claim, queue: str):
        self.claim, self.queue = claim, queue
        self.id, self.kind, self.attempt = claim.id, claim.kind, claim.attempt

    @property
    def parents(self) -> dict[str, Any]:
        return dict(self.claim.parents)

    @property
    def key(self) -> str:
        """`id:attempt`: what a write to elsewhere carries, so that one of an attempt given up can be told."""
        return f"{self.id}:{self.attempt}"


class Context(_Facts):
    """For plain functions. May be used from any thread."""

    def __init__(self, claim: Claim, queue: str, runtime: Runtime):
        super().__init__(claim, queue)
        self._runtime, self._gone = runtime, threading.Event()

    @property
    def cancelled(self) -> bool:
        """The result is not wanted any more: cancelled, timed out, given to another worker, or this one must end."""
        return self._gone.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep so long, or until cancelled: then True."""
        return self._gone.wait(seconds)

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell how far it is (0 to 1). Raises LeaseLost when the task is no longer this attempt's."""
        self._runtime.tasks.progress(self.id, self.attempt, fraction, text, queue=self.queue)

    def cancel(self) -> None:
        self._gone.set()


class AsyncContext(_Facts):
    """For coroutines, which are cancelled by CancelledError."""

    def __init__(self, claim: Claim, queue: str, runtime: AsyncRuntime):
        super().__init__(claim, queue)
        self._runtime, self.task = runtime, asyncio.current_task()

    @property
    def cancelled(self) -> bool:
        return bool(self.task and self.task.cancelling())

    async def progress(self, fraction: float, text: str = "") -> None:
        """Tell how far it is (0 to 1). Raises LeaseLost when the task is no longer this attempt's."""
        await self._runtime.tasks.progress(self.id, self.attempt, fraction, text, queue=self.queue)
