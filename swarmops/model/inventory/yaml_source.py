"""A YAML inventory file: groups with `hosts`, `vars` and `children`."""

from __future__ import annotations

from typing import Any

from swarmops.model.faults import Mark, closest
from swarmops.model.inventory import ranges
from swarmops.model.inventory.draft import Draft
from swarmops.model.inventory.names import kind, shorten
from swarmops.model.inventory.types import Group
from swarmops.model.yaml import Map

SECTIONS = ("hosts", "children", "vars")


def read(data: Any, mark: Mark, draft: Draft) -> None:
    """Adds what a file holds; `data` is what `model.yaml.load` made of it and `mark` names the file."""
    if not isinstance(data, Map):
        sentence = "is empty: no hosts" if data is None else f"holds {kind(data)}, not groups"
        draft.faults.add(mark, "", sentence, "all: {hosts: {web-1: {ansible_host: 10.0.0.11}}}")
    elif data.get("plugin"):
        hint = f"save what 'ansible-inventory -i {mark.file} --list --export --yaml' prints"
        draft.faults.add(data.key_mark("plugin"), "plugin", "Ansible's inventory plugins are not run", hint)
    else:
        for name, body in data.items():
            if name in SECTIONS and not _looks_like_a_group(body):
                draft.faults.add(data.key_mark(name), str(name), "belongs to a group", f"all: {{{name}: ...}}")
                continue
            _group(name, body, data, draft)


def _looks_like_a_group(body: Any) -> bool:
    return isinstance(body, Map) and bool(body) and set(body) <= set(SECTIONS)


def _group(name: Any, body: Any, parent: Map, draft: Draft) -> Group | None:
    """One group with what is below it. Depth is bounded by the reader of YAML."""
    mark = parent.key_mark(name)
    raw = parent.raw_key(name)
    if body is not None and not isinstance(body, Map):
        hint = "web: {hosts: {web-1: }}"
        draft.faults.add(parent.value_mark(name), str(raw), f"a group is a map, this is {kind(body)}", hint)
        return None
    group = draft.add_group(name, mark, raw)
    if group is None or body is None:
        return group
    for section, items in body.items():
        if section not in SECTIONS:
            at = body.key_mark(section)
            sentence = f"unknown key '{body.raw_key(section)}' in a group"
            draft.faults.add(at, str(raw), sentence, closest(str(section), SECTIONS))
            continue
        entries = _entries(group, section, items, body, draft)
        if section == "hosts":
            _hosts(group, entries, draft)
        elif section == "children":
            _children(group, entries, draft)
        else:
            draft.set_vars(group, entries)
    return group


def _entries(group: Group, section: str, items: Any, body: Map, draft: Draft) -> Map:
    """The section as a map: Ansible takes a lone text for a map with that key."""
    if isinstance(items, Map):
        return items
    alone = Map()
    alone._start(body.file, body.value_mark(section).line, body.value_mark(section).column)
    if isinstance(items, str) and section != "vars":
        alone[items] = None
    elif items is not None:
        example = {"hosts": "web-1:", "children": "web:", "vars": "name: value"}[section]
        sentence = f"must be a map, this is {kind(items)}"
        hint = f"a line each, without '-', such as '{example}'"
        draft.faults.add(body.value_mark(section), f"{group.name}.{section}", sentence, hint)
    return alone


def _children(group: Group, entries: Map, draft: Draft) -> None:
    for name, body in entries.items():
        child = _group(name, body, entries, draft)
        if child is not None:
            draft.add_child(group.name, child.name, entries.key_mark(name))


def _hosts(group: Group, entries: Map, draft: Draft) -> None:
    for pattern, values in entries.items():
        mark = entries.key_mark(pattern)
        path = f"{group.name}.hosts"
        if not isinstance(pattern, str):
            raw = entries.raw_key(pattern)
            if pattern is None:
                draft.faults.add(mark, path, "a host without a name")
            else:
                sentence = f"{raw} is read as {kind(pattern)}, not as a name"
                draft.faults.add(mark, path, sentence, f"write '{raw}' when it is the name")
            continue
        if values is not None and not isinstance(values, Map):
            sentence = f"a host's variables are a map, this is {kind(values)}"
            hint = "ansible_host: ... below the name" if isinstance(values, str) else ""
            draft.faults.add(entries.value_mark(pattern), f"{path}.{shorten(pattern)}", sentence, hint)
            values = None
        hosts, port = ranges.expand(pattern, mark, path, draft.faults)
        for name in hosts:
            host = draft.add_host(name, group, mark, port)
            if host and values:
                draft.set_vars(host, values)
