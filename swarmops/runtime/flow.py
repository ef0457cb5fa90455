"""Things of several steps, written once for both executors: a generator that yields steps and is given their results.

| a step | is answered by |
| --- | --- |
| an Op | its result |
| a list or tuple of Ops | their results, in one flush; the first error among them is raised |
| a Batch | their results with the errors among them, and a patience of its own |
| On(runtime, ops) | the same as a list, from another runtime (the uplink has two) |
| a function | what it returns; on asyncio from a thread, so that hashing megabytes does not hold up the loop |
| a float | nothing, after so many seconds |
| an awaitable | its result, on asyncio only |

What goes wrong is raised inside the generator. `@flow` turns such a method of a room into a call, as `@operation` does;
`.steps(...)` is the generator itself, for `yield from` in another flow.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from swarmops.runtime.op import Async, Op, Room, Sync, good

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
Steps = Generator[Any, Any, T]


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations for one flush. patience: seconds to wait for a Redis that is away; None is what the settings say."""

    ops: tuple[Op[Any], ...]
    patience: float | None = None


@dataclass(frozen=True, slots=True)
class On:
    """Operations for another runtime than the flow's own."""

    runtime: Any
    ops: Sequence[Op[Any]]


def elsewhere(runtime: Any, steps: Steps[T]) -> Steps[T]:
    """The same flow with its operations going to `runtime`."""
    reply: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        error = None
        try:
            if isinstance(step, Op):
                (reply,) = yield On(runtime, [step])
            else:
                reply = yield On(runtime, step) if isinstance(step, list | tuple) else step
        except Exception as e:
            error = e


def is_async(runtime: Any) -> bool:
    return inspect.iscoroutinefunction(runtime.run)


def carry_out(runtime: Any, steps: Steps[T]) -> Any:
    """The result of the flow, or on an asyncio runtime an awaitable of it."""
    return drive_async(runtime, steps) if is_async(runtime) else drive_sync(runtime, steps)


def drive_sync(runtime: Any, steps: Steps[T]) -> T:
    """The end of `steps`, carried out on a Runtime. Raises what the steps raise."""
    reply: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        reply, error = None, None
        try:
            reply = _one(runtime, step)
        except Exception as e:
            error = e


def _one(runtime: Any, step: Any) -> Any:
    if isinstance(step, Op):
        return runtime.run(step)
    if isinstance(step, Batch):
        return runtime.run_many(step.ops, step.patience)
    if isinstance(step, On):
        return good(step.runtime.run_many(step.ops))
    if isinstance(step, list | tuple):
        return good(runtime.run_many(step))
    if callable(step):
        return step()
    if isinstance(step, float):
        return time.sleep(step)
    if inspect.iscoroutine(step):
        step.close()
    raise TypeError(f"{step!r} must be awaited: use an AsyncRuntime")


async def drive_async(runtime: Any, steps: Steps[T]) -> T:
    """The same on an AsyncRuntime."""
    reply: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        reply, error = None, None
        try:
            reply = await _one_awaited(runtime, step)
        except Exception as e:
            error = e


async def _one_awaited(runtime: Any, step: Any) -> Any:
    if isinstance(step, Op):
        return await runtime.run(step)
    if isinstance(step, Batch):
        return await runtime.run_many(step.ops, step.patience)
    if isinstance(step, On):
        return good(await step.runtime.run_many(step.ops))
    if isinstance(step, list | tuple):
        return good(await runtime.run_many(step))
    if callable(step):
        return await asyncio.to_thread(step)
    return await (asyncio.sleep(step) if isinstance(step, float) else step)


class Flow(Generic[P, T, R]):
    """A method of several steps, bound to its room."""

    __slots__ = ("_make", "_room")

    def __init__(self, make: Callable[..., Steps[T]], room: Room[Any]):
        self._make, self._room = make, room

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = carry_out(self._room.runtime, self._make(self._room, *args, **kwargs))
        return result

    def steps(self, *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
        """The generator itself."""
        return self._make(self._room, *args, **kwargs)


class flow(Generic[P, T]):
    """Turns a method that yields steps into one that carries them out."""

    def __init__(self, make: Callable[Concatenate[Any, P], Steps[T]]):
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, room: Room[Sync], owner: Any = None) -> Flow[P, T, T]: ...
    @overload
    def __get__(self, room: Room[Async], owner: Any = None) -> Flow[P, T, Awaitable[T]]: ...
    @overload
    def __get__(self, room: None, owner: Any = None) -> flow[P, T]: ...
    def __get__(self, room: Any, owner: Any = None) -> Any:
        return self if room is None else Flow(self._make, room)
