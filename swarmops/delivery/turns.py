"""Whose turn it is in a wave: batch after batch, and none after one that did not end well (S4-40)."""

from __future__ import annotations

from collections.abc import Callable

from swarmops.planning.batches import ALL, Wave


class Turns:
    """The state of one wave's batches. Hosts of later batches have looked already and wait for their word."""

    def __init__(self, wave: Wave):
        self.batches, self.groups = wave.batches, wave.groups
        self.number = 0  # of the batch at work
        self.held: dict[str, str] = {}  # host -> why it is not started
        self._announced = -1
        self._batch_of = {host: i for i, batch in enumerate(wave.batches) for host in batch}

    def first_looks(self, host: str) -> bool:
        """Whether the host only looks at first, since others come before it."""
        return self._batch_of.get(host, 0) > 0

    def may_begin(self, host: str) -> bool:
        return host not in self.held and self._batch_of.get(host, 0) <= self.number

    def announce(self) -> bool:
        """Whether the batch at work is still to be told to the user; once."""
        before, self._announced = self._announced, self.number
        return before < self.number

    @property
    def more(self) -> bool:
        """Whether the batch at work is not the last."""
        return self.number + 1 < len(self.batches)

    @property
    def batch(self) -> list[str]:
        """The hosts of the batch at work."""
        return self.batches[self.number] if self.batches else []

    @property
    def coming(self) -> list[str]:
        """The hosts of later batches that are not held."""
        return [h for batch in self.batches[self.number + 1 :] for h in batch if h not in self.held]

    def roles(self, host: str) -> set[str] | None:
        """The roles for whose sake the host takes turns; None when that is all of them."""
        return None if ALL in self.groups[host] else set(self.groups[host])

    def next(self, well: Callable[[str], bool], carry_on: bool) -> None:
        """The next batch begins. Without `carry_on` those hosts are held that share the role of one that failed."""
        bad = [h for batch in self.batches[: self.number + 1] for h in batch if not well(h) and h not in self.held]
        self.number += 1
        for host in [] if carry_on else [h for batch in self.batches[self.number :] for h in batch]:
            shared = {g for h in bad for g in self.groups[h] if g in self.groups[host]}
            if shared and host not in self.held:
                names = [h for h in bad if shared.intersection(self.groups[h])]
                of = f" of {', '.join(sorted(shared))}" if shared != {ALL} else ""
                self.held[host] = f"not started: {', '.join(names)} failed in an earlier batch{of}"
