"""What happens while one text is rendered: secrets that were opened, and everything that went wrong.

A `Run` is one rendering. Runs nest, because a role's variable is evaluated when a template first asks for it.
Nothing raises at the first mistake: what is not set is noted with its line and rendered as nothing, so that one
rendering names all its faults (case 58).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from jinja2 import Undefined

from swarmops.model.faults import Mark
from swarmops.planning.kinds_spec import CONTROL


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


class Omit:
    """Ansible's `omit`: an argument or an item as if it were not written."""

    def __repr__(self) -> str:
        return "omit"


OMIT = Omit()


class SecretText(str):
    """A secret's text while rendering. Making other text of it marks the rendering as secret."""

    __slots__ = ()

    def __str__(self) -> str:
        opened()
        return str.__str__(self)

    def __repr__(self) -> str:
        return "<secret>"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __iter__(self) -> Iterator[str]:
        return iter(str(self))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class Lines(str):
    """Text whose line breaks the role's author made: a macro's output, `| lines`, indented JSON."""

    __slots__ = ()


def holds_secret(value: Any) -> bool:
    """Whether there is a secret anywhere in it."""
    if isinstance(value, SecretText):
        return True
    if type(value) in (str, int, bool, float) or value is None:
        return False
    if isinstance(value, dict):
        return any(holds_secret(v) for v in value.values())
    return isinstance(value, list | tuple) and any(holds_secret(v) for v in value)


def veil(value: Any) -> Any:
    """Every text in it as `SecretText`: the result of an expression that opened a secret."""
    if isinstance(value, str):
        return SecretText(value)
    if isinstance(value, Mapping):
        return {k: veil(v) for k, v in value.items()}
    return [veil(v) for v in value] if isinstance(value, list | tuple) else value


def unveil(value: Any) -> Any:
    """The same data with secrets as plain text, marked as opened: what a step's arguments hold."""
    if isinstance(value, str):
        return value if type(value) is str else _plain(value)
    if isinstance(value, dict):
        return {k: unveil(v) for k, v in value.items() if v is not OMIT}
    return [unveil(v) for v in value if v is not OMIT] if isinstance(value, list | tuple) else value


def odd_in(value: Any) -> str:
    """What in a value cannot go to a host, such as the whole `hostvars`; '' when it is plain data."""
    if value is None or isinstance(value, str | int | float):
        return ""
    if isinstance(value, dict):
        return next((odd for k, v in value.items() if (odd := odd_in(k) or odd_in(v))), "")
    if isinstance(value, list | tuple):
        return next((odd for v in value if (odd := odd_in(v))), "")
    return type(value).__name__.strip("_").lower()


def _plain(value: str) -> str:
    if isinstance(value, SecretText):
        opened()
    return str.__str__(value)


class Missing(Undefined):
    """What is not set: noted once when it is used, then nothing. `is defined` and `default()` may look at it."""

    __slots__ = ("_noted",)

    def _note(self, *args: Any, **kwargs: Any) -> Any:
        if not getattr(self, "_noted", False):
            self._noted = True
            if self._undefined_hint:
                note(self._undefined_hint)
            else:
                note("", name=str(self._undefined_name), holder=self._undefined_obj)
        return self

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_":
            raise AttributeError(name)
        return self._note()

    def _text(self) -> str:
        self._note()
        return ""

    def _none(self, *args: Any) -> bool:
        self._note()
        return False

    def _zero(self) -> int:
        self._note()
        return 0

    def _no_items(self) -> Iterator[Any]:
        self._note()
        return iter(())

    _fail_with_undefined_error = _note
    __getitem__ = __call__ = _note
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __pos__ = _note
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _note
    __pow__ = __rpow__ = _note
    __str__ = _text
    __int__ = __len__ = _zero  # type: ignore[assignment]
    __float__ = _zero  # type: ignore[assignment]
    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _none  # type: ignore[assignment]
    __iter__ = _no_items
    __hash__ = Undefined.__hash__


class Silent(Missing):
    """What could not be evaluated and was noted already."""

    __slots__ = ()

    def _note(self, *args: Any, **kwargs: Any) -> Any:
        if _runs:
            _runs[-1].silent = True
        return self

    _fail_with_undefined_error = __getitem__ = __call__ = _note
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __pos__ = _note
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _note
    __pow__ = __rpow__ = _note


def guard(value: str) -> str:
    """A value on its way into a file: no line break nor other control character may come in with it (case 56)."""
    if match := CONTROL.search(value):
        what = {"\n": "a line break", "\r": "a carriage return"}.get(match[0], f"the control character {match[0]!r}")
        note(f"a value holds {what}", "give a list and use `| lines` where several lines are meant")
        return ""
    return value


def written(value: Any) -> str:
    """Jinja's `finalize`: what `{{ value }}` puts into the text."""
    kind = type(value)
    if kind is str:
        return value if value.isprintable() else guard(value)
    if kind is int or kind is float or kind is bool:
        return str(value)
    if isinstance(value, Lines):
        return str.__str__(value)
    if isinstance(value, str):
        return guard(_plain(value))
    if isinstance(value, Undefined):
        return str(value)
    if not _runs:  # a constant, looked at while compiling: left to the run
        raise ValueError
    if value is None:
        note("a value here is null", "use `| default(...)` or set it")
    elif isinstance(value, Mapping | list | tuple | set):
        note(
            f"a {'map' if isinstance(value, Mapping) else 'list'} cannot be written as it is",
            "use `| join(' ')`, `| lines` or `| to_json`",
        )
    else:
        note(f"a {type(value).__name__.strip('_').lower()} cannot be written as text")
    return ""


def trusted(value: Any) -> Any:
    """Data of a role file: its author may write texts of several lines."""
    if type(value) is str:
        return Lines(value) if "\n" in value else value
    if isinstance(value, dict):
        return {k: trusted(v) for k, v in value.items()}
    return [trusted(v) for v in value] if isinstance(value, list) else value


def check_deep(value: Any) -> None:
    """Notes control characters anywhere in data that an expression handed over whole."""
    if isinstance(value, Lines):
        return
    if isinstance(value, str):
        guard(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            check_deep(item)
    elif isinstance(value, list | tuple):
        for item in value:
            check_deep(item)


_PEM = re.compile(r"(?:-----BEGIN ([A-Z0-9 ]+)-----\n(?:[A-Za-z0-9+/=]+\n)+-----END \1-----\n?)+")


def is_pem(text: str) -> bool:
    """Certificates or keys in PEM form and nothing else."""
    return _PEM.fullmatch(text) is not None
