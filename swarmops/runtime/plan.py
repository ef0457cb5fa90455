"""Things that take several round trips, written once for both executors.

A plan is a generator. It yields a list of operations and is given their results, or a function and is given what that
returns (on asyncio from a thread: hashing and compressing megabytes must not hold up the loop). The first error among
results is raised where the plan yielded. `@plan` turns such a method of a room into a call, as `@operation` does;
`.steps(...)` is the generator itself, for `yield from` in another plan.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from swarmops.runtime.op import Async, Op, Room, Sync

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class On:
    """Operations for another runtime than the plan's own (the uplink has two)."""

    runtime: Any
    ops: Sequence[Op[Any]]


Step = Sequence[Op[Any]] | Callable[[], Any] | On
Steps = Generator[Step, Any, T]


def elsewhere(runtime: Any, steps: Steps[T]) -> Steps[T]:
    """The same plan with its operations going to `runtime`."""
    result: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(result)
        except StopIteration as e:
            done: T = e.value
            return done
        error = None
        try:
            result = yield step if callable(step) or isinstance(step, On) else On(runtime, step)
        except Exception as e:
            error = e


def carry_out(runtime: Any, steps: Steps[T]) -> Any:
    """The result of the plan, or on an asyncio runtime an awaitable of it."""
    return _awaited(runtime, steps) if inspect.iscoroutinefunction(runtime.run_many) else _driven(runtime, steps)


def _driven(runtime: Any, steps: Steps[T]) -> T:
    result: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(result)
        except StopIteration as e:
            done: T = e.value
            return done
        error = None
        try:
            if callable(step):
                result = step()
            else:
                on = step if isinstance(step, On) else On(runtime, step)
                result = _good(on.runtime.run_many(on.ops))
        except Exception as e:
            error = e


async def _awaited(runtime: Any, steps: Steps[T]) -> T:
    result: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(result)
        except StopIteration as e:
            done: T = e.value
            return done
        error = None
        try:
            if callable(step):
                result = await asyncio.to_thread(step)
            else:
                on = step if isinstance(step, On) else On(runtime, step)
                result = _good(await on.runtime.run_many(on.ops))
        except Exception as e:
            error = e


def _good(results: list[Any]) -> list[Any]:
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


class Planned(Generic[P, T, R]):
    """A plan of a room, bound to it."""

    __slots__ = ("_make", "_room")

    def __init__(self, make: Callable[..., Steps[T]], room: Room[Any]):
        self._make, self._room = make, room

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = carry_out(self._room.runtime, self._make(self._room, *args, **kwargs))
        return result

    def steps(self, *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
        """The generator itself."""
        return self._make(self._room, *args, **kwargs)


class plan(Generic[P, T]):
    """Turns a method that is a generator into one that carries it out."""

    def __init__(self, make: Callable[Concatenate[Any, P], Steps[T]]):
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, room: Room[Sync], owner: Any = None) -> Planned[P, T, T]: ...
    @overload
    def __get__(self, room: Room[Async], owner: Any = None) -> Planned[P, T, Awaitable[T]]: ...
    @overload
    def __get__(self, room: None, owner: Any = None) -> plan[P, T]: ...
    def __get__(self, room: Any, owner: Any = None) -> Any:
        return self if room is None else Planned(self._make, room)
