"""What the leader does at which pace (S3-24, S3-38). Nobody waits here: the loops are in loop.py.

| duty | every | what |
| --- | --- | --- |
| distribute | 5 s, and at once on a hint | up to 10 tasks a cycle, the next cycle at once while there is more to give |
| resources | 15 s | shares of dead swarms, and idle ones, go back into the pools |
| health | 30 s | swarms and agents without beats are interrupted or dead; interrupted swarms are recovered |
| conflicts | 5 s | votes whose deadline has passed are decided |
| snapshots | 15 s | a look which states are due; each live one is once in settings.snapshot_interval (5 min) |
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from swarmops.runtime.coordinator.distribution import BATCH
from swarmops.runtime.errors import Stale, Unavailable
from swarmops.runtime.flow import Steps
from swarmops.runtime.ids import number
from swarmops.runtime.op import Op

NAMES = ("distribute", "resources", "health", "conflicts", "snapshots")
LOOK = 1.0  # seconds that a loop waits for a hint at most: so soon it notices that it is to end
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two rounds of each duty; batch: tasks a cycle of distribution. Raises Invalid."""

    distribute: float = 5.0
    resources: float = 15.0
    health: float = 30.0
    conflicts: float = 5.0
    snapshots: float = 15.0
    batch: int = BATCH

    def __post_init__(self) -> None:
        for which in NAMES:
            number(getattr(self, which), which, 0.01, 86400)
        number(self.batch, "batch", 1, 100)


@dataclass(slots=True)
class Done:
    """What a coordinator has done in all its terms. trouble: the last error of each duty that failed."""

    terms: int = 0
    cycles: int = 0
    distributed: int = 0
    returned: int = 0
    reclaimed: int = 0
    interrupted: int = 0
    recovered: int = 0
    decided: int = 0
    snapshots: int = 0
    trouble: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Duties:
    """When what is due, and the steps of it (see flow.py). `rt`: the Runtime or AsyncRuntime that drives them."""

    def __init__(self, rt: Any, pace: Pace, id: str):
        self.rt, self.pace, self.id = rt, pace, id
        self.done = Done()
        self._due: dict[str, float] = {}
        self._steps: dict[str, Callable[[int], Steps[None]]] = {which: getattr(self, f"_{which}") for which in NAMES}

    def begin(self) -> None:
        """A new term: all is due now."""
        self.done.terms += 1
        self._due = dict.fromkeys(NAMES, 0.0)

    def at_once(self, which: str) -> None:
        self._due[which] = 0.0

    @property
    def wait(self) -> float:
        """Seconds until something is due."""
        return max(0.0, min(self._due.values()) - time.monotonic())

    def hint(self) -> Op[bool]:
        """Wait until there is something to distribute, or something else is due; whether there is."""
        key, seconds = self.rt.keys.registry("dist_hint"), max(0.01, min(LOOK, self.wait))
        return Op("", (key,), ("BLPOP", key, f"{seconds:.3f}"), bool, safe=True, block=seconds)

    def wake(self) -> Op[Any]:
        """Ends somebody's wait for a hint."""
        key = self.rt.keys.registry("dist_hint")
        return Op("", (key,), ("LPUSH", key, "1"), safe=True)

    def round(self, term: int) -> Steps[None]:
        """Do what is due, as leader of `term`. Raises Stale, Unavailable; what else fails is in `done.trouble`."""
        for which in NAMES:
            if self._due[which] > time.monotonic():
                continue
            self._due[which] = time.monotonic() + getattr(self.pace, which)
            try:
                yield from self._steps[which](term)
                self.done.trouble.pop(which, None)
            except (Stale, Unavailable):
                self._due[which] = 0.0
                raise
            except Exception as e:  # one duty that fails must not end the others
                self.done.trouble[which] = f"{type(e).__name__}: {e}"
                log.exception("duty %s of %s failed", which, self.id)

    def _distribute(self, term: int) -> Steps[None]:
        found = yield self.rt.distribution.cycle.op(term, self.pace.batch)
        self.done.cycles += 1
        self.done.distributed += len(found.given)
        self.done.returned += found.returned
        for id in found.stuck:
            log.warning("no active swarm can do task %s", id)
        if found.waiting and found.swarms and (found.given or found.stuck):
            self.at_once("distribute")

    def _resources(self, term: int) -> Steps[None]:
        self.done.reclaimed += len((yield self.rt.resources.reclaim.op(term)))

    def _conflicts(self, term: int) -> Steps[None]:
        self.done.decided += len((yield self.rt.conflicts.close.op(term)))

    def _health(self, term: int) -> Steps[None]:
        swept = yield self.rt.swarms.sweep.op()
        self.done.interrupted += len(swept.interrupted)
        if swept.interrupted:  # before they are recovered: what they had goes to those who live
            self.done.returned += yield self.rt.distribution.return_all.op(
                term, *swept.interrupted, why="the swarm is interrupted"
            )
        yield self.rt.agents.sweep.op()
        went = self.rt.state.recover_all(term, requeue=self._requeue(term), by=self.id)
        if inspect.isawaitable(went):
            went = yield went
        self.done.recovered += sum(one.recovered for one in went)

    def _requeue(self, term: int) -> Callable[[str, tuple[str, ...]], Any]:
        def requeue(swarm: str, ids: tuple[str, ...]) -> Any:
            return self.rt.distribution.return_all(term, swarm)

        return requeue

    def _snapshots(self, term: int) -> Steps[None]:
        taken = yield self.rt.state.take_due.op(term)
        self.done.snapshots += len(taken)
        if len(taken) >= 20:
            self.at_once("snapshots")
