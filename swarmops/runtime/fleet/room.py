"""The fleet as it was last seen: what commands publish of it, and samples of how its services answer (S4-39, S4-44).

A document replaces the one before; samples are a stream of bounded length. A change of a service's state is an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.ids import name, number, one_of
from swarmops.runtime.op import Mode, Op, Room, operation

KINDS = ("health", "backups")
SAMPLES = 10_000  # kept, about: a day at one in ten seconds
STATES = ("ok", "warning", "critical", "unknown")


@dataclass(frozen=True, slots=True)
class Published:
    """A document. at_ms: when it came, by the clock of Redis; by: who brought it."""

    value: Any
    at_ms: int
    by: str


class Fleet(Room[Mode]):
    """publish, published, sample, samples."""

    @operation
    def publish(self, kind: str, value: Any, by: str = "") -> Op[int]:
        """Replace the document of this kind (health, backups); when that was, in ms. Raises Invalid, TooLarge."""
        data = wire.dumps(value, kind)
        keys = tuple(self.keys.registry(part) for part in ("fleet", "events", "stats"))
        return Op("fleet_publish", keys, (one_of(kind, KINDS, "kind"), data, name(by, "by") if by else ""), int)

    @operation
    def published(self, kind: str) -> Op[Published | None]:
        """The newest document of this kind, None if there is none."""
        key, kind = self.keys.registry("fleet"), one_of(kind, KINDS, "kind")

        def read(reply: Any) -> Published | None:
            data, at, by = reply
            return None if data is None else Published(wire.loads(data, kind), int(at), by.decode())

        return Op("", (key,), ("HMGET", key, kind, f"{kind}.at", f"{kind}.by"), read, safe=True)

    @operation
    def sample(self, latencies: Mapping[str, float | None], states: Mapping[str, tuple[str, str]]) -> Op[int]:
        """One look at all services: ms until each answered (None: it did not), and (state, why) of each.

        How many are in another state than by the look before.
        """
        said: list[str] = []
        for which, (state, why) in states.items():
            said += [which[:100], one_of(state, STATES, "state"), why[:300]]
        keys = tuple(self.keys.registry(part) for part in ("fleet_states", "fleet_samples", "events"))
        return Op("fleet_sample", keys, (wire.dumps(dict(latencies), "latencies"), SAMPLES, *said), int)

    @operation
    def samples(self, minutes: float = 60, limit: int = SAMPLES) -> Op[list[tuple[int, dict[str, float | None]]]]:
        """(ms, latencies) of the last `minutes`, the oldest first; at most the newest `limit`."""
        number(minutes, "minutes", 0, 100_000)
        keys = (self.keys.registry("fleet_samples"),)

        def read(reply: Any) -> list[tuple[int, dict[str, float | None]]]:
            return [(int(mark.partition(b"-")[0]), wire.loads(flat[1])) for mark, flat in reversed(reply)]

        args = (round(minutes * 60_000), int(number(limit, "limit", 1, 2 * SAMPLES)))
        return Op("fleet_samples", keys, args, read, safe=True)
