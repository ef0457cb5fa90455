"""Names and ids: what they may look like (case 93), and how new ones are made."""

from __future__ import annotations

import os
import re
import time

from swarmops.runtime.errors import Invalid

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]
_SHIFTS = range(90, -1, -10)


def new_id() -> str:
    """20 characters: 45 bits of milliseconds and 55 random ones, so that ids sort by time and never meet."""
    number = (time.time_ns() // 1_000_000 & (1 << 45) - 1) << 55 | int.from_bytes(os.urandom(7)) >> 1
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def name(value: object, path: str) -> str:
    """`value` if it is a name: lower case letters, digits, _ and -, at most 63, not - or _ first. Raises Invalid."""
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    shown = repr(value)[:80]
    raise Invalid(path, f"{shown} is not a name (lower case letters, digits, '-' and '_', at most 63, as in npu-1)")


def one_of(value: object, allowed: tuple[str, ...], path: str) -> str:
    """`value` if it is allowed. Raises Invalid with the list."""
    if isinstance(value, str) and value in allowed:
        return value
    raise Invalid(path, f"{str(value)[:80]!r} is none of {', '.join(allowed)}")


def number(value: object, path: str, low: float, high: float) -> float:
    """`value` if it is a number within the bounds. Raises Invalid."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Invalid(path, f"{str(value)[:80]!r} is not a number from {low:g} to {high:g}")
    return value


def names(values: object, path: str, most: int = 64) -> tuple[str, ...]:
    """Sorted and without doubles. Raises Invalid; a lone string is a mistake, not a list of letters."""
    if isinstance(values, str) or not isinstance(values, list | tuple | set | frozenset):
        raise Invalid(path, "is not a list of names")
    if len(values) > most:
        raise Invalid(path, f"has {len(values)} names, the most is {most}")
    return tuple(sorted({name(v, f"{path}[{i}]") for i, v in enumerate(values)}))
