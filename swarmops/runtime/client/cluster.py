"""Which node of a Redis Cluster holds a key. The map is asked for when it is first needed and after a slot moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.crc import key_slot

from swarmops.runtime.errors import SwarmError, Unavailable
from swarmops.runtime.settings import Settings

Place = tuple[str, int]
Ask = Callable[[Place, tuple[Any, ...]], Any]


def slot_of(key: str) -> int:
    return key_slot(key.encode())


class Slots:
    """The map of slots to masters."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._ranges: list[tuple[int, int, Place]] = []

    def forget(self) -> None:
        self._ranges = []

    def node_of(self, key: str, ask: Ask) -> Place:
        """The master that has `key`. Raises Unavailable."""
        if not self._ranges:
            self._learn(ask)
        return self.known(key)

    def known(self, key: str) -> Place:
        slot = slot_of(key)
        for first, last, place in self._ranges:
            if first <= slot <= last:
                return place
        self.forget()
        raise Unavailable("cluster", f"no node of {self.settings.place} has slot {slot}", unsent=True)

    @property
    def empty(self) -> bool:
        return not self._ranges

    def _learn(self, ask: Ask) -> None:
        why: SwarmError | None = None
        for place in self.settings.nodes:
            try:
                self.take(ask(place, ("CLUSTER", "SLOTS")), place)
                return
            except Unavailable as e:
                why = e
        raise why or Unavailable("cluster", f"{self.settings.place} is no cluster", unsent=True)

    def take(self, reply: Any, place: Place) -> None:
        """Learn from the answer to CLUSTER SLOTS."""
        if not isinstance(reply, list):
            raise Unavailable("cluster", f"{place[0]}:{place[1]} is no node of a cluster: {reply}", unsent=True)
        self._ranges = [(r[0], r[1], ((r[2][0] or place[0].encode()).decode(), r[2][1])) for r in reply]
