"""Operations are data: what goes to Redis and how the answer is read. Two executors carry them out, here nobody waits.

A room (tasks, agents, ...) is a class whose methods make operations. `@operation` turns such a method into a call: on
a room of a `Runtime` it returns the result, on a room of an `AsyncRuntime` an awaitable of it, and `.op(...)` returns
the operation itself, to be sent with others by `run_many`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from swarmops.runtime.keys import Keys
    from swarmops.runtime.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
Arg = str | bytes | int | float


class Sync:
    """Marks rooms whose calls return results."""


class Async:
    """Marks rooms whose calls return awaitables."""


Mode = TypeVar("Mode", Sync, Async)


def same(reply: Any) -> Any:
    return reply


def good(results: list[Any]) -> list[Any]:
    """What `run_many` gave, when nothing of it is an error. Raises the first error."""
    for one in results:
        if isinstance(one, Exception):
            raise one
    return results


@dataclass(frozen=True, slots=True)
class Op(Generic[T]):
    """One script or command on one hash slot.

    script: name of a file in scripts/ without its ending; "" for a plain command, whose name is args[0] then.
    keys: the keys it works on, all of one hash tag (for a command: only used to find the slot).
    read: makes the result of the raw reply (bytes, ints and lists of them).
    safe: may be sent again when the answer was lost, because doing it twice is doing it once.
    durable: waits for replicas where the settings ask for it.
    block: seconds that Redis may keep us waiting (BLPOP, XREAD), on top of the usual time.
    items: arguments for each of many alike things; operations with the same script, keys and args are joined into one
        by the asyncio executor when they are under way at the same time. The reply is then a list, an element an item,
        and `read` gets the elements of this operation's items.
    """

    script: str
    keys: tuple[str, ...]
    args: tuple[Arg, ...] = ()
    read: Callable[[Any], T] = same
    safe: bool = False
    durable: bool = False
    block: float = 0.0
    items: tuple[tuple[Arg, ...], ...] = ()


def command(key: str, *args: Arg, safe: bool = False) -> Op[Any]:
    """A plain Redis command. `key` is one that it works on, or any on the node that shall carry it out."""
    return Op("", (key,), args, safe=safe)


class Executor(Protocol):
    """What a room needs of its runtime."""

    settings: Settings
    keys: Keys

    def run(self, op: Op[Any]) -> Any: ...


class Room(Generic[Mode]):
    """A part of the runtime: tasks, agents, messages, ..."""

    def __init__(self, runtime: Executor):
        self.runtime = runtime
        self.keys, self.settings = runtime.keys, runtime.settings

    def _registry(self, *parts: str) -> tuple[str, ...]:
        """These keys of the registry."""
        return tuple(map(self.keys.registry, parts))


class Call(Generic[P, T, R]):
    """A method of a room, bound to it."""

    __slots__ = ("_make", "_room")

    def __init__(self, make: Callable[..., Op[T]], room: Room[Any]):
        self._make, self._room = make, room

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self._room.runtime.run(self._make(self._room, *args, **kwargs))
        return result

    def op(self, *args: P.args, **kwargs: P.kwargs) -> Op[T]:
        """The operation itself, not carried out."""
        return self._make(self._room, *args, **kwargs)


class operation(Generic[P, T]):
    """Turns a method that makes an Op into one that carries it out."""

    def __init__(self, make: Callable[Concatenate[Any, P], Op[T]]):
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, room: Room[Sync], owner: Any = None) -> Call[P, T, T]: ...
    @overload
    def __get__(self, room: Room[Async], owner: Any = None) -> Call[P, T, Awaitable[T]]: ...
    @overload
    def __get__(self, room: None, owner: Any = None) -> operation[P, T]: ...
    def __get__(self, room: Any, owner: Any = None) -> Any:
        return self if room is None else Call(self._make, room)
