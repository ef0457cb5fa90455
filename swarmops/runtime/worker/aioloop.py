"""The worker for coroutines: many tasks at once in one event loop, and one conversation with Redis."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from signal import SIGINT, SIGTERM
from typing import Any

from swarmops.runtime import ids
from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.errors import SwarmError
from swarmops.runtime.op import Op
from swarmops.runtime.settings import Settings
from swarmops.runtime.tasks import Claim, Outcome
from swarmops.runtime.worker import calls, hooks
from swarmops.runtime.worker.base import Base, roomy
from swarmops.runtime.worker.context import AsyncContext, Context
from swarmops.runtime.worker.outage import is_hopeless, log

WAIT = 1.0  # seconds that Redis keeps an idle worker waiting


class AsyncWorker(Base):
    """Like Worker, for coroutine functions; plain functions run in `threads` threads. Raises Invalid.

    where: Settings, a URL or None (the environment), or an AsyncRuntime of this event loop.
    concurrency: tasks at the same time.
    """

    def __init__(
        self,
        where: AsyncRuntime | Settings | str | None,
        handlers: Any,
        queue: str = "default",
        name: str | None = None,
        caps: Sequence[str] = (),
        concurrency: int = 100,
        threads: int = 4,
        lease: float = 30.0,
        drain_timeout: float = 30.0,
    ):
        super().__init__(handlers, queue, name, caps, threads, lease, drain_timeout)
        self.concurrency = int(ids.number(concurrency, "concurrency", 1, 10_000))
        self._own = not isinstance(where, AsyncRuntime)
        self.runtime = where if isinstance(where, AsyncRuntime) else AsyncRuntime(roomy(where, 10))
        self.running: dict[str, tuple[asyncio.Task[None], Claim]] = {}
        self.done: deque[Outcome] = deque()
        self.back: deque[str] = deque()
        self._contexts: dict[str, Context] = {}  # of plain functions, which cannot be cancelled otherwise
        self._hungry, self._spoke, self._due_ms = True, 0.0, -1
        self._waiting: asyncio.Task[Any] | None = None
        self._for_threads = Runtime(self.runtime.settings)  # connects when a plain function tells its progress
        self._ready = False

    async def run(self) -> int:
        """Work until told to end; returns an exit code. See Worker.run."""
        self._bell, self._loop, self._ready = asyncio.Event(), asyncio.get_running_loop(), True
        self._slots = asyncio.Semaphore(self.threads)
        async with contextlib.AsyncExitStack() as stack:
            if self._own:
                stack.push_async_callback(self.runtime.close)
            stack.callback(self._for_threads.close)
            await stack.enter_async_context(self._signals())
            try:
                await self.runtime.connect()
            except SwarmError as e:
                if is_hopeless(e):
                    raise
                self.outage.failed(e)
            for hook in self.handlers.inits:
                await asyncio.to_thread(hooks.call, hook)
            for hook in reversed(self.handlers.cleanups):
                stack.push_async_callback(asyncio.to_thread, hooks.attempt, hook)
            hooks.begin_ticks(self.handlers, lambda: self.stopping)
            log.info("%s works on queue %s, up to %d tasks at once", self.name, self.queue, self.concurrency)
            await self._work()
            await self._drain()
        return self.exit_code

    def ring(self) -> None:
        """From any thread."""
        if self._ready:
            self._loop.call_soon_threadsafe(self._bell.set)

    # -- one conversation with Redis

    async def _work(self) -> None:
        while not self.stopping:
            self._bell.clear()
            free = self.concurrency - len(self.running) if self.handlers.tasks else 0
            due = (bool(self.running) or not self.handlers.tasks) and time.monotonic() - self._spoke >= self.every
            if self.done or self.back or due or (self._hungry and free):
                if not await self._step(free):
                    await self._pause()
                continue
            if self._waiting is None and free:
                self._waiting = asyncio.create_task(self._wait())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), self.every)
        if self._waiting:
            self._waiting.cancel()

    async def _wait(self) -> None:
        """Until there may be something to claim."""
        seconds = WAIT if self._due_ms < 0 else min(WAIT, max(0.01, self._due_ms / 1000))
        op = self.runtime.tasks.idle.op(self.caps, seconds=seconds, queue=self.queue)
        try:
            woken = (await self.runtime.run_many([op], patience=0))[0]
            if woken is True and len(self.running) >= self.concurrency:  # there is no room any more: wake another
                await self.runtime.run_many([Op("", op.keys, ("LPUSH", op.keys[0], "1"))], patience=0)
        except Exception as e:
            self.outage.failed(e)
            await self._pause()
        self._hungry, self._waiting = True, None
        self._bell.set()

    async def _pause(self) -> None:
        await asyncio.sleep(self.outage.slot())

    async def _step(self, want: int) -> bool:
        """Tell Redis all there is to tell and claim. False if it did not hear us: nothing is forgotten then."""
        self._hungry = False  # a token that comes while we talk makes it true again
        results, back = list(self.done), list(self.back)
        holding = [*self.running, *(o.id for o in results), *back]
        op = self.runtime.tasks.step.op(
            self.name,
            results,
            want=want,
            caps=self.caps,
            lease_ms=self.lease_ms,
            queue=self.queue,
            released=back,
            holding=holding,
        )
        try:
            claimed = (await self.runtime.run_many([op], patience=0))[0]
            if isinstance(claimed, Exception):
                raise claimed
        except Exception as e:
            self.outage.failed(e)
            self._hungry = True
            return False
        self.outage.fine()
        self._spoke, self._due_ms = time.monotonic(), claimed.next_due_ms
        for queue, told in ((self.done, results), (self.back, back)):
            for _ in told:
                queue.popleft()
        self.tell_refused(claimed.refused)
        self.back.extend(claimed.strays)
        for id in claimed.lost:  # cancelled, timed out, or given to others when our lease had ended
            if held := self.running.pop(id, None):
                held[0].cancel()
                self._cancel_plain(id)
        for claim in claimed.tasks:
            self.running[claim.id] = (asyncio.create_task(self._one(claim)), claim)
        self._hungry = self._hungry or len(claimed.tasks) >= want > 0
        return True

    # -- one task

    async def _one(self, claim: Claim) -> None:
        outcome: Outcome | None = None
        try:
            async with asyncio.timeout(claim.timeout_ms / 1000 if claim.timeout_ms else None):
                outcome = await self._call(claim)
        except TimeoutError:
            self.timed_out += 1
            outcome = Outcome.failed(claim, f"timed out after {claim.timeout_ms / 1000:g} s")
        except asyncio.CancelledError:
            pass  # lost, or handed back at the end
        held = self.running.get(claim.id)
        if held and held[1] is claim:  # else it is ours no more, or ours again as another attempt
            del self.running[claim.id]
            self._cancel_plain(claim.id)
            if outcome:
                self.done.append(outcome)
            else:
                self.back.append(claim.id)
        self._bell.set()

    async def _call(self, claim: Claim) -> Outcome:
        handler = self.handlers.tasks.get(claim.kind)
        if handler is None or handler.coroutine:
            return await calls.run_coroutine(
                self.handlers, claim, lambda: AsyncContext(claim, self.queue, self.runtime)
            )
        async with self._slots:
            future: asyncio.Future[Outcome] = self._loop.create_future()
            # A thread of its own and daemonic: one that hangs must hold up neither the others nor the end.
            threading.Thread(target=self._in_thread, args=(claim, future), name=claim.id, daemon=True).start()
            return await future

    def _in_thread(self, claim: Claim, future: asyncio.Future[Outcome]) -> None:
        outcome = calls.run(self.handlers, claim, lambda: self._plain(claim))
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits for it
            self._loop.call_soon_threadsafe(_hand_over, future, outcome)

    def _plain(self, claim: Claim) -> Context:
        context = self._contexts[claim.id] = Context(claim, self.queue, self._for_threads)
        return context

    def _cancel_plain(self, id: str) -> None:
        if context := self._contexts.pop(id, None):
            context.cancel()

    # -- the end

    async def _drain(self) -> None:
        """Finish what runs, deliver, hand back the rest, and take leave."""
        end = time.monotonic() + self.drain_timeout
        while self.running and not self.hurry and time.monotonic() < end:
            self._bell.clear()
            if self.done or self.back or time.monotonic() - self._spoke >= self.every:
                if not await self._step(0):
                    await self._pause()
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._bell.wait(), 0.1)
        for task, _ in self.running.values():
            task.cancel()
        if self.running:
            await asyncio.wait([task for task, _ in self.running.values()], timeout=1)
        if self.hurry or not self.done:
            end = 0.0  # to leave is polite, but leases end anyway
        end = max(end, time.monotonic() + 2)
        while not await self._farewell() and time.monotonic() < end:
            await self._pause()

    async def _farewell(self) -> bool:
        """Deliver what is done and leave, which hands back the rest."""
        if self.done and not await self._step(0):
            return False
        try:
            await self.runtime.run_many([self.runtime.tasks.leave.op(self.name, queue=self.queue)], patience=0)
        except SwarmError as e:
            self.outage.failed(e)
            return False
        return True

    @contextlib.asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        main = threading.current_thread() is threading.main_thread()
        for which in (SIGTERM, SIGINT) if main else ():
            self._loop.add_signal_handler(which, self.signalled)
        try:
            yield
        finally:
            for which in (SIGTERM, SIGINT) if main else ():
                self._loop.remove_signal_handler(which)


def _hand_over(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
