"""The language in which kinds, probes and sources say what arguments they take, and the reading of it.

`ARGS = {"dest": "path!", "state": "started|stopped", "port": "int = 6379"}`: a type, then `!` when it is required,
`= default` otherwise (None when there is none). `SHORT = "name"` names the argument that a bare text means.
`PLANNER_ONLY = {"src"}` names arguments that planning uses and the host never sees. `TEMPLATES = {"config": "{{ x }}"}`
has what stands for arguments that are not given, where that depends on the host.
"""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from swarmops.model.faults import Faults, Mark, closest

ROOMS = {"kind": "kinds", "probe": "probes", "source": "sources"}
LONGEST = 366 * 86400.0  # seconds; a longer duration is a slip
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:+-]*")
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0", ""}
CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Wrong(Exception):
    """A value does not fit its argument. Args: sentence, hint."""

    def __init__(self, sentence: str, hint: str = ""):
        super().__init__(sentence, hint)
        self.sentence, self.hint = sentence, hint


@dataclass(frozen=True)
class Arg:
    """One argument: its type, whether it must be given, what it is otherwise."""

    name: str
    type: str
    required: bool = False
    default: Any = None

    def read(self, value: Any, raw: str | None = None) -> Any:
        """`value` as this argument's type. `raw` is what the file says where YAML read it as something else.

        Raises `Wrong`.
        """
        reader = _READERS.get(self.type)
        if reader is None:
            return _choice(self.type.split("|"), value, raw)
        return reader(value, raw)


@dataclass(frozen=True)
class Spec:
    """The arguments of one kind, probe or source."""

    name: str
    args: dict[str, Arg]
    short: str = ""
    planner_only: frozenset[str] = frozenset()
    templates: Mapping[str, str] = field(default_factory=dict)
    module: Any = field(default=None, compare=False, repr=False)

    def names_for(self, given: Any, mark: Mark, path: str, faults: Faults) -> Mapping[str, Any] | None:
        """The given arguments as a mapping by name, unknown and missing ones noted; None when it is not one."""
        if given is None:
            given = {}
        if not isinstance(given, Mapping):
            if not self.short or (isinstance(given, list) and self.args[self.short].type != "list"):
                hint = f"such as {self.name}: {{{', '.join(self.args) or '...'}}}"
                faults.add(mark, path, f"must be a map of arguments, not {describe(given)}", hint)
                return None
            given = {self.short: given}
        for key in given:
            if key not in self.args:
                where = given.key_mark(key) if hasattr(given, "key_mark") else mark
                faults.add(where, path, f"unknown key '{key}'", closest(str(key), self.args))
        for arg in self.args.values():
            if arg.required and given.get(arg.name) is None:
                faults.add(mark, path, f"'{arg.name}' is missing", f"{arg.name}: {arg.type}")
        return given


def parse(name: str, text: str) -> Arg:
    """One entry of ARGS. Raises ValueError when the kind's author wrote what is not of the language."""
    kind, equals, default = (part.strip() for part in text.partition("="))
    required = kind.endswith("!")
    kind = kind.rstrip("!").strip()
    if kind not in _READERS and not re.fullmatch(r"[\w.-]+(\|[\w.-]+)+", kind):
        raise ValueError(f"ARGS[{name!r}]: {text!r} is not of the language")
    if not equals:
        return Arg(name, kind, required)
    value: Any = json.loads(default) if kind in ("list", "map", "any") else default
    return Arg(name, kind, required, Arg(name, kind).read(value))


@cache
def spec(room: str, name: str) -> Spec:
    """The spec of a kind, probe or source ('kind', 'probe', 'source'). Raises KeyError when there is none."""
    if name not in names(room):
        raise KeyError(name)
    module = importlib.import_module(f"swarmops.target.{ROOMS[room]}.{name}")
    return make_spec(name, module)


def make_spec(name: str, module: Any) -> Spec:
    """The spec that a module with ARGS (SHORT, PLANNER_ONLY) declares."""
    args = {key: parse(key, text) for key, text in module.ARGS.items()}
    short = getattr(module, "SHORT", "") or ""
    templates = getattr(module, "TEMPLATES", {})
    return Spec(name, args, short, frozenset(getattr(module, "PLANNER_ONLY", ())), templates, module)


@cache
def names(room: str) -> tuple[str, ...]:
    """Every kind, probe or source there is, by its file."""
    package = importlib.import_module(f"swarmops.target.{ROOMS[room]}")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")))


def describe(value: Any) -> str:
    """A value in the user's words, for sentences."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value[:60]}'" if value else "an empty text"
    if isinstance(value, Mapping):
        return "a map"
    return "a list" if isinstance(value, list | tuple) else str(value)


def read_text(value: Any, raw: str | None = None) -> str:
    """Text. Raises `Wrong` where YAML changed what was written (`no`, `0600`, `1.10`)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or (raw is not None and raw != str(value)):
        written = raw if raw is not None else str(value).lower()
        raise Wrong(f"{written} is not a text, YAML reads it as {describe(value)}", f'quote it: "{written}"')
    if isinstance(value, int | float):
        return str(value)
    raise Wrong(f"must be a text, not {describe(value)}")


def _path(value: Any, raw: str | None) -> str:
    text = read_text(value, raw)
    if CONTROL.search(text):
        raise Wrong("a path holds no control characters")
    if not text.startswith("/"):
        raise Wrong(f"'{text}' is not an absolute path", "it begins with /")
    if ".." in text.split("/"):
        raise Wrong(f"'{text}' holds '..'", "write the path itself")
    return text


def _name(value: Any, raw: str | None) -> str:
    text = read_text(value, raw)
    if not _NAME.fullmatch(text):
        raise Wrong(f"'{text[:60]}' is not a name", "letters, digits and _ . @ : + -, no spaces, not - first")
    return text


def _mode(value: Any, raw: str | None) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        written = raw or format(value, "04o")
        raise Wrong(f"{written} is read as the number {value}", f'quote it: "{written.zfill(4)}"')
    text = read_text(value, raw)
    if not re.fullmatch(r"[0-7]{3,4}", text):
        raise Wrong(f"'{text}' is not a mode", 'octal digits such as "0640"')
    return text.zfill(4)


def _bool(value: Any, raw: str | None) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if isinstance(value, str | int) and word in _TRUE | _FALSE - {""}:
        return word in _TRUE
    raise Wrong(f"must be true or false, not {describe(value)}")


def _int(value: Any, raw: str | None) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value.strip()):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"must be a whole number, not {raw if raw is not None else describe(value)}")
    if raw is not None and ":" in raw:
        raise Wrong(f"{raw} is read as the number {value}", f'quote it: "{raw}"')
    return value


def _float(value: Any, raw: str | None) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise Wrong(f"must be a number, not {raw if raw is not None else describe(value)}")
    return number


def _list(value: Any, raw: str | None) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, Mapping):
        raise Wrong("must be a list, not a map", "begin each item with '- '")
    return [read_text(value, raw)]


def _map(value: Any, raw: str | None) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Wrong(f"must be a map, not {describe(value)}", "key: value")
    return dict(value)


def read_duration(value: Any, raw: str | None = None) -> float:
    """Seconds, of a number or a text such as 500ms, 30s, 5m, 2h, 1d. Raises `Wrong`."""
    written = raw if raw is not None else str(value)
    match = None if isinstance(value, bool) else _DURATION.fullmatch(written.strip())
    if not match:
        raise Wrong(f"'{written}' is not a duration", "such as 500ms, 30s, 5m, 2h or 1d")
    seconds = float(match[1]) * _UNITS[match[2] or "s"]
    if not 0 < seconds <= LONGEST:
        raise Wrong(f"'{written}' must be more than 0 and at most 366d")
    return seconds


def _choice(choices: list[str], value: Any, raw: str | None) -> str:
    word = value if isinstance(value, str) else raw if raw is not None else str(value)
    if word not in choices:
        raise Wrong(f"{describe(value)} is not one of {', '.join(choices)}", _near(word, choices))
    return word


def _near(word: str, choices: list[str]) -> str:
    hint = closest(word, choices)
    return hint if hint.startswith("did") else ""


_READERS: dict[str, Callable[[Any, str | None], Any]] = {
    "text": read_text,
    "path": _path,
    "name": _name,
    "mode": _mode,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "list": _list,
    "map": _map,
    "any": lambda value, raw: value,
    "duration": read_duration,
}
