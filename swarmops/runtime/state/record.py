"""How a state is kept: JSON, compressed where that pays, with a checksum of the bytes that lie in Redis."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime.errors import Corrupt, Invalid, NotFound
from swarmops.runtime.keys import Keys
from swarmops.runtime.wire import LIMIT, dumps, loads

WORTH = 1024  # bytes below which compressing is not tried
ZLIB = b"\x78"  # the first byte of zlib data; no JSON text begins with it


@dataclass(frozen=True, slots=True)
class State:
    """A state as it was read. at: Redis' milliseconds. stored: bytes in Redis. restored_from: a snapshot or ''."""

    name: str
    version: int
    value: Any
    at: int
    by: str
    stored: int
    sum: str
    restored_from: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Listed:
    """A state in a list, without its value. left: seconds to its end, None for one that has none."""

    name: str
    version: int
    at: int
    by: str
    stored: int
    left: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Mark:
    """A snapshot or a checkpoint, without its value. version: of the state it was taken of."""

    id: str
    label: str
    version: int
    at: int
    by: str
    stored: int
    sum: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def seal(value: Any, path: str = "value") -> tuple[bytes, str]:
    """`value` as it is stored, and its checksum. Raises Invalid, TooLarge beyond 1 MiB of JSON."""
    data = dumps(value, path)
    if len(data) >= WORTH:
        packed = zlib.compress(data, 1)
        if len(packed) < len(data) * 0.8:
            data = packed
    return data, digest(data)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def unseal(data: bytes, checksum: str, what: str) -> Any:
    """The value again. Raises Corrupt when the bytes are not those that were stored, or no JSON (F39)."""
    if digest(data) != checksum:
        raise Corrupt(f"{what} is not what was stored: its checksum differs")
    try:
        return loads(_unpacked(data, what))
    except Invalid as e:
        raise Corrupt(f"{what} {e}") from None


def _unpacked(data: bytes, what: str) -> bytes:
    if data[:1] != ZLIB:
        return data
    unpack = zlib.decompressobj()
    try:
        text = unpack.decompress(data, LIMIT + 1)
    except zlib.error:
        raise Corrupt(f"{what} cannot be decompressed") from None
    if not unpack.eof:
        raise Corrupt(f"{what} is cut off, or larger than {LIMIT:,} bytes")
    return text


def pairs(reply: list[bytes]) -> dict[str, bytes]:
    """What HGETALL answers."""
    return {k.decode("utf-8", "replace"): v for k, v in zip(reply[::2], reply[1::2])}


def read_state(name: str, reply: list[bytes]) -> State:
    """Raises NotFound, Corrupt."""
    if not reply:
        raise NotFound(f"there is no state {name}")
    found = pairs(reply)
    data, checksum = found.get("d", b""), text_of(found, "sum")
    value = unseal(data, checksum, f"state {name}")
    version, at = number_of(found, "v"), number_of(found, "at")
    return State(name, version, value, at, text_of(found, "by"), len(data), checksum, text_of(found, "from"))


def text_of(found: Mapping[str, bytes], field: str) -> str:
    return found.get(field, b"").decode("utf-8", "replace")


def number_of(found: Mapping[str, bytes], field: str) -> int:
    text = found.get(field, b"0")
    return int(text) if text.isdigit() else 0


def read_mark(data: bytes, what: str) -> Mark:
    """Raises Corrupt."""
    try:
        m = json.loads(data)
        return Mark(m["id"], m["label"], int(m["v"]), int(m["at"]), m["by"], int(m["size"]), m["sum"])
    except (ValueError, KeyError, TypeError):
        raise Corrupt(f"{what}: its description cannot be read") from None


def label_of(value: object, path: str, most: int = 120) -> str:
    """`value` if it is a short line of text. Raises Invalid."""
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise Invalid(path, f"{str(value)[:40]!r} is not a line of at most {most} characters")
    return value


def regs(keys: Keys, parts: str, of: str = "") -> tuple[str, ...]:
    """Registry keys of the parts, which are words; `of` is whose they are."""
    return tuple([keys.registry(part, of) if of else keys.registry(part) for part in parts.split()])


def term_of(term: int | None) -> str:
    """The fencing token as scripts take it: '' is not fenced."""
    return "" if term is None else str(int(term))
