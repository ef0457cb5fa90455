"""Things of several steps, written once: a generator that yields operations, driven with or without awaiting.

`@flow` turns such a method of a room into a call that returns the result on a Runtime, an awaitable of it on an
AsyncRuntime. A step is an Op (answered by its result), a Batch (by the list of results, errors among them), a float
(a pause in seconds) or an awaitable. What goes wrong is raised inside the generator.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from swarmops.runtime.op import Async, Op, Room, Sync

P = ParamSpec("P")
T = TypeVar("T")
Steps = Generator[Any, Any, T]


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations for one flush. patience: seconds to wait for a Redis that is away; None is what the settings say."""

    ops: tuple[Op[Any], ...]
    patience: float | None = None


class flow(Generic[P, T]):
    """Turns a method that yields steps into one that carries them out."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]):
        self._steps = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, room: Room[Sync], owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, room: Room[Async], owner: Any = None) -> Callable[P, Awaitable[T]]: ...
    @overload
    def __get__(self, room: None, owner: Any = None) -> flow[P, T]: ...
    def __get__(self, room: Any, owner: Any = None) -> Any:
        if room is None:
            return self

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            drive = drive_async if is_async(room.runtime) else drive_sync
            return drive(room.runtime, self._steps(room, *args, **kwargs))

        return call


def is_async(runtime: Any) -> bool:
    return inspect.iscoroutinefunction(runtime.run)


def drive_sync(runtime: Any, steps: Steps[T]) -> T:
    """The end of `steps`, carried out on a Runtime. Raises what the steps raise."""
    reply, error = None, None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        reply, error = None, None
        try:
            if isinstance(step, Op):
                reply = runtime.run(step)
            elif isinstance(step, Batch):
                reply = runtime.run_many(step.ops, step.patience)
            elif isinstance(step, float):
                time.sleep(step)
            else:
                if inspect.iscoroutine(step):
                    step.close()
                raise TypeError(f"{step!r} must be awaited: use an AsyncRuntime")
        except Exception as e:
            error = e


async def drive_async(runtime: Any, steps: Steps[T]) -> T:
    """The same on an AsyncRuntime."""
    reply, error = None, None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        reply, error = None, None
        try:
            if isinstance(step, Op):
                reply = await runtime.run(step)
            elif isinstance(step, Batch):
                reply = await runtime.run_many(step.ops, step.patience)
            elif isinstance(step, float):
                await asyncio.sleep(step)
            else:
                reply = await step
        except Exception as e:
            error = e
