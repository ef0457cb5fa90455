"""The firewall's rules come from the roles' ports: least privilege, SSH first, both families (S0-34, S4-33)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def load_role(name: str):
    spec = importlib.util.spec_from_file_location(f"role_{name}", ROOT / "roles" / name / "role.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


firewall = load_role("firewall")
MESH = {"interface": "wg0", "range": "10.77.0.0/24", "hub": "hub-1"}


def opening(sources, **more):
    return {"role": "redis", "name": "", "port": 6379, "proto": "tcp", "sources": sources, "via": "any", **more}


def value_of(**given):
    known = {
        "controllers": ["192.0.2.1/32"],
        "ssh_port": 22,
        "mesh_interface": "wg0",
        "network": {"mesh": {"mode": "wireguard", "range": "10.77.0.0/24", "hub": "hub-1"}},
        "inventory_hostname": "redis-1",
        **given,
    }
    return known.__getitem__


def test_a_port_is_open_to_the_named_sources_only() -> None:
    assert firewall.nft_lines(opening(["10.0.0.2/32", "10.0.0.9/32"])) == [
        "ip saddr { 10.0.0.2, 10.0.0.9 } tcp dport 6379 accept"
    ]


def test_both_families_get_a_rule_where_there_are_sources() -> None:
    assert firewall.nft_lines(opening(["10.0.0.2", "fd00::2"])) == [
        "ip saddr 10.0.0.2 tcp dport 6379 accept",
        "ip6 saddr fd00::2 tcp dport 6379 accept",
    ]


def test_no_source_is_no_rule_and_never_everybody() -> None:
    assert firewall.nft_lines(opening([])) == []


def test_a_source_inside_another_is_left_out_as_nft_refuses_overlaps() -> None:
    lines = firewall.nft_lines(opening(["10.0.0.7", "10.0.0.0/24", "10.0.1.4", "10.0.1.5"]))
    assert lines == ["ip saddr { 10.0.0.0/24, 10.0.1.4, 10.0.1.5 } tcp dport 6379 accept"]


def test_what_is_for_the_mesh_is_open_on_its_interface_only() -> None:
    lines = firewall.nft_lines(opening(["10.77.0.2"], via="mesh"), MESH)
    assert lines == ['iifname "wg0" ip saddr 10.77.0.2 tcp dport 6379 accept']
    assert firewall.nft_lines(opening(["10.77.0.2"], via="mesh"), None) == []


def test_only_the_hub_forwards() -> None:
    assert firewall.forward(MESH, "redis-1") == []
    assert firewall.forward(MESH, "hub-1") == ['iifname "wg0" oifname "wg0" accept comment "mesh hub"']


def test_without_a_controller_there_is_no_rule_set() -> None:
    with pytest.raises(ValueError, match=r"network\.controllers"):
        firewall.derive([], value_of(controllers=[]))


def test_ssh_comes_first_in_every_backend() -> None:
    made = firewall.derive([opening(["10.0.0.2"])], value_of())
    assert made["ssh_rules"] == ['ip saddr 192.0.2.1 tcp dport 22 accept comment "ssh"']
    assert "--dport 22 -s 192.0.2.1 -j ACCEPT" in made["ufw_rules"][0]["line"]
    assert all(rule["line"].endswith("ACCEPT") for rule in made["ufw_rules"])


def test_a_source_that_is_added_later_still_comes_before_the_drop() -> None:
    """S0-34: `ufw allow` after `ufw deny` never matches; ours are allows only, and the default drops."""
    made = firewall.derive([opening(["203.0.113.5"]), opening(["203.0.113.6"])], value_of())
    lines = [rule["line"] for rule in made["ufw_rules"]]
    assert any("203.0.113.6" in line for line in lines)
    assert not any("DROP" in line or "REJECT" in line for line in lines)


def test_a_rule_said_by_two_entries_is_written_once() -> None:
    made = firewall.groups([opening(["10.0.0.2"]), opening(["10.0.0.2"])])
    assert made == [{"title": "redis", "lines": ["ip saddr 10.0.0.2 tcp dport 6379 accept"]}]
