"""The heart of a worker: keeps its leases while tasks run, and frees what waits behind a task that takes long."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from swarmops.runtime.tasks import Claim, Outcome
from swarmops.runtime.worker.outage import log

if TYPE_CHECKING:
    from swarmops.runtime.worker.lane import Lane
    from swarmops.runtime.worker.loop import Worker

TICK = 0.1  # seconds between two looks
LONG = 0.1  # a task that takes longer keeps nothing else waiting behind it
ABANDONED = 50  # threads that may hang in a task that timed out


class Heart:
    """Beats for lanes that run a task; those that wait for work talk to Redis themselves."""

    def __init__(self, worker: Worker):
        self.worker = worker
        self.abandoned: list[threading.Thread] = []

    def tick(self) -> None:
        now = time.monotonic()
        due = [lane for lane in self.worker.lanes if self._look(lane, now)]
        if due and not (self.worker.outage.away and not self.worker.outage.free()):
            self.beat(due)

    def _look(self, lane: Lane, now: float) -> bool:
        """Whether there is something to tell Redis for this lane."""
        claim, since = lane.running, lane.since
        if claim is None:
            return False
        if claim.timeout_ms and now - since > claim.timeout_ms / 1000:
            self._time_out(lane, claim)
            return False
        if now - since > LONG:
            lane.hand_back_rest()
            if lane.done or lane.back:
                return True
        return now - lane.spoke >= self.worker.every

    def _time_out(self, lane: Lane, claim: Claim) -> None:
        thread = lane.thread
        if not lane.give_up(claim, Outcome.failed(claim, f"timed out after {claim.timeout_ms / 1000:g} s")):
            return
        self.worker.timed_out += 1
        self.abandoned = [t for t in self.abandoned if t.is_alive()] + [thread]
        if len(self.abandoned) > ABANDONED:
            log.error("%d threads hang in tasks that timed out: the worker ends", len(self.abandoned))
            self.worker.exit_code = 1
            self.worker.stop()
        lane.start()

    def beat(self, lanes: list[Lane]) -> bool:
        """Tell Redis that these lanes live, in one flush. False when it did not hear of all."""
        free = [lane for lane in lanes if lane.lock.acquire(blocking=False)]
        try:
            said = [lane.step(0) for lane in free]
            answers = self.worker.runtime.run_many([op for op, _ in said], patience=0)
            for lane, answer, (_, told) in zip(free, answers, said):
                lane.heard(answer, told)
            self.worker.outage.fine()
            return len(free) == len(lanes)
        except Exception as e:
            self.worker.outage.failed(e)
            return False
        finally:
            for lane in free:
                lane.lock.release()
