"""What templates see instead of plain data, and how it becomes text: secrets, what is not set, texts of several lines.

Whatever makes a value unfit for a file is noted (see running.py) and written as nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from jinja2 import Undefined

from swarmops.planning.kinds_spec import CONTROL
from swarmops.planning.running import note, opened, silence, under_way


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
        silence()
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
    if not under_way():  # a constant, looked at while compiling: left to the run
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
