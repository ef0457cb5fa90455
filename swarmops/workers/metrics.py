"""What a worker process counts, as Prometheus text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from swarmops.runtime.observe.prometheus import Page

if TYPE_CHECKING:
    from swarmops.workers.process import WorkerProcess


def page(process: WorkerProcess) -> str:
    """Tasks by kind and outcome, what runs, seconds; then what the executors measure themselves."""
    out = Page("swarmops")
    out.gauge("worker_up", 0 if process.away or process.draining else 1)
    out.gauge("worker_uptime_seconds", time.monotonic() - process.began)
    worker = process.worker
    if worker:
        for kind, tally in worker.tallies.items():
            out.gauge("worker_tasks_running", tally.running, kind=kind)
            out.counter("worker_task_seconds", tally.seconds, kind=kind)
            for how in ("done", "failed", "cancelled"):
                out.counter("worker_tasks", tally.ended[how], kind=kind, outcome=how)
        out.counter("worker_results_refused", worker.refused)
        out.counter("worker_timeouts", worker.timed_out)
    for executor in process.executors.values():
        for name, value in executor.metrics().items():
            out.measured(name, value)
    return out.text()
