"""What an inventory is once it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmops.model.faults import Mark


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Who gave a variable which value: `layer` is 'group lan' or 'host redis-1'.

    `raw` is what an unquoted value was written as, such as `no` or `22:22`; None where that is not known.
    """

    layer: str
    mark: Mark
    value: Any
    raw: str | None = None

    @property
    def group(self) -> str | None:
        """The group's name when a group gave the value."""
        kind, _, name = self.layer.partition(" ")
        return name if kind == "group" else None


Why = dict[str, list[Origin]]


@dataclass(eq=False)
class Group:
    """A group. `hosts` are the direct ones and `children` the direct child groups, in Ansible's order.

    `own` holds what inventory files say, `files` what group_vars says; `vars` is both, group_vars winning.
    """

    name: str
    mark: Mark = field(default_factory=Mark)
    hosts: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    depth: int = 0
    priority: int = 1
    own: Why = field(default_factory=dict)
    files: Why = field(default_factory=dict)
    _inventory: Inventory | None = field(default=None, repr=False)

    @property
    def vars(self) -> dict[str, Any]:
        """Variable name to value, without what parents give."""
        return {name: origins[-1].value for layer in (self.own, self.files) for name, origins in layer.items()}

    def descendants(self) -> Iterator[Group]:
        """The group itself, its children, theirs, and so on, level by level, each once."""
        assert self._inventory is not None
        seen, level = {self.name}, [self]
        while level:
            yield from level
            following = []
            for child in (c for group in level for c in group.children):
                if child not in seen:
                    seen.add(child)
                    following.append(self._inventory.groups[child])
            level = following

    def all_hosts(self) -> list[str]:
        """Names of the hosts of the group and of every group below it, each once."""
        return list(dict.fromkeys(host for group in self.descendants() for host in group.hosts))


@dataclass(eq=False)
class Host:
    """A host. `vars` are merged as Ansible merges them; `why` has who gave each, the last wins."""

    name: str
    mark: Mark = field(default_factory=Mark)
    groups: tuple[str, ...] = ()
    vars: dict[str, Any] = field(default_factory=dict)
    why: Why = field(default_factory=dict)
    own: Why = field(default_factory=dict, repr=False)
    files: Why = field(default_factory=dict, repr=False)
    implicit: bool = False

    def mark_of(self, name: str) -> Mark:
        """The line that set the variable; the host's own line when nothing did."""
        return self.why[name][-1].mark if self.why.get(name) else self.mark


@dataclass(eq=False)
class Inventory:
    """Hosts and groups by name, in the order in which Ansible meets them."""

    path: Path
    hosts: dict[str, Host] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    def owners(self) -> list[Group | Host]:
        """Groups and hosts: everything that has variables."""
        return [*self.groups.values(), *self.hosts.values()]

    def select(self, pattern: str | None = None) -> list[Host]:
        """The hosts that an Ansible pattern such as `redis:&lan:!browser` or `web[0:2]` names; None names all.

        Raises InputError when it names none, and when a plain name in it is neither a group nor a host.
        """
        from swarmops.model.inventory.patterns import select

        return select(self, pattern)
