"""Ranges, patterns and the order of merging, for inventories that nobody would write, against Ansible's own code."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swarmops.model.faults import Faults, InputError, Mark
from swarmops.model.inventory import Inventory, merge, ranges, vault, yaml_source
from swarmops.model.inventory.draft import Draft
from swarmops.model.yaml import parse
from tests.conftest import lacking

try:
    from ansible.errors import AnsibleError
    from ansible.inventory import manager
    from ansible.inventory.helpers import sort_groups
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.inventory import BaseInventoryPlugin, expand_hostname_range
except ImportError as e:
    lacking(f"Ansible is not installed: {e}")

GROUPS = ["a", "b", "c", "web", "web2", "db"]
HOSTS = ["web-1", "web-2", "web1", "db-1", "db-2", "x.lan", "y.lan", "a1"]


# --- ranges ---
numbers = st.integers(0, 120)
steps = st.one_of(st.just(""), st.integers(1, 7).map(lambda n: f":{n}"))


@st.composite
def numeric(draw: Any) -> str:
    first = draw(numbers)
    last = first + draw(st.integers(0, 30))
    width = len(str(last)) if draw(st.booleans()) else 0
    return f"[{first:0{width}}:{last:0{width}}{draw(steps)}]" if width else f"[{first}:{last}{draw(steps)}]"


@st.composite
def letters(draw: Any) -> str:
    first, last = sorted((draw(st.integers(0, 51)), draw(st.integers(0, 51))))
    return f"[{string.ascii_letters[first]}:{string.ascii_letters[last]}{draw(steps)}]"


names = st.from_regex(r"[a-z]([a-z0-9-]{0,4}[a-z0-9])?", fullmatch=True)


@given(st.lists(st.one_of(numeric(), letters(), names), min_size=1, max_size=3), st.sampled_from(["", ":22"]))
@settings(deadline=None, max_examples=200)
def test_ranges_make_the_hosts_that_ansible_makes(parts: list[str], port: str) -> None:
    pattern = "h" + "".join(parts) + port
    assume(len([p for p in parts if p[0] == "["]) < 3)
    theirs = BaseInventoryPlugin()._expand_hostpattern(pattern)
    assert ranges.parse(pattern) == theirs


@given(numeric())
def test_padding_keeps_the_width(text: str) -> None:
    begin = text[1:-1].split(":")[0]
    found = ranges.expand_ranges(f"h{text}")
    assert found[0] == f"h{begin}"
    assert len(set(found)) == len(found)
    if begin.startswith("0") and len(begin) > 1:
        assert {len(name) for name in found} == {len(begin) + 1}


@given(st.text(alphabet="ab09[]:|-.", max_size=12))
@settings(max_examples=300)
def test_any_text_is_hosts_or_a_reason(text: str) -> None:
    try:
        found, _ = ranges.parse(text)
    except ranges.RangeError as e:
        assert str(e)
    else:
        if "[" in text and found == expand_or_none(text):
            assert found
        assert all("[" not in name for name in found)


def expand_or_none(text: str) -> list[str] | None:
    try:
        return expand_hostname_range(text)
    except (AnsibleError, ValueError):
        return None


# --- inventories ---
@st.composite
def inventories(draw: Any) -> dict[str, Any]:
    """Groups without a circle, hosts in some of them, variables of a few names everywhere."""
    order = draw(st.permutations(GROUPS))
    values = st.dictionaries(st.sampled_from("pqr"), st.integers(0, 3), max_size=2)
    data: dict[str, Any] = {}
    for i, group in enumerate(order):
        below = draw(st.lists(st.sampled_from(order[i + 1 :]), unique=True, max_size=2)) if order[i + 1 :] else []
        body: dict[str, Any] = {
            "hosts": {h: draw(values) for h in draw(st.lists(st.sampled_from(HOSTS), unique=True, max_size=4))},
            "children": dict.fromkeys(below),
            "vars": draw(values),
        }
        if draw(st.booleans()):
            body["vars"]["ansible_group_priority"] = draw(st.integers(-2, 3))
        data[group] = body
    data = {name: data[name] for name in draw(st.permutations(list(data)))}
    data["all"] = {"vars": draw(values), "hosts": {"web-1": None}}
    return data


def ours(data: dict[str, Any]) -> Inventory:
    faults = Faults()
    draft = Draft(Path("x"), faults)
    text = yaml.safe_dump(data, sort_keys=False)
    yaml_source.read(parse(text, "x", faults), Mark("x"), draft)
    inventory = merge.finish(draft, vault.Keys())
    assert not faults.errors
    return inventory


def theirs(data: dict[str, Any]) -> Any:
    found = manager.InventoryManager(loader=DataLoader(), sources=[])
    for group, body in data.items():
        found.add_group(group)
        for child in body.get("children", ()):
            found.add_group(child)
            found._inventory.add_child(group, child)
        for host, values in body.get("hosts", {}).items():
            found.add_host(host, group)
            for name, value in (values or {}).items():
                found._inventory.set_variable(host, name, value)
        for name, value in body.get("vars", {}).items():
            found._inventory.set_variable(group, name, value)
    found.reconcile_inventory()
    return found


MAGIC = {"inventory_file", "inventory_dir", "inventory_hostname", "inventory_hostname_short", "group_names"}


@given(inventories())
@settings(deadline=None, max_examples=80)
def test_hosts_get_what_ansible_gives_them(data: dict[str, Any]) -> None:
    mine, their = ours(data), theirs(data)
    assert {n: g.depth for n, g in mine.groups.items()} == {n: g.depth for n, g in their.groups.items()}
    for name, host in their.hosts.items():
        groups = sort_groups([g for g in host.get_groups() if g.name != "all"])
        assert mine.hosts[name].groups == tuple(g.name for g in groups)
        merged: dict[str, Any] = dict(their.groups["all"].get_vars())
        for group in groups:
            merged.update(group.get_vars())
        merged.update(host.get_vars())
        assert mine.hosts[name].vars == {k: v for k, v in merged.items() if k not in MAGIC}


@given(inventories())
@settings(deadline=None, max_examples=30)
def test_the_last_origin_is_the_value(data: dict[str, Any]) -> None:
    for host in ours(data).hosts.values():
        assert host.vars.keys() == host.why.keys()
        for name, value in host.vars.items():
            assert host.why[name][-1].value == value
            assert all(o.mark.line for o in host.why[name])


plain_names = st.sampled_from([*GROUPS, *HOSTS, "all", "ungrouped", "localhost"])
wild = st.sampled_from(
    ["*", "web*", "*-1", "w?b", "*.lan", "[ab]", "~web-[0-9]+", "~.*", "~(a|db)", "x.lan", "nothing*"]
)
subscripts = st.sampled_from(["", "", "", "[0]", "[-1]", "[1:]", "[0:1]", "[1:2]", "[5]", "[3:9]"])
parts = st.builds(
    lambda sign, name, subscript: sign + (name if name[0] == "~" else name + subscript),
    st.sampled_from(["", "", "&", "!"]),
    st.one_of(plain_names, wild),
    subscripts,
)


@given(inventories(), st.lists(parts, min_size=1, max_size=4), st.sampled_from([":", ","]))
@settings(deadline=None, max_examples=120)
def test_patterns_select_what_ansible_selects(data: dict[str, Any], chosen: list[str], between: str) -> None:
    mine, their = ours(data), theirs(data)
    if between == ":" and any(p.lstrip("&!")[0] == "~" for p in chosen):
        between = ","
    pattern = between.join(chosen) + ("," if between == "," else "")
    for part in (p.lstrip("&!") for p in chosen if "[" in p):
        # Ansible walks the third level of groups in the order of a set: what a subscript means there is its secret.
        whole = part.split("[")[0]
        assume(len({g.depth for g in mine.groups.values()}) < 4 or whole in mine.hosts)
    try:
        expected = {host.name for host in their.get_hosts(pattern)}
    except AnsibleError:
        expected = set()
    try:
        found = {host.name for host in mine.select(pattern)}
    except InputError:
        # We stop at a name that is none and at nothing; Ansible goes on with what is left.
        unknown = [p for p in chosen if p.lstrip("&!").split("[")[0] not in (*mine.groups, *mine.hosts)]
        assert not expected or unknown
    else:
        assert found == expected


@given(inventories(), st.lists(plain_names, min_size=1, max_size=3))
@settings(deadline=None, max_examples=30)
def test_exclusion_and_intersection_are_those_of_sets(data: dict[str, Any], chosen: list[str]) -> None:
    inventory = ours(data)
    everyone = {host.name for host in inventory.select("all")}
    assert everyone == set(inventory.hosts)
    for name in set(chosen) & set(inventory.groups):
        members = set(inventory.groups[name].all_hosts())
        for pattern, wanted in ((f"all:&{name}", members), (f"all:!{name}", everyone - members)):
            try:
                assert {host.name for host in inventory.select(pattern)} == wanted
            except InputError:
                assert not wanted
