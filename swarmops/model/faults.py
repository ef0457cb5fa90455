"""Faults: what is wrong with what the user wrote, each with its place.

Every reader in `model` and `planning` adds to one `Faults` and goes on, so that a run names all mistakes at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

CAP = 50


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file. `line` and `column` count from 1; 0 means unknown."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        parts = [self.file or "<command line>"]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


@dataclass(frozen=True, order=True)
class Fault:
    """One mistake. `path` is the dotted way to the value, such as `redis-1.tier`."""

    mark: Mark
    path: str
    sentence: str
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        where = f"{self.mark}: " + (f"{self.path}: " if self.path else "")
        kind = "warning: " if self.warning else ""
        return f"{where}{kind}{self.sentence}" + (f" ({self.hint})" if self.hint else "")


@dataclass
class Faults:
    """Collects faults over a whole run."""

    found: list[Fault] = field(default_factory=list)

    def add(self, mark: Mark, path: str, sentence: str, hint: str = "") -> None:
        self._keep(Fault(mark, path, sentence, hint))

    def warn(self, mark: Mark, path: str, sentence: str, hint: str = "") -> None:
        self._keep(Fault(mark, path, sentence, hint, warning=True))

    def _keep(self, fault: Fault) -> None:
        if fault not in self.found:
            self.found.append(fault)

    @property
    def errors(self) -> list[Fault]:
        return [f for f in self.found if not f.warning]

    @property
    def warnings(self) -> list[Fault]:
        return [f for f in self.found if f.warning]

    def __bool__(self) -> bool:
        return bool(self.errors)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.found)

    def stop_if_any(self) -> None:
        """Raise `InputError` when there is an error among them."""
        if self:
            raise InputError(self)


class InputError(Exception):
    """The user's input is wrong (exit code 2). Holds every fault that was found."""

    def __init__(self, faults: Faults):
        self.faults = faults
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """What the user sees: one line a fault, at most 50, and a closing line."""
        errors = self.faults.errors
        shown = [str(f) for f in sorted(errors)[:CAP]]
        if len(errors) > CAP:
            shown.append(f"... and {len(errors) - CAP} more")
        shown.append(f"{len(errors)} fault{'s' * (len(errors) != 1)}. Nothing was contacted.")
        return shown

    @classmethod
    def one(cls, sentence: str, *, mark: Mark | None = None, path: str = "", hint: str = "") -> InputError:
        faults = Faults()
        faults.add(mark or Mark(), path, sentence, hint)
        return cls(faults)


def closest(word: str, known: Iterable[str]) -> str:
    """A hint such as "did you mean 'dest'?", or the known words when none is near."""
    words = sorted({str(k) for k in known})
    near = difflib.get_close_matches(str(word), words, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(words)}" if 0 < len(words) <= 12 else ""
