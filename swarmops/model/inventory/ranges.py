"""Host ranges: `web[01:20]`, `db[a:f]`, `rack[0:9:3]-node[1:2]`, and the port after a name, as Ansible reads them."""

from __future__ import annotations

import ipaddress
import re
import string

from swarmops.model.faults import Faults, Mark

MAX_HOSTS = 10_000
_RANGE = r"\[(?:[0-9]+:[0-9]+|[a-zA-Z]:[a-zA-Z])(?::[0-9]+)?\]"
_LABEL = rf"(?:\w|{_RANGE})(?:[\w_-]|{_RANGE})*(?<![_-])"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z", re.I)
_NUMBER_RANGE = r"\[[0-9]+:[0-9]+(?::[0-9]+)?\]"
_IPV4_PART = rf"(?:[01]?[0-9]{{1,2}}|2[0-4][0-9]|25[0-5]|{_NUMBER_RANGE})"
_IPV4 = re.compile(rf"(?:{_IPV4_PART}\.){{3}}{_IPV4_PART}\Z")
_HEX_RANGE = re.compile(r"\[[0-9a-f]+:[0-9a-f]+(?::[0-9]+)?\]", re.I)
_BRACKETED = re.compile(r"\[(.+)\]:([0-9]+)\Z")
_WITH_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)\Z")


class RangeError(ValueError):
    """The range makes no hosts. The text says why."""


def expand(pattern: str, mark: Mark, path: str, faults: Faults) -> tuple[list[str], int | None]:
    """The hosts that a name with ranges stands for, and the port after it; none and a fault when it is wrong."""
    try:
        return parse(pattern)
    except RangeError as e:
        faults.add(mark, path, f"'{pattern[:70]}': {e}", "such as web[01:10] or db[a:c]")
        return [], None


def parse(pattern: str) -> tuple[list[str], int | None]:
    """As `expand`. Raises RangeError."""
    name, port = split_port(pattern)
    return expand_ranges(name), port


def split_port(pattern: str) -> tuple[str, int | None]:
    """Name and port of `name:22` or `[2001:db8::1]:22`; the whole and None where that is no host with a port."""
    name, port = pattern, None
    for form in (_BRACKETED, _WITH_PORT):
        found = form.match(name)
        if found:
            name, port = found[1], int(found[2])
    return (name, port) if looks_like_host(name) else (pattern, None)


def looks_like_host(name: str) -> bool:
    """Whether it is a host name or an address, ranges allowed."""
    return bool(_HOSTNAME.match(name) or _IPV4.match(name)) or _is_ipv6(name)


def _is_ipv6(name: str) -> bool:
    try:
        # A range stands for one group of hexadecimal digits.
        ipaddress.IPv6Address(_HEX_RANGE.sub("0", name))
    except ValueError:
        return False
    return "%" not in name


def expand_ranges(name: str) -> list[str]:
    """Every host of `a[1:3]b[x:y]`, the last range running fastest. Raises RangeError."""
    if "[" not in name:
        return [name]
    head, _, rest = name.partition("[")
    inside, closed, tail = rest.partition("]")
    if not closed:
        raise RangeError("'[' is not closed")
    if "]" in head or "|" in name:
        raise RangeError("is not a host range")
    tails = expand_ranges(tail)
    values = range_values(inside)
    if len(values) * len(tails) > MAX_HOSTS:
        raise RangeError(f"makes more than {MAX_HOSTS} hosts")
    return [f"{head}{value}{end}" for value in values for end in tails]


def range_values(inside: str) -> list[str]:
    """What `01:10:3` counts through: 01, 04, 07, 10. Letters a-z come before A-Z. Raises RangeError."""
    bounds = inside.split(":")
    if len(bounds) not in (2, 3):
        raise RangeError("a range is [begin:end] or [begin:end:step]")
    begin, end = bounds[0] or "0", bounds[1]
    if not end:
        raise RangeError("the range has no end")
    step = _number(bounds[2], "step") if len(bounds) == 3 else 1
    if step < 1:
        raise RangeError("the step must be at least 1")
    letters = string.ascii_letters
    if len(begin) == len(end) == 1 and begin in letters and end in letters:
        first, last = letters.index(begin), letters.index(end)
        if first > last:
            raise RangeError(f"{begin} comes after {end}")
        return list(letters[first : last + 1 : step])
    width = 0
    if begin[0] == "0" and len(begin) > 1:
        width = len(begin)
        if width != len(end):
            raise RangeError(f"{begin} and {end} must have the same number of digits")
    first, last = _number(begin, "begin"), _number(end, "end")
    if first > last:
        raise RangeError(f"{begin} comes after {end}")
    if (last - first) // step >= MAX_HOSTS:
        raise RangeError(f"makes more than {MAX_HOSTS} hosts")
    return [str(n).zfill(width) for n in range(first, last + 1, step)]


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise RangeError(f"the {what} '{text[:20]}' is not a number")
    return int(text)
