"""A worker as an agent: in the registry while it runs, with the kinds of tasks it handles (S1-03, S2-02)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.errors import Refused
from swarmops.runtime.registry.beating import AgentBeat, AsyncBeating, Beating
from swarmops.runtime.registry.capabilities import detect
from swarmops.runtime.worker.aioloop import AsyncWorker
from swarmops.runtime.worker.loop import Worker
from swarmops.runtime.worker.outage import log


@contextlib.contextmanager
def as_agent(worker: Worker) -> Iterator[None]:
    """Registered and beating, with connections of its own. A registry that refuses it is no reason not to work."""
    busy = lambda: sum(1 for lane in worker.lanes if lane.running)  # noqa: E731
    with Runtime(worker.runtime.settings, connections=2) as rt:
        beating = Beating(_beat(rt, worker, busy))
        try:
            beating.start()
        except Refused as e:
            log.warning("%s is not in the registry: %s", worker.name, e)
            yield
            return
        with contextlib.closing(beating):
            yield


@contextlib.asynccontextmanager
async def as_agent_async(worker: AsyncWorker) -> AsyncIterator[None]:
    """The same for a worker of coroutines, in its event loop."""
    async with AsyncRuntime(worker.runtime.settings, connections=2) as rt:
        async with in_registry(_beat(rt, worker, lambda: len(worker.running))):
            yield


@contextlib.asynccontextmanager
async def in_registry(beat: AgentBeat) -> AsyncIterator[None]:
    """Registered and beating meanwhile. A registry that refuses it (full, taken) is no reason not to work."""
    beating = AsyncBeating(beat)
    try:
        await beating.start()
    except Refused as e:
        log.warning("%s is not in the registry: %s", beat.id, e)
        yield
        return
    try:
        yield
    finally:
        await beating.close()


def _beat(rt: Runtime | AsyncRuntime, worker: Worker | AsyncWorker, busy: Any) -> AgentBeat:
    """Its id is the worker's name, which no other start of it has."""
    metadata = {"role": "handlers", "kinds": sorted(worker.handlers.tasks)[:500], "url": ""}
    return AgentBeat(
        rt,
        worker.name,
        worker.caps,
        metadata,
        facts=detect().facts,
        load=busy,
        status=lambda: "draining" if worker.stopping else "busy" if busy() else "idle",
    )
