"""The one output sink: everything that leaves the program passes the redactor. Data to stdout, progress to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from swarmops.model.redactor import Redactor

_redactor: Redactor | None = None
# Escape sequences and control characters of remote text must not reach a terminal (case 61, 94).
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "grey": 90, "bold": 1}


def redact_with(redactor: Redactor) -> None:
    """Use `redactor` for all that follows."""
    global _redactor
    _redactor = redactor


def clean(text: str) -> str:
    """`text` without secrets."""
    return _redactor.clean(text) if _redactor else text


def plain(text: str) -> str:
    """Text from elsewhere with its control characters made visible."""
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}", text)


def one_line(text: str) -> str:
    """The same, and in one line: remote text must not look like lines of ours."""
    return plain(text).replace("\n", "\\n")


def colour_wanted(stream: TextIO) -> bool:
    """NO_COLOR, FORCE_COLOR and TERM=dumb are honoured."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    if not colour or not colour_wanted(stream or sys.stdout):
        return text
    return f"\033[{COLOURS[colour]}m{text}\033[0m"


def echo(text: str = "", colour: str = "") -> None:
    """A line of data."""
    print(paint(clean(text), colour, sys.stdout), flush=True)


def progress(text: str = "", colour: str = "") -> None:
    """A line of progress."""
    print(paint(clean(text), colour, sys.stderr), file=sys.stderr, flush=True)


def emit_json(value: Any, *, line: bool = False) -> None:
    """One JSON document, or with `line` one JSON line."""
    text = json.dumps(value, default=str) if line else json.dumps(value, indent=2, default=str)
    print(clean(text), flush=True)
