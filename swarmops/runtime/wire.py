"""JSON as it goes over the wire: strict on the way in, compact on the way out (cases 73, 74, 78). Never pickle."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from swarmops.runtime.errors import Invalid, TooLarge

LIMIT = 1 << 20  # bytes of one message or one task's arguments (S3-17)
DEPTH = 64
_SURROGATE = re.compile("[\ud800-\udfff]")
_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False)
_encode = _encoder.encode


def dumps(value: Any, path: str = "", limit: int = LIMIT) -> bytes:
    """`value` as compact UTF-8 JSON. Raises Invalid for what JSON cannot hold, TooLarge beyond `limit` bytes."""
    try:
        data = _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as e:
        raise Invalid(path, f"cannot be sent as JSON: {_reason(e)}") from None
    if len(data) > limit:
        raise TooLarge(path, f"has {len(data):,} bytes, the most is {limit:,}")
    return data


def loads(data: bytes | str, path: str = "", limit: int = LIMIT) -> Any:
    """JSON from outside. Raises Invalid: no NaN, no key twice, no lone surrogate, at most 64 levels; TooLarge."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > limit:
        raise TooLarge(path, f"has {len(raw):,} bytes, the most is {limit:,}")
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float)
    except UnicodeDecodeError as e:
        raise Invalid(path, f"is not UTF-8 (byte {e.start})") from None
    except (ValueError, RecursionError) as e:
        raise Invalid(path, f"is not JSON: {_reason(e)}") from None
    _check(value, path)
    return value


def read_file(path: str | Path, kind: type, words: str) -> Any:
    """The JSON in a file, which must be a `kind`, called `words`. Raises Invalid with the file's name."""
    try:
        said = loads(Path(path).read_bytes(), str(path))
    except OSError as e:
        raise Invalid(str(path), e.strerror or str(e)) from None
    if not isinstance(said, kind):
        raise Invalid(str(path), f"is not {words}")
    return said


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice!r} is there twice")
    return found


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def _check(value: Any, path: str) -> None:
    todo = [(value, 1)]
    while todo:
        one, depth = todo.pop()
        if depth > DEPTH:
            raise Invalid(path, f"is nested deeper than {DEPTH} levels")
        if isinstance(one, str) and _SURROGATE.search(one):
            raise Invalid(path, "holds a lone surrogate, which is no text")
        if isinstance(one, dict):
            todo += [(k, depth) for k in one]
            todo += [(v, depth + 1) for v in one.values()]
        elif isinstance(one, list):
            todo += [(v, depth + 1) for v in one]


def _reason(e: Exception) -> str:
    return "it is nested too deep" if isinstance(e, RecursionError) else str(e)
