"""What the room of messages answers, and how the replies of its scripts are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime.errors import Full, Invalid
from swarmops.runtime.ids import number
from swarmops.runtime.messages.envelope import Envelope, from_entry
from swarmops.runtime.wire import loads

STARTED = 16384  # bytes of a payload that count as one message against the sender's rate
LIMITS = {  # the least and the most of what `configure` sets
    "rate": (0.1, 1e6),
    "burst": (1, 1e6),
    "inbox": (1, 1e6),
    "history": (1, 1e6),
    "age": (1, 30 * 86400_000),  # ms
}


@dataclass(frozen=True, slots=True)
class Sent:
    """new: False if this id was sent before. waiting: messages in that inbox. members: of the channel."""

    id: str
    to: str
    new: bool
    waiting: int = 0
    members: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody is in a channel."""

    mark: str
    seq: int


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration last pushed. confirmed: address -> version it applied. missing: members that lag behind."""

    version: int
    config: dict[str, Any]
    confirmed: dict[str, int]
    missing: list[str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def retry_after(e: Full) -> float:
    """Seconds until a sender that was too fast may send again; 0 if that is not why."""
    _, _, rest = str(e).partition(": again in ")
    return int(rest.split()[0]) / 1000 if rest else 0.0


def read_entries(reply: Sequence[Any]) -> list[Envelope]:
    """The messages among entries of a stream."""
    found = []
    for mark, fields in reply:
        try:
            found.append(from_entry(mark, fields))
        except ValueError:
            continue
    return found


def taken(reply: list[Any]) -> list[Envelope]:
    found = []
    for mark, fields, tries in reply:
        try:
            found.append(from_entry(mark, fields, tries))
        except ValueError:
            continue
    return found


def cost(data: bytes) -> int:
    return 1 + len(data) // STARTED


def checked_mark(value: object, path: str) -> str:
    ms, dash, n = value.partition("-") if isinstance(value, str) else ("", "", "")
    if dash and ms.isascii() and ms.isdigit() and n.isascii() and n.isdigit() and len(ms) < 16 and len(n) < 16:
        return f"{ms}-{n}"
    raise Invalid(path, f"{str(value)[:40]!r} is no mark (as in 1764000000000-0)")


def place(text: bytes) -> Place:
    mark, _, seq = text.decode().partition(" ")
    return Place(mark, int(seq or 0))


def configuration(reply: list[Any]) -> Configuration:
    version, data, confirmed, members = reply
    versions = {a.decode(): int(v) for a, v in zip(confirmed[::2], confirmed[1::2])}
    missing = [m.decode() for m in members if versions.get(m.decode(), 0) < version]
    return Configuration(version, loads(data) if data else {}, versions, missing)


def limits(said: Mapping[str, float | None]) -> list[str]:
    """Fields and values of those that are given, as they lie in Redis (age: in ms there). Raises Invalid."""
    found: list[str] = []
    for field, value in said.items():
        if value is not None:
            low, high = LIMITS[field]
            found += [field, f"{number(value * 1000 if field == 'age' else value, field, low, high):.15g}"]
    if not found:
        raise Invalid("", "no limit is given")
    return found
