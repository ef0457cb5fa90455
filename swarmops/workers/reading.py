"""Options and task arguments read with all their mistakes at once.

faults: list[str] = []
fields = Fields({"timeout": -1, "tmeout": 3}, "options", faults)
timeout = fields.number("timeout", 30, 0.1, 3600)
fields.end()
# faults: options.timeout: ..., options.tmeout: is not known (did you mean 'timeout'?)

"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from swarmops.runtime import ids
from swarmops.runtime.errors import Invalid

T = TypeVar("T")
LONGEST = 100_000  # characters of one text, unless said otherwise


class Fields:
    """The fields of one object, each asked for by name, with what counts when it is absent. Mistakes are collected."""

    def __init__(self, said: object, path: str, faults: list[str]):
        self.path, self.faults = path, faults
        self.said: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
        self._asked: set[str] = set()
        if not isinstance(said, Mapping):
            faults.append(f"{path}: is not an object")

    def take(self, key: str, absent: T, read: Callable[[Any], T]) -> T:
        """`read` of the value; what it raises as Invalid is a fault, at the path it says below this one."""
        self._asked.add(key)
        if key not in self.said:
            return absent
        try:
            return read(self.said[key])
        except Invalid as e:
            self.fault(f"{key}{e.path}", str(e).removeprefix(f"{e.path}: "))
            return absent

    def fault(self, key: str, sentence: str) -> None:
        self.faults.append(f"{self._at(key)}: {sentence}")

    def need(self, key: str) -> None:
        """A fault if it is absent."""
        self._asked.add(key)
        if key not in self.said:
            self.fault(key, "is missing")

    def has(self, key: str) -> bool:
        return key in self.said

    def number(self, key: str, absent: float, low: float, high: float) -> float:
        return self.take(key, absent, lambda v: ids.number(v, "", low, high))

    def whole(self, key: str, absent: int, low: int, high: int) -> int:
        return self.take(key, absent, lambda v: whole(v, low, high))

    def text(self, key: str, absent: str, longest: int = LONGEST) -> str:
        return self.take(key, absent, lambda v: text(v, longest))

    def texts(self, key: str, absent: Sequence[str] = (), most: int = 1000) -> tuple[str, ...]:
        return self.take(key, tuple(absent), lambda v: texts(v, most))

    def flag(self, key: str, absent: bool) -> bool:
        return self.take(key, absent, flag)

    def one_of(self, key: str, absent: str, allowed: tuple[str, ...]) -> str:
        return self.take(key, absent, lambda v: ids.one_of(v, allowed, ""))

    def objects(self, key: str) -> dict[str, Any]:
        """An object whose keys are names of the user's own."""
        return self.take(key, {}, mapping)

    def inner(self, key: str) -> Fields:
        """The fields of an object within; empty when it is absent."""
        self._asked.add(key)
        return Fields(self.said.get(key, {}), self._at(key), self.faults)

    def end(self) -> None:
        """What nobody asked for is a mistake."""
        for key in self.said:
            if key not in self._asked:
                close = get_close_matches(str(key), sorted(self._asked), 1)
                known = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(self._asked))}"
                self.fault(str(key)[:80], f"is not known ({known})")

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def whole(value: object, low: int, high: int) -> int:
    """A number without a fraction. Raises Invalid."""
    if not isinstance(value, int):
        raise Invalid("", f"{str(value)[:80]!r} is not a whole number from {low} to {high}")
    return int(ids.number(value, "", low, high))


def text(value: object, longest: int = LONGEST) -> str:
    """Raises Invalid."""
    if not isinstance(value, str):
        raise Invalid("", f"{str(value)[:80]!r} is not text")
    if len(value) > longest:
        raise Invalid("", f"has {len(value):,} characters, the most is {longest:,}")
    if "\0" in value:
        raise Invalid("", "holds a NUL character")
    return value


def texts(value: object, most: int = 1000) -> tuple[str, ...]:
    """A list of texts. Raises Invalid."""
    if not isinstance(value, list | tuple):
        raise Invalid("", "is not a list")
    if len(value) > most:
        raise Invalid("", f"has {len(value):,} parts, the most is {most:,}")
    return tuple(_at(i, part) for i, part in enumerate(value))


def _at(i: int, value: object) -> str:
    try:
        return text(value)
    except Invalid as e:
        raise Invalid(f"[{i}]", str(e)) from None


def flag(value: object) -> bool:
    """Raises Invalid."""
    if not isinstance(value, bool):
        raise Invalid("", f"{str(value)[:80]!r} is neither true nor false")
    return value


def mapping(value: object) -> dict[str, Any]:
    """Raises Invalid."""
    if not isinstance(value, dict):
        raise Invalid("", "is not an object")
    return value


def pattern(value: object) -> re.Pattern[str]:
    """A regular expression. Raises Invalid."""
    try:
        return re.compile(text(value))
    except re.error as e:
        raise Invalid("", f"{str(value)[:80]!r} is not a regular expression: {e}") from None


def refuse(faults: Sequence[str]) -> None:
    """Raises Invalid for the arguments of a task, with all faults; then no further try is made."""
    if faults:
        raise Invalid("args", "; ".join(faults[:20]))
