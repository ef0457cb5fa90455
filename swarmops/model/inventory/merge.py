"""From what the sources said to what each host has: depths of groups, order of layers, who overrides whom."""

from __future__ import annotations

from collections import Counter
from typing import Any

from swarmops.model.faults import Mark
from swarmops.model.inventory import vault
from swarmops.model.inventory.draft import Draft
from swarmops.model.inventory.types import Group, Host, Inventory, Origin, Why


def finish(draft: Draft, keys: vault.Keys) -> Inventory:
    """Ties up the groups as Ansible does, and gives every host its merged variables."""
    _break_cycles(draft)
    _tie_up(draft)
    _set_depths(draft.inventory)
    _open_vaults(draft, keys)
    _warn_of_shared_names(draft)
    _merge(draft)
    return draft.inventory


def _break_cycles(draft: Draft) -> None:
    """A group below itself is a fault that prints the circle (case 43, 44); the edge is taken out."""
    state: dict[str, int] = {}  # 1 on the way down, 2 done
    for start in list(draft.groups):
        if start in state:
            continue
        way, state[start] = [(start, iter(list(draft.groups[start].children)))], 1
        while way:
            name, rest = way[-1]
            child = next(rest, None)
            if child is None:
                state[name] = 2
                way.pop()
            elif state.get(child) == 1:
                circle = [n for n, _ in way]
                _cycle_fault(draft, [*circle[circle.index(child) :], child])
                draft.groups[name].children.remove(child)
            elif child not in state:
                state[child] = 1
                way.append((child, iter(list(draft.groups[child].children))))


def _cycle_fault(draft: Draft, circle: list[str]) -> None:
    mark = draft.child_marks.get((circle[-2], circle[-1]), Mark())
    if len(circle) == 2:
        draft.faults.add(mark, f"{circle[0]}.children", f"the group '{circle[0]}' is its own child")
    else:
        draft.faults.add(mark, f"{circle[-2]}.children", "groups go in a circle: " + " -> ".join(circle))


def _tie_up(draft: Draft) -> None:
    """Groups without a parent belong to `all`; hosts without a group to `ungrouped`, and no others."""
    groups, hosts = draft.groups, draft.hosts
    has_parent = {child for group in groups.values() for child in group.children}
    for name in groups:
        if name != "all" and name not in has_parent:
            draft.add_child("all", name, Mark())
    grouped = {h for g in groups.values() if g.name not in ("all", "ungrouped") for h in g.hosts}
    ungrouped = groups["ungrouped"]
    ungrouped.hosts = [h for h in ungrouped.hosts if h not in grouped]
    draft.members["ungrouped"] = set(ungrouped.hosts)
    for name in hosts:
        if name not in grouped:
            draft.join(ungrouped, name)


def _set_depths(inventory: Inventory) -> None:
    """A group's depth is its longest way from `all`."""
    groups = inventory.groups
    waiting = Counter(child for group in groups.values() for child in group.children)
    ready = [name for name in groups if not waiting[name]]
    while ready:
        group = groups[ready.pop()]
        for child in group.children:
            groups[child].depth = max(groups[child].depth, group.depth + 1)
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)


def _open_vaults(draft: Draft, keys: vault.Keys) -> None:
    for owner in draft.inventory.owners():
        for layer in (owner.own, owner.files):
            for name, origins in layer.items():
                layer[name] = [vault.opened_origin(o, f"{owner.name}.{name}", keys, draft.faults) for o in origins]


def _warn_of_shared_names(draft: Draft) -> None:
    for name in draft.hosts:
        if name in draft.groups:
            mark = draft.hosts[name].mark
            sentence = "is both a group and a host; its variables go to the group"
            draft.faults.warn(mark, name, sentence, f"name the host {name}-1")


def groups_by_host(inventory: Inventory) -> dict[str, tuple[str, ...]]:
    """Host name to every group it is in, weakest first: by depth, then priority, then name; `all` left out."""
    order = sorted(inventory.groups.values(), key=lambda g: (g.depth, g.priority, g.name))
    parents: dict[str, set[str]] = {name: set() for name in inventory.groups}
    for group in order:  # parents come before children
        for child in group.children:
            parents[child] |= {group.name} | parents[group.name]
    direct: dict[str, set[str]] = {name: set() for name in inventory.hosts}
    for group in order:
        for host in group.hosts:
            direct[host] |= {group.name} | parents[group.name]
    rank = {group.name: i for i, group in enumerate(order)}
    shared: dict[frozenset[str], tuple[str, ...]] = {}
    found = {}
    for host, members in direct.items():
        key = frozenset(members - {"all"})
        if key not in shared:
            shared[key] = tuple(sorted(key, key=rank.__getitem__))
        found[host] = shared[key]
    return found


def _merge(draft: Draft) -> None:
    inventory = draft.inventory
    bases: dict[tuple[str, ...], tuple[dict[str, Any], Why]] = {}
    users: dict[tuple[str, ...], list[Host]] = {}
    for name, groups in groups_by_host(inventory).items():
        host = inventory.hosts[name]
        host.groups = groups
        if groups not in bases:
            bases[groups] = _base([inventory.groups[g] for g in groups], inventory.groups["all"])
        _give(host, *bases[groups])
        users.setdefault(groups, []).append(host)
    for groups, (_, why) in bases.items():
        _warn_of_ties(draft, why, users[groups])


def _base(groups: list[Group], everyone: Group) -> tuple[dict[str, Any], Why]:
    """What the groups give: all inventory files' variables first, then all of group_vars', in each `all` first."""
    layers = [everyone.own, *(g.own for g in groups), everyone.files, *(g.files for g in groups)]
    why: Why = {}
    for layer in layers:
        for name, origins in layer.items():
            why.setdefault(name, []).extend(origins)
    return {name: origins[-1].value for name, origins in why.items()}, why


def _give(host: Host, values: dict[str, Any], why: Why) -> None:
    host.vars, host.why = dict(values), dict(why)
    for layer in (host.own, host.files):
        for name, origins in layer.items():
            host.why[name] = [*host.why.get(name, ()), *origins]
            host.vars[name] = origins[-1].value


def _warn_of_ties(draft: Draft, why: Why, hosts: list[Host]) -> None:
    """Two groups of the same depth and priority that disagree, where a host gets the value of one of them."""
    groups = draft.groups
    for name, origins in why.items():
        if len(origins) < 2:
            continue
        winner = origins[-1]
        won = groups[winner.group or ""]
        for other in _last_of_each_group(origins[:-1]):
            lost = groups[other.group or ""]
            tied = lost is not won and (lost.depth, lost.priority) == (won.depth, won.priority)
            if not tied or other.value == winner.value or all(name in h.own or name in h.files for h in hosts):
                continue
            host = next(h for h in hosts if name not in h.own and name not in h.files)
            sentence = f"groups {lost.name} ({other.mark}) and {won.name} disagree for {host.name}; {won.name} wins"
            hint = "set it in one of them, in host_vars, or give one a higher ansible_group_priority"
            draft.faults.warn(winner.mark, f"{won.name}.{name}", sentence, hint)


def _last_of_each_group(origins: list[Origin]) -> list[Origin]:
    return list({origin.group: origin for origin in origins}.values())
