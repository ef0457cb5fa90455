"""An inventory while it is being read: sources add hosts, groups and variables here, with Ansible's rules of adding."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from swarmops.model.faults import Faults, Mark
from swarmops.model.inventory import names
from swarmops.model.inventory.types import Group, Host, Inventory, Origin, Why
from swarmops.model.yaml import Map


class Given(NamedTuple):
    """A value with its places, and its text where it was written without quotes and is not read as text."""

    value: Any
    mark: Mark
    key_mark: Mark | None = None
    raw: str | None = None


class Draft:
    """Collects what the sources say. `merge.finish` makes the `Inventory` of it."""

    def __init__(self, path: Path, faults: Faults, root: Path | None = None):
        self.inventory = Inventory(path)
        self.faults = faults
        self.root = root
        self.members: dict[str, set[str]] = {}  # group -> names of its direct hosts, to look up fast
        self.child_marks: dict[tuple[str, str], Mark] = {}  # (group, child) -> where that was said
        for name in ("all", "ungrouped"):
            self.add_group(name, Mark())
        self.add_child("all", "ungrouped", Mark())

    @property
    def groups(self) -> dict[str, Group]:
        return self.inventory.groups

    @property
    def hosts(self) -> dict[str, Host]:
        return self.inventory.hosts

    def add_group(self, name: Any, mark: Mark, raw: str | None = None) -> Group | None:
        """The group of that name, made when it is new; None and a fault when the name is none."""
        known = self.groups.get(name) if isinstance(name, str) else None
        if known is not None:
            if not known.mark.line:
                known.mark = mark
            return known
        if not names.group_name(name, raw, mark, self.faults):
            return None
        group = Group(name, mark, _inventory=self.inventory)
        self.groups[name] = group
        self.members[name] = set()
        return group

    def add_host(self, name: str, group: Group, mark: Mark, port: int | None = None) -> Host | None:
        """Puts a host, made when it is new, into the group."""
        host = self.hosts.get(name)
        if host is None:
            if not names.host_name(name, mark, self.faults):
                return None
            host = self.hosts[name] = Host(name, mark)
            if port is not None:  # as in Ansible, only where the host is first met
                self.set_host_var(host, "ansible_port", Given(port, mark))
        self.join(group, name)
        return host

    def join(self, group: Group, host: str) -> None:
        if host not in self.members[group.name]:
            self.members[group.name].add(host)
            group.hosts.append(host)

    def add_child(self, group: str, child: str, mark: Mark) -> None:
        parent = self.groups[group]
        if child not in parent.children:
            parent.children.append(child)
            self.child_marks[group, child] = mark

    def set_vars(self, owner: Group | Host, values: Map) -> None:
        """All variables of a map from a YAML file."""
        for name, value in values.items():
            given = Given(value, values.value_mark(name), values.key_mark(name), values.raw(name))
            (self.set_group_var if isinstance(owner, Group) else self.set_host_var)(owner, name, given)  # type: ignore

    def set_group_var(self, group: Group, name: Any, given: Given) -> None:
        """A variable of a group from an inventory file."""
        if not names.variable_name(name, f"{group.name}.vars", given.key_mark or given.mark, self.faults):
            return
        if name == "ansible_group_priority":
            group.priority = self._priority(group, given.value, given.mark)
            return
        _give(group.own, name, Origin(f"group {group.name}", given.mark, given.value, given.raw))

    def _priority(self, group: Group, value: Any, mark: Mark) -> int:
        try:
            return int(value)
        except (TypeError, ValueError):
            sentence = f"'{value}' is not a whole number"
            self.faults.add(mark, f"{group.name}.ansible_group_priority", sentence, "such as 10; 1 is usual")
            return 1

    def set_host_var(self, host: Host, name: Any, given: Given) -> None:
        """A variable of a host from an inventory file. Where a group has the same name, Ansible gives it to the group;
        `merge` warns about such names."""
        if host.name in self.groups:
            self.set_group_var(self.groups[host.name], name, given)
        elif names.variable_name(name, host.name, given.key_mark or given.mark, self.faults):
            self._warn_of_second(host, name, given.value, given.mark)
            _give(host.own, name, Origin(f"host {host.name}", given.mark, given.value, given.raw))

    def _warn_of_second(self, host: Host, name: str, value: Any, mark: Mark) -> None:
        before = host.own.get(name)
        if before and before[-1].value != value:
            sentence = f"was set in {before[-1].mark} already; this later line wins"
            self.faults.warn(mark, f"{host.name}.{name}", sentence)


def _give(layer: Why, name: str, origin: Origin) -> None:
    # As in a Python dict, a variable that is set again keeps its place in the order.
    layer.setdefault(name, []).append(origin)
