"""Loops that receive: one connection a process for any number of addresses (S3-12 to S3-14, S3-18, S3-20, S3-54).

    inbox = Inbox(rt, "agent.npu-1", channels=["global", "tasks"])
    inbox.on("task_assignment", lambda payload, envelope: work(payload["task_id"]))  # before it starts
    with inbox:
        ...

What a handler returned from is acknowledged; what it raised on comes again after `visible` seconds, at most `tries`
times. So a message may be handled twice (a crash between handling and acknowledging), and is never lost for that.
Handlers run one after another. What a handler of a request returns is the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.errors import Refused, SwarmError, Unavailable
from swarmops.runtime.messages.desk import Delivery
from swarmops.runtime.messages.receiver import Receiver
from swarmops.runtime.op import good

AWAY = 0.5  # seconds between looks at a Redis that is away


class Inbox(Receiver[Runtime]):
    """Receives in a thread (`start`, or `with`), or where it is called (`run`). on_error(delivery, e): else logged."""

    _ready: threading.Event

    def _prepare(self) -> None:
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, address: str, channels: Sequence[str] = ("global",)) -> None:
        """Receive for one more address, on the same connection."""
        self.desk.add(address, channels)
        self._ring()

    def remove(self, address: str) -> None:
        """Receive for it no more, and leave its channels. Its inbox stays."""
        self.rt.run_many(self.desk.remove(address))
        self._ring()

    def start(self, within: float = 10.0) -> Inbox:
        """Receive in a thread. Returns when the channels are joined, or after `within` seconds without Redis.

        Raises what Redis refuses, as Full for a channel with 10,000 members.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self.run, name="inbox", daemon=True)
            self._thread.start()
            end = time.monotonic() + within
            while not self._ready.wait(0.02) and time.monotonic() < end:
                if self.trouble and not isinstance(self.trouble, Unavailable):
                    self.stop()
                    raise self.trouble
        return self

    def stop(self) -> None:
        """End after the message in hand; what is handled is acknowledged."""
        self._stop.set()
        self._ring()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Inbox:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def run(self) -> None:
        """Receive until `stop`. Goes on by itself after Redis was away."""
        while not self._stop.is_set():
            try:
                self._turn()
            except SwarmError as e:
                self._trouble(e)
                self._stop.wait(AWAY)
        with contextlib.suppress(SwarmError):
            self.rt.run_many(self.desk.flush(), patience=0)

    def _turn(self) -> None:
        joins, takes = self.desk.joins(), self.desk.takes()
        found = self.rt.run_many([op for *_, op in joins] + [op for _, op in takes])
        self._handle(self._came(joins, takes, found))
        if not self._stop.is_set() and not self.desk.woken:
            self._handle(self.desk.came(good(self.rt.run_many([*self.desk.flush(), self.desk.wait()]))[-1]))

    def _handle(self, arrived: list[Delivery]) -> None:
        for delivery in arrived:
            if self._stop.is_set():
                return
            if self.desk.wanted(delivery):
                self._call(delivery)

    def _call(self, delivery: Delivery) -> None:
        answer, errors, handlers = None, [], self.desk.who(delivery)
        for handler in handlers:
            try:
                said = handler(delivery.envelope.payload, delivery.envelope)
                answer = said if answer is None else answer
            except Exception as e:
                errors.append(e)
        for op in self._outcome(delivery, len(handlers), answer, errors):
            try:
                self.rt.run(op)
            except Refused as e:
                self._on_error(delivery, e)

    def _ring(self) -> None:
        with contextlib.suppress(SwarmError):
            self.rt.run_many(self.desk.ring(), patience=0)


class AsyncInbox(Receiver[AsyncRuntime]):
    """The same for asyncio; handlers may be functions or coroutine functions."""

    _ready: asyncio.Event

    def _prepare(self) -> None:
        self._stopped = False
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def add(self, address: str, channels: Sequence[str] = ("global",)) -> None:
        self.desk.add(address, channels)
        await self._ring()

    async def remove(self, address: str) -> None:
        await self.rt.run_many(self.desk.remove(address))
        await self._ring()

    async def start(self, within: float = 10.0) -> AsyncInbox:
        if self._task is None:
            self._task = asyncio.create_task(self.run())
            end = time.monotonic() + within
            while not self._ready.is_set() and time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ready.wait(), 0.02)
                if self.trouble and not isinstance(self.trouble, Unavailable):
                    await self.stop()
                    raise self.trouble
        return self

    async def stop(self) -> None:
        self._stopped = True
        await self._ring()
        if self._task and self._task is not asyncio.current_task():
            await self._task

    async def __aenter__(self) -> AsyncInbox:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    async def run(self) -> None:
        while not self._stopped:
            try:
                await self._turn()
            except SwarmError as e:
                self._trouble(e)
                await asyncio.sleep(AWAY)
        with contextlib.suppress(SwarmError):
            await self.rt.run_many(self.desk.flush(), patience=0)

    async def _turn(self) -> None:
        joins, takes = self.desk.joins(), self.desk.takes()
        found = await self.rt.run_many([op for *_, op in joins] + [op for _, op in takes])
        await self._handle(self._came(joins, takes, found))
        if not self._stopped and not self.desk.woken:
            flushed = await self.rt.run_many([*self.desk.flush(), self.desk.wait()])
            await self._handle(self.desk.came(good(flushed)[-1]))

    async def _handle(self, arrived: list[Delivery]) -> None:
        for delivery in arrived:
            if self._stopped:
                return
            if self.desk.wanted(delivery):
                await self._call(delivery)

    async def _call(self, delivery: Delivery) -> None:
        answer, errors, handlers = None, [], self.desk.who(delivery)
        for handler in handlers:
            try:
                said = handler(delivery.envelope.payload, delivery.envelope)
                if inspect.isawaitable(said):
                    said = await said
                answer = said if answer is None else answer
            except Exception as e:
                errors.append(e)
        for op in self._outcome(delivery, len(handlers), answer, errors):
            try:
                await self.rt.run(op)
            except Refused as e:
                self._on_error(delivery, e)

    async def _ring(self) -> None:
        with contextlib.suppress(SwarmError):
            await self.rt.run_many(self.desk.ring(), patience=0)
