"""What a worker can do: functions by the name of the task they handle, and hooks around them (S1-14).

    handlers = Handlers()

    @handlers.task("resize")
    def resize(path: str, width: int = 800) -> dict[str, int]: ...

    @handlers.task            # handles tasks of the function's own name
    async def fetch(url: str, context: AsyncContext) -> str: ...

A task whose args are a JSON object calls its function with keywords; null calls it with nothing, anything else is its
one argument. A parameter annotated Context or AsyncContext is given the context. What is returned is the result (JSON).
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

from swarmops.runtime import ids
from swarmops.runtime.errors import Invalid

F = TypeVar("F", bound=Callable[..., Any])
GROUP = "swarmops.tasks"
_CONTEXT = re.compile(r"(\w+\.)*(Async)?Context( \| None)?")


class Retry(Exception):
    """Raised by a handler: try this again, after so many seconds (None: the task's own backoff)."""

    def __init__(self, after: float | None = None, reason: str = "the handler asked for another try"):
        self.after, self.reason = after, reason
        super().__init__(reason)


class Fatal(Exception):
    """Raised by a handler: no further try will help. The task goes to the dead letters at once."""


@dataclass(frozen=True, slots=True)
class Handler:
    """One function. context: the parameter that is given the context, "" for none."""

    name: str
    function: Callable[..., Any]
    context: str = ""
    coroutine: bool = False

    @classmethod
    def of(cls, name: str, function: Callable[..., Any]) -> Handler:
        ids.name(name, "task")
        if not callable(function):
            raise Invalid(f"task {name}", f"{type(function).__name__} cannot be called")
        call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
        return cls(name, function, _context_of(function), inspect.iscoroutinefunction(call))


@dataclass
class Handlers:
    """Handlers by name, and hooks: init before the first task, tick every so many seconds, cleanup at the end."""

    tasks: dict[str, Handler] = field(default_factory=dict)
    inits: list[Callable[[], Any]] = field(default_factory=list)
    ticks: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)
    cleanups: list[Callable[[], Any]] = field(default_factory=list)

    @overload
    def task(self, name: F) -> F: ...
    @overload
    def task(self, name: str | None = None) -> Callable[[F], F]: ...
    def task(self, name: Any = None) -> Any:
        """Decorator: the function handles tasks of this name (default: its own). Raises Invalid if one does."""
        if callable(name):
            return self.task()(name)

        def register(function: F) -> F:
            self.add(name or function.__name__, function)
            return function

        return register

    def add(self, name: str, function: Callable[..., Any]) -> None:
        """Register by name. Raises Invalid."""
        if name in self.tasks and self.tasks[name].function is not function:
            raise Invalid(f"task {name}", "has two handlers")
        self.tasks[name] = Handler.of(name, function)

    def init(self, hook: F) -> F:
        """Decorator: called once before the first task. What it raises ends the worker."""
        self.inits.append(hook)
        return hook

    def tick(self, every: float = 10.0) -> Callable[[F], F]:
        """Decorator: called every so many seconds. What it raises is logged."""

        def register(hook: F) -> F:
            self.ticks.append((every, hook))
            return hook

        return register

    def cleanup(self, hook: F) -> F:
        """Decorator: called once at the end, also on SIGTERM. What it raises is logged."""
        self.cleanups.append(hook)
        return hook

    def include(self, other: Handlers) -> None:
        """Take over all of `other`. Raises Invalid for a task with two handlers."""
        for handler in other.tasks.values():
            self.add(handler.name, handler.function)
        self.inits += other.inits
        self.ticks += other.ticks
        self.cleanups += other.cleanups

    def unknown(self, kind: str) -> str:
        """The sentence for a task that nobody here handles (case 77)."""
        known = ", ".join(sorted(self.tasks)[:50]) or "none"
        return f"this worker knows no task {kind[:128]!r} (it knows: {known})"

    @property
    def coroutines(self) -> bool:
        return any(h.coroutine for h in self.tasks.values())

    @classmethod
    def of(cls, given: object) -> Handlers:
        """From Handlers, a mapping of names to functions, or one function. Raises Invalid for anything else."""
        if isinstance(given, Handlers):
            return given
        found = cls()
        if isinstance(given, Mapping):
            for name, function in given.items():
                found.add(name, function)
        elif callable(given):
            found.add(getattr(given, "__name__", type(given).__name__), given)
        else:
            raise Invalid("handlers", f"{type(given).__name__} is neither Handlers, a dict of functions nor a function")
        return found

    @classmethod
    def find(cls, *specs: str) -> Handlers:
        """From `module:name` each; without any, all entry points of the group swarmops.tasks. Raises Invalid."""
        found = cls()
        if specs:
            for spec in specs:
                found.include(cls.of(_load(spec)))
        else:
            for name, given in _entry_points():
                if isinstance(given, Handlers | Mapping):
                    found.include(cls.of(given))
                else:
                    found.add(name, given)
        if not found.tasks:
            where = ", ".join(specs) or f"the entry point group {GROUP}"
            raise Invalid("handlers", f"there is no handler in {where} (say --handlers module:name)")
        return found


def _entry_points() -> Iterator[tuple[str, Any]]:
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        try:
            yield point.name, point.load()
        except Exception as e:
            raise Invalid(f"entry point {GROUP}: {point.name}", f"{point.value}: {type(e).__name__}: {e}") from e


def _load(spec: str) -> Any:
    """The object that `module:name` names. Modules are looked for in the current folder too, as `python -m` does."""
    module, colon, name = spec.partition(":")
    if not module or not colon or not name:
        raise Invalid("handlers", f"{spec[:80]!r} is not module:name (example: my_tasks:handlers)")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as e:
        if e.name and (module == e.name or module.startswith(e.name + ".")):
            raise Invalid("handlers", f"there is no module {e.name!r} (looked in {here} too)") from None
        raise Invalid("handlers", f"{module} cannot be imported: {e}") from e
    except Exception as e:
        raise Invalid("handlers", f"{module} cannot be imported: {type(e).__name__}: {e}") from e
    for part in name.split("."):
        if not hasattr(found, part):
            raise Invalid("handlers", f"{module} has no {name!r}")
        found = getattr(found, part)
    return found


def _context_of(function: Callable[..., Any]) -> str:
    """The name of the parameter annotated Context: by its text, for the annotation may name what is not imported."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return ""
    for p in parameters:
        kind = p.annotation if isinstance(p.annotation, str) else getattr(p.annotation, "__name__", str(p.annotation))
        if _CONTEXT.fullmatch(kind.strip("'\"")):
            return p.name
    return ""
