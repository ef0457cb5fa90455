"""Readers: one function a kind of value that a declaration may hold. Each returns the value or raises `Wrong`."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from swarmops.model.faults import closest
from swarmops.model.schema.section import Place, Reader, Wrong, mapping

CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029\u202a-\u202e\u2066-\u2069]")
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
BYTES = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
YEAR = 366 * 86400.0


def show(value: Any) -> str:
    """A value as a sentence quotes it: short, on one line."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}", text)
    return f"'{text[:60]}...'" if len(text) > 60 else f"'{text}'"


def kind(value: Any) -> str:
    """What a value is, in words: 'a map', 'nothing', 'the number 10.1'."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"the number {value}" if is_number else show(value).strip("'")


def text(value: Any, place: Place) -> str:
    """One line of text (case 19: not a boolean or number; case 56: no control characters)."""
    if not isinstance(value, str):
        what = kind(value)
        raise Wrong(f"text is wanted here, not {what}")
    if CONTROL.search(value):
        raise Wrong(f"{show(value)} has a line break or control character in it")
    return value


def anything(value: Any, place: Place) -> Any:
    """Any YAML value, as long as no text in it has control characters other than line breaks and tabs."""
    if isinstance(value, str) and CONTROL.search(value.replace("\n", "").replace("\t", "")):
        raise Wrong(f"{show(value)} has a control character in it")
    return value


def name(value: Any, place: Place) -> str:
    if not NAME.fullmatch(text(value, place)):
        raise Wrong(f"{show(value)} is not a name", "lower-case letters, digits, - and _, at most 63")
    return value


def boolean(value: Any, place: Place) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"{show(value)} is not true or false")
    return value


def integer(low: int, high: int, what: str = "a whole number") -> Reader:
    def read(value: Any, place: Place) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"{show(value)} is not {what}")
        if not low <= value <= high:
            raise Wrong(f"{value} is not {what} between {low} and {high}")
        return value

    return read


port = integer(1, 65535, "a port")


def choice(*words: str, what: str = "known here") -> Reader:
    """One of the words. `what` finishes "'x' is not ...", such as "a tier"."""

    def read(value: Any, place: Place) -> str:
        if value not in words or not isinstance(value, str):
            near = closest(str(value), words)
            listed = ", ".join(words)
            raise Wrong(f"{show(value)} is not {what} ({listed})", near if near.startswith("did") else "")
        return value

    return read


def duration(unit: str = "s", most: float = YEAR) -> Reader:
    """A time in seconds. Bare numbers count in `unit` (case 45: not 0, negative, huge or in parsecs)."""

    def read(value: Any, place: Place) -> float:
        hint = "write it like 500ms, 30s, 5m, 2h or 7d"
        if isinstance(value, int | float) and not isinstance(value, bool):
            if place.raw and ":" in place.raw:
                raise Wrong(f"{show(place.raw)} is not a time")
            seconds = value * SECONDS[unit]
        elif isinstance(value, str) and (m := re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]+)", value.strip())):
            if m[2] not in SECONDS:
                raise Wrong(f"{show(value)} is not a time", hint)
            seconds = float(m[1]) * SECONDS[m[2]]
        else:
            raise Wrong(f"{show(value)} is not a time", hint)
        if not 0 < seconds <= most:
            raise Wrong(f"{show(value)} is not more than 0 and at most {span(most)}", hint)
        return float(round(seconds, 6))

    return read


def span(seconds: float) -> str:
    """Seconds as people write them: 2h, 90s, 250ms."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= SECONDS[unit] and seconds % SECONDS[unit] == 0:
            return f"{int(seconds // SECONDS[unit])}{unit}"
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def bytes_of(value: Any) -> int | None:
    """'2gb', '512 MiB' or a number as bytes (1 kb = 1024, as Redis' kb); None when it is no size."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    m = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?", str(value).strip().lower())
    return int(float(m[1]) * BYTES[m[2]]) if m and isinstance(value, str) else None


def size(value: Any, place: Place) -> int:
    """A size in bytes, at least 1."""
    if (found := bytes_of(value)) is None or found < 1:
        raise Wrong(f"{show(value)} is not a size", "write it like 512mb, 16gb or 1tb")
    return found


def url_path(value: Any, place: Place) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9/_.~%-]*", text(value, place)) or ".." in value:
        raise Wrong(f"{show(value)} is not a path of a URL", "it starts with / as in /health")
    return value


def network(value: Any, place: Place) -> ipaddress.IPv4Network:
    """An IPv4 network in CIDR form (case 33: no host bits; case 37: no IPv6 here)."""
    written = text(value, place)
    if ":" in written:
        raise Wrong(f"{show(value)} is IPv6; only IPv4 networks can be given here")
    if "/" not in written:
        raise Wrong(f"{show(value)} has no prefix length", f"write {written}/24, or {written}/32 for one address")
    try:
        return ipaddress.IPv4Network(written)
    except ValueError:
        pass
    try:
        loose = ipaddress.IPv4Network(written, strict=False)
    except ValueError:
        raise Wrong(f"{show(value)} is not a network", "example: 172.16.168.0/24")
    raise Wrong(f"{show(value)} has host bits set", f"the network is {loose}")


def address(value: Any, place: Place) -> ipaddress.IPv4Address:
    """An IPv4 address (case 37: no zone ids, no v4-mapped IPv6)."""
    written = text(value, place)
    if ":" in written or "%" in written:
        raise Wrong(f"{show(value)} is IPv6; only IPv4 is supported here", "example: 10.77.0.20")
    try:
        return ipaddress.IPv4Address(written)
    except ValueError:
        raise Wrong(f"{show(value)} is not an IPv4 address", "example: 10.77.0.20")


def list_of(item: Reader) -> Reader:
    """A list; a single value counts as a list of one."""

    def read(value: Any, place: Place) -> list[Any]:
        if not isinstance(value, list):
            return [item(value, place)]
        missing = object()
        found = [place.child(value, i).read(item, v, missing) for i, v in enumerate(value)]
        return [v for v in found if v is not missing]

    return read


def map_of(item: Reader, key: Reader = name) -> Reader:
    """A map whose keys the user chooses."""

    def read(value: Any, place: Place) -> dict[str, Any]:
        found, missing = {}, object()
        for k, v in (box := mapping(value, place)).items():
            here = place.child(box, k)
            if here.read(key, k, missing) is missing:
                continue
            if (got := here.read(item, v, missing)) is not missing:
                found[k] = got
        return found

    return read
