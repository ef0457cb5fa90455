"""An inventory in the formats of `ansible-inventory`: --list (JSON or YAML), --graph, --host, and export."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from typing import Any

from swarmops.model.inventory.types import Group, Host, Inventory
from swarmops.model.inventory.vault import Opened
from swarmops.model.yaml import Unsafe, Vaulted

# What Ansible itself sets, and therefore leaves out of what it prints.
_INTERNAL = """
ansible_async_path ansible_collection_name ansible_config_file ansible_dependent_role_names ansible_diff_mode
ansible_facts ansible_forks ansible_inventory_sources ansible_limit ansible_play_batch ansible_play_hosts
ansible_play_hosts_all ansible_play_role_names ansible_playbook_python ansible_role_name ansible_role_names
ansible_run_tags ansible_skip_tags ansible_verbosity ansible_version inventory_dir inventory_file
inventory_hostname inventory_hostname_short groups group_names hostvars playbook_dir play_hosts role_name
role_names role_path role_uuid
"""
INTERNAL = frozenset(_INTERNAL.split())


def host_vars(host: Host) -> dict[str, Any]:
    """A host's merged variables, as `ansible-inventory --host` gives them."""
    return {name: value for name, value in host.vars.items() if name not in INTERNAL}


def group_vars(group: Group) -> dict[str, Any]:
    """What a group sets itself, in its inventory file and in group_vars."""
    values = {name: value for name, value in group.vars.items() if name not in INTERNAL}
    if group.priority != 1:
        values["ansible_group_priority"] = group.priority
    return values


def listing(inventory: Inventory, only: Iterable[str] | None = None) -> dict[str, Any]:
    """As `ansible-inventory --list`: groups with hosts and children, and `_meta.hostvars`. `only` limits the hosts."""
    wanted = set(inventory.hosts if only is None else only)
    found: dict[str, Any] = {}
    for group in _depth_first(inventory):
        body: dict[str, Any] = {}
        if group.name != "all":
            body["hosts"] = [host for host in group.hosts if host in wanted]
        body["children"] = list(group.children)
        found[group.name] = {key: value for key, value in body.items() if value}
    meta = {name: values for name in inventory.hosts if name in wanted and (values := host_vars(inventory.hosts[name]))}
    found = {name: body for name, body in found.items() if body}
    return {**found, "_meta": {"hostvars": meta, "profile": "inventory_legacy"}}


def _depth_first(inventory: Inventory) -> Iterable[Group]:
    seen, waiting = {"all"}, ["all"]
    while waiting:
        group = inventory.groups[waiting.pop()]
        yield group
        below = [child for child in group.children if child not in seen]
        seen.update(below)
        waiting.extend(reversed(below))


def yaml_listing(inventory: Inventory, only: Iterable[str] | None = None) -> dict[str, Any]:
    """As `ansible-inventory --list --yaml`: an inventory file in which every host has all its variables."""
    wanted = set(inventory.hosts if only is None else only)
    return _tree(inventory, wanted, {name: host_vars(host) for name, host in inventory.hosts.items()}, None)


def exported(inventory: Inventory, only: Iterable[str] | None = None) -> dict[str, Any]:
    """One YAML inventory file that stands for all of it, group_vars and host_vars folded in: whoever reads it gets the
    same hosts, groups and variables.

    In a file alone a child's variable wins over what group_vars/all said before; where folding would change what a
    host gets, the host gets its value itself.
    """
    wanted = set(inventory.hosts if only is None else only)
    groups = {name: group_vars(group) for name, group in inventory.groups.items()}
    for name, group in inventory.groups.items():
        if group.priority == 1:
            groups[name].pop("ansible_group_priority", None)  # from group_vars, where it had no effect
    hosts = {}
    for name in wanted:
        host = inventory.hosts[name]
        folded: dict[str, Any] = {}
        for above in ("all", *host.groups):
            folded.update(groups[above])
        folded.pop("ansible_group_priority", None)
        own = host.own.keys() | host.files.keys()
        values = host_vars(host)
        hosts[name] = {k: v for k, v in values.items() if k in own or k not in folded or not _same(folded[k], v)}
    return _tree(inventory, wanted, hosts, groups)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _tree(
    inventory: Inventory, wanted: set[str], hosts: dict[str, Any], groups: dict[str, Any] | None
) -> dict[str, Any]:
    """The groups below one another. A group's or host's body stands where it is first met; later it is a name.

    With `groups` (their variables) nothing is left out; without, empty groups are, as Ansible does.
    """
    told_groups: set[str] = set()
    told_hosts: set[str] = set()

    def body(group: Group) -> dict[str, Any]:
        made: dict[str, Any] = {"children": {}, "hosts": {}}
        for child in group.children:
            if child in told_groups:
                made["children"][child] = {}
                continue
            told_groups.add(child)
            below = body(inventory.groups[child])
            if below or groups is not None:
                made["children"][child] = below
        for host in group.hosts if group.name != "all" else ():
            if host in wanted:
                made["hosts"][host] = {} if host in told_hosts else hosts[host]
                told_hosts.add(host)
        if groups is not None:
            made["vars"] = groups[group.name]
        return {key: value for key, value in made.items() if value}

    whole = body(inventory.groups["all"])
    return {"all": whole} if whole else {}


def graph(inventory: Inventory, *, only: Iterable[str] | None = None, show_vars: bool = False) -> str:
    """As `ansible-inventory --graph`: a tree of groups and hosts, with `show_vars` their variables too."""
    wanted = set(inventory.hosts if only is None else only)
    lines: list[str] = []

    def add(text: str, depth: int) -> None:
        lines.append("  |" * depth + f"--{text}" if depth else text)

    def add_vars(values: dict[str, Any], depth: int) -> None:
        for name, value in sorted(values.items()) if show_vars else ():
            # str.__str__ would show an opened vault text; its repr does not.
            add(f"{{{name} = {value if type(value) in (str, Unsafe) else repr(value)}}}", depth)

    def walk(group: Group, depth: int) -> None:
        add(f"@{group.name}:", depth)
        for child in group.children:
            walk(inventory.groups[child], depth + 1)
        for host in (h for h in group.hosts if h in wanted and group.name != "all"):
            add(host, depth + 1)
            add_vars(host_vars(inventory.hosts[host]), depth + 2)
        add_vars(group_vars(group), depth + 1)

    walk(inventory.groups["all"], 0)
    return "\n".join(lines)


def to_json(value: Any) -> str:
    """Ansible's JSON: sorted, indented by 4; vault and unsafe texts as objects, opened ones sealed."""
    return json.dumps(json_ready(value), indent=4, sort_keys=True, ensure_ascii=False)


def json_ready(value: Any) -> Any:
    """The same data in types that JSON has."""
    if isinstance(value, dict):
        return {_json_key(k): json_ready(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(v) for v in value]
    if isinstance(value, Vaulted | Opened):
        return {"__ansible_vault": value.ciphertext}
    if isinstance(value, Unsafe):
        return {"__ansible_unsafe": str(value)}
    return value.isoformat() if isinstance(value, datetime.date | datetime.datetime) else value


def _json_key(key: Any) -> str:
    if isinstance(key, str):
        return str(key)
    return key.isoformat() if isinstance(key, datetime.date) else json.dumps(key)


def to_yaml(value: Any, *, sort: bool = False) -> str:
    """YAML that Ansible and `model.yaml` read back; vault texts stay `!vault`. `sort` as ansible-inventory does."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def vaulted(dumper: yaml.SafeDumper, data: Vaulted | Opened) -> yaml.Node:
        return dumper.represent_scalar("!vault", data.ciphertext, style="|")

    Dumper.add_representer(Vaulted, vaulted)
    Dumper.add_representer(Opened, vaulted)
    Dumper.add_representer(Unsafe, lambda dumper, data: dumper.represent_str(str(data)))
    Dumper.add_multi_representer(dict, lambda dumper, data: dumper.represent_dict(dict(data)))
    Dumper.add_multi_representer(list, lambda dumper, data: dumper.represent_list(list(data)))
    return yaml.dump(value, Dumper=Dumper, default_flow_style=False, allow_unicode=True, sort_keys=sort)
