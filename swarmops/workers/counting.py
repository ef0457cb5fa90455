"""A worker that counts: how many tasks of each kind ran, how they ended, how long they took."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from swarmops.runtime.tasks import Claim, Outcome
from swarmops.runtime.worker import AsyncWorker


@dataclass
class Tally:
    """Of one kind of task. ended: by outcome (done, failed, cancelled; timed out is cancelled). seconds: of all."""

    running: int = 0
    seconds: float = 0.0
    ended: Counter[str] = field(default_factory=Counter)


class CountingWorker(AsyncWorker):
    """An AsyncWorker with a tally for each of its kinds; what it does not know counts as "unknown"."""

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self.tallies = {kind: Tally() for kind in [*self.handlers.tasks, "unknown"]}

    @property
    def met(self) -> bool:
        """Redis has answered once."""
        return self._spoke > 0

    async def _call(self, claim: Claim) -> Outcome:
        tally = self.tallies.get(claim.kind) or self.tallies["unknown"]
        tally.running += 1
        began, how = time.monotonic(), "cancelled"
        try:
            outcome = await super()._call(claim)
            how = "failed" if outcome.error is not None else "done"
            return outcome
        finally:
            tally.running -= 1
            tally.seconds += time.monotonic() - began
            tally.ended[how] += 1

    @contextlib.asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        """They are the process' own: it has more to end than its tasks."""
        yield
