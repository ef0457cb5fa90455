"""The worker process: executors that claim tasks, an agent in the registry, and a small HTTP door.

detect -> claim and beat -> /health, /metrics and the executors' own routes -> SIGTERM: finish, leave, exit 0

"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.errors import Invalid
from swarmops.runtime.registry.beating import AgentBeat
from swarmops.runtime.registry.capabilities import detect
from swarmops.runtime.settings import Settings
from swarmops.runtime.worker import Handlers
from swarmops.runtime.worker.base import roomy
from swarmops.runtime.worker.member import in_registry
from swarmops.workers.config import BadConfig, Config
from swarmops.workers.counting import CountingWorker
from swarmops.workers.executor import Executor, Found, Setting
from swarmops.workers.finding import executor_of

log = logging.getLogger("swarmops.worker")
HARDWARE = ("gpu", "npu")  # what counts on any worker; programs count where an executor can use them
CONNECTIONS = 20  # to Redis, besides what runs at once
CHECK = 5.0  # seconds that an executor may take to say how it is


class WorkerProcess:
    """One process with the executors of `config.roles`. Raises Invalid for options and libraries that are wrong."""

    def __init__(self, config: Config, settings: Settings | str | None = None):
        self.config = config
        self.runtime = AsyncRuntime(roomy(settings, config.concurrency + CONNECTIONS))
        kinds = {role: executor_of(role) for role in config.roles}
        self.executors: dict[str, Executor] = {
            role: kind(Setting(role, self._home(role), config.options_of(role), self.runtime))
            for role, kind in kinds.items()
        }
        self.found: dict[str, Found] = {}
        self.handlers = Handlers()
        self.worker: CountingWorker | None = None
        self.began = time.monotonic()
        self._ending = asyncio.Event()

    async def run(self) -> int:
        """Work until SIGTERM or SIGINT; the exit code. Redis may be away, at the start too."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.runtime.close)
            await stack.enter_async_context(self._signals())
            if not await self._unless_ending(self._start(stack)):
                return 0
            worker = self.worker = self._make_worker()
            await stack.enter_async_context(self._served())
            await stack.enter_async_context(self._registered())
            if self._ending.is_set():
                worker.stop()
            return await worker.run()

    # -- what it is, for /health, /metrics and the registry

    @property
    def kinds(self) -> list[str]:
        return sorted(self.handlers.tasks)

    @property
    def capabilities(self) -> list[str]:
        """Of the executors and the hardware; each kind is one."""
        hardware = [c for c in detect().capabilities if c in HARDWARE]
        return sorted({*hardware, *self.kinds, *(c for found in self.found.values() for c in found.capabilities)})

    @property
    def facts(self) -> dict[str, Any]:
        """The host's, then the executors'."""
        return detect().facts | {k: v for found in self.found.values() for k, v in found.facts.items()}

    @property
    def lacking(self) -> dict[str, str]:
        return {what: why for found in self.found.values() for what, why in found.lacking.items()}

    @property
    def draining(self) -> bool:
        return self._ending.is_set() or bool(self.worker and self.worker.stopping)

    @property
    def away(self) -> bool:
        """Redis does not answer, or has not yet."""
        return not self.worker or self.worker.outage.away or not self.worker.met

    @property
    def running(self) -> int:
        return len(self.worker.running) if self.worker else 0

    async def complaints(self) -> list[str]:
        """Why it is not well, a sentence each."""
        said = [f"Redis at {self.runtime.settings.place} does not answer"] if self.away else []
        for role, executor in self.executors.items():
            try:
                async with asyncio.timeout(CHECK):
                    why = await executor.health()
            except TimeoutError:
                why = f"{role} did not say how it is within {CHECK:g} s"
            except Exception as e:
                log.exception("health of %s", role)
                why = f"{role} cannot say how it is: {type(e).__name__}: {e}"
            said += [why] if why else []
        return said

    # -- its life

    def _home(self, role: str) -> Any:
        home = self.config.home if len(self.config.roles) == 1 else self.config.home / role
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as e:
            raise Invalid("home", f"{home}: {e.strerror or e}") from None
        return home

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Look at what there is. Where two executors have a kind, the first one named has it."""
        for role, executor in self.executors.items():
            self.found[role] = await self._started(executor)
            stack.push_async_callback(self._close, role)
            self._take(role, executor.handlers())
            for what, why in self.found[role].lacking.items():
                log.warning("%s is lacking: %s", what, why)

    def _take(self, role: str, handlers: Handlers) -> None:
        for handler in handlers.tasks.values():
            if handler.name in self.handlers.tasks:
                log.warning("%s is done by another role here, not by %s", handler.name, role)
            else:
                self.handlers.tasks[handler.name] = handler
        self.handlers.inits += handlers.inits
        self.handlers.ticks += handlers.ticks
        self.handlers.cleanups += handlers.cleanups

    async def _started(self, executor: Executor) -> Found:
        try:
            return await executor.start()
        except BadConfig as e:
            raise BadConfig([f"{self.config.source}: {fault}" for fault in e.faults]) from None
        except Invalid as e:
            raise BadConfig([f"{self.config.source}: {e}"]) from None

    async def _close(self, role: str) -> None:
        try:
            await self.executors[role].close()
        except Exception:
            log.exception("the end of %s", role)

    def _make_worker(self) -> CountingWorker:
        c = self.config
        return CountingWorker(
            self.runtime,
            self.handlers,
            c.queue,
            c.name,
            self.capabilities,
            c.concurrency,
            min(c.concurrency, 256),
            c.lease,
            c.drain,
        )

    def _registered(self) -> contextlib.AbstractAsyncContextManager[None]:
        """In the registry, with what it can do."""
        metadata: Mapping[str, Any] = {"role": ",".join(self.config.roles), "kinds": self.kinds, "url": self.config.url}
        beat = AgentBeat(
            self.runtime,
            self.config.name,
            self.capabilities,
            metadata,
            facts=self.facts | {"lacking": self.lacking},
            load=lambda: self.running,
            status=self._status,
        )
        return in_registry(beat)

    def _status(self) -> str:
        return "draining" if self.draining else "busy" if self.running else "idle"

    @contextlib.asynccontextmanager
    async def _served(self) -> AsyncIterator[None]:
        """Its HTTP door is open, until everything else has ended. When it cannot be opened, the process ends."""
        if self.config.port is None:
            from swarmops.web.serving import notify

            notify("READY=1")
            yield
            return
        try:
            from swarmops.workers.http import serving
        except ModuleNotFoundError as e:
            raise Invalid(
                "port", f"HTTP needs the Python package {e.name!r} (pip install 'swarmops[worker]')"
            ) from None
        async with serving(self) as failed:
            failed.add_done_callback(lambda _: self.signalled())
            yield

    @contextlib.asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        """SIGTERM and SIGINT: once to finish what runs, twice to hand it back. In the main thread."""
        loop = asyncio.get_running_loop()
        which: Sequence[int] = ()
        if threading.current_thread() is threading.main_thread():
            which = (signal.SIGTERM, signal.SIGINT)
        for one in which:
            loop.add_signal_handler(one, self.signalled)
        try:
            yield
        finally:
            for one in which:
                loop.remove_signal_handler(one)

    def signalled(self) -> None:
        """Told to end; the second time in a hurry."""
        if self.worker:
            self.worker.signalled()
        self._ending.set()

    async def _unless_ending(self, work: Any) -> bool:
        """Carry `work` out; False if it was cut short because the process has to end."""
        doing, told = asyncio.create_task(work), asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait([doing, told], return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                return False
            doing.result()
            return True
        finally:
            for task in (doing, told):
                task.cancel()
            await asyncio.wait([doing, told])
