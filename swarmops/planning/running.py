"""What happens while one text is rendered: whether a secret was opened, and everything that went wrong.

A `Run` is one rendering. Runs nest, because a role's variable is evaluated when a template first asks for it.
Nothing raises at the first mistake: what is not set is noted with its line and rendered as nothing, so that one
rendering names all its faults (case 58).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from swarmops.model.faults import Mark


@dataclass(frozen=True)
class Trouble:
    """One mistake found while rendering. `name` is what is not set, and `holder` the map it was sought in."""

    mark: Mark
    sentence: str
    hint: str = ""
    name: str = ""
    holder: Any = field(default=None, compare=False)
    raised: bool = False  # by Python or Jinja, in whatever the text did


@dataclass
class Run:
    """One rendering: where the text stands, whether a secret was opened, what went wrong."""

    mark: Mark
    secret: bool = False
    troubles: list[Trouble] = field(default_factory=list)
    expression: bool = False  # looked up without a Jinja frame, so the mark is the place
    silent: bool = False  # something was used whose fault was noted already: what comes of it is of no use


_runs: list[Run] = []


@contextmanager
def running(run: Run) -> Iterator[Run]:
    _runs.append(run)
    try:
        yield run
    finally:
        _runs.pop()


def note(sentence: str, hint: str = "", *, name: str = "", holder: Any = None) -> None:
    """Adds a trouble at the line that is being rendered."""
    if not _runs:
        raise ValueError(sentence or f"'{name}' is not set")
    run = _runs[-1]
    made = Trouble(here(), sentence, hint, name, holder)
    for other in run.troubles:
        if other == made or (name and (other.name, other.mark.file) == (name, made.mark.file)):
            return
    run.troubles.append(made)


def here() -> Mark:
    """The line that is being rendered."""
    run = _runs[-1]
    frame = None if run.expression else sys._getframe(1)
    while frame is not None:
        if template := frame.f_globals.get("__jinja_template__"):
            return place(template, frame.f_lineno)
        frame = frame.f_back
    return run.mark


def place(template: Any, lineno: int) -> Mark:
    """The place in the user's file of a line of a template's Python code."""
    line = template.get_corresponding_lineno(lineno)
    mark: Mark | None = getattr(template, "swarmops_mark", None)
    if mark is None:
        return Mark(template.filename or template.name or "", line)
    return mark if line <= 1 else Mark(mark.file, mark.line + line - 1)


def place_of_error(error: BaseException, mark: Mark) -> Mark:
    """The template line that an exception came through last, or `mark`."""
    trace = error.__traceback__
    while trace is not None:
        if template := trace.tb_frame.f_globals.get("__jinja_template__"):
            mark = place(template, trace.tb_lineno)
        trace = trace.tb_next
    return mark


def opened() -> None:
    """Marks what is being rendered as secret."""
    if _runs:
        _runs[-1].secret = True


def silence() -> None:
    """What is being rendered used something whose fault was noted already."""
    if _runs:
        _runs[-1].silent = True


def under_way() -> bool:
    """Whether something is being rendered; if not, a template is being compiled."""
    return bool(_runs)
