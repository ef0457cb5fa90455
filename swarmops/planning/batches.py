"""Waves and, where a role says `serial`, the batches of a wave: which hosts are changed together (S4-40, S4-41)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from swarmops.model.schema.serial import Serial
from swarmops.planning.plan import Plan, waves

ALL = ""  # the group of all hosts of a wave, where the command line says how many at a time


@dataclass(frozen=True)
class Wave:
    """Hosts that wait for nobody but those of earlier waves, in the inventory's order.

    `batches` holds those of them that take turns, at least two batches or none; the others begin at once. `groups` is
    host -> the roles for whose sake it takes turns.
    """

    hosts: list[str]
    batches: list[list[str]] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)


def rolling(plans: Mapping[str, Plan], serial: Serial | None = None) -> list[Wave]:
    """The waves of these plans with their batches. `serial`, of the command line, is for all hosts of a wave together
    and takes the place of what roles say. Raises `InputError` when hosts wait for each other."""
    found = []
    for hosts in waves(plans):
        said = {host: {ALL: serial} if serial else plans[host].serial for host in hosts}
        batches = _batches(said)
        taking_turns = len(batches) > 1
        groups = {host: list(said[host]) for batch in batches for host in batch} if taking_turns else {}
        found.append(Wave(hosts, batches if taking_turns else [], groups))
    return found


def _batches(said: Mapping[str, Mapping[str, Serial]]) -> list[list[str]]:
    """`said` is host -> group -> how many of that group at a time.

    Each host comes as early as it can without making a batch too large for one of its groups. With one group these
    are the batches of Ansible.
    """
    members: dict[str, list[str]] = {}
    for host, groups in said.items():
        for group in groups:
            members.setdefault(group, []).append(host)
    rooms = {group: _Rooms(said[hosts[0]][group].batches(len(hosts))) for group, hosts in members.items()}
    found: list[list[str]] = []
    for host, groups in said.items():
        if not groups:
            continue
        number = max(rooms[group].first() for group in groups)
        while not all(rooms[group].left(number) for group in groups):
            number += 1
        for group in groups:
            rooms[group].take(number)
        found += [[] for _ in range(number + 1 - len(found))]
        found[number].append(host)
    return found


class _Rooms:
    """How many places of each batch are left to one group."""

    def __init__(self, sizes: Iterator[int]):
        self._sizes, self._left, self._full = sizes, list[int](), 0

    def first(self) -> int:
        """The first batch with a place left."""
        while not self.left(self._full):
            self._full += 1
        return self._full

    def left(self, number: int) -> int:
        while len(self._left) <= number:
            self._left.append(next(self._sizes))
        return self._left[number]

    def take(self, number: int) -> None:
        self._left[number] -= 1
