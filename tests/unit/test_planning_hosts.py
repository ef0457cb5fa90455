"""Roles on hosts: what comes first, which hosts wait for which, and which ports are open to whom."""

from __future__ import annotations

import pytest
from planning_project import HOSTS, Planned

from swarmops.model.faults import Faults
from swarmops.model.project import Project
from swarmops.planning.plan import Plan, waves
from swarmops.planning.world import World


def test_needs_come_first_and_when_leaves_a_role_out(small: Planned) -> None:
    small.role("needs: [tunnel, base]\n").role("", "base")
    small.role("needs: [base]\nwhen: network.mesh.mode == 'wireguard'\n", "tunnel")
    plan = small.plan()["r1"]
    assert not small.lines and plan.roles == ["base", "app"] and plan.needs["app"] == ["base"]
    small.write(
        "distributed.yaml",
        "version: 1\ninfrastructure: {app: all}\nnetwork: {mesh: {mode: wireguard, range: 10.77.0.0/24}}\n",
    )
    plan = small.plan()["r1"]
    assert plan.roles == ["base", "tunnel", "app"] and plan.needs["app"] == ["base", "tunnel"]


def test_waves_follow_after(small: Planned) -> None:
    small.write("distributed.yaml", "version: 1\ninfrastructure: {app: edge, big-store: store}\n")
    small.role("after: [big-store]\n").role("", "big-store")
    assert waves(small.plan()) == [["r1"], ["w1", "w2"]]
    assert waves(small.plan(limit="edge")) == [["w1", "w2"]]
    small.role("after: [app]\n", "big-store")
    assert "the hosts wait for each other: r1 -> w1 -> r1" in small.fault()


def test_after_may_hang_on_a_condition(small: Planned) -> None:
    small.write("distributed.yaml", "version: 1\ninfrastructure: {app: edge, big-store: store}\n")
    small.role("vars: {turning: false}\nafter: {big-store: turning}\n").role("", "big-store")
    assert waves(small.plan()) == [["r1", "w1", "w2"]]
    assert waves(small.plan(extra={"app_turning": True})) == [["r1"], ["w1", "w2"]]
    small.role("after: {big-stoer: true}\n")
    assert "there is no role 'big-stoer'" in small.fault()
    small.role("after: {big-store: facts.cores > 1}\n")
    small.plan()
    assert "a role's `after` is decided before any host is asked" in small.lines[0]


def test_after_a_role_that_nobody_has(small: Planned) -> None:
    small.role("after: [big-store]\n").role("", "big-store")
    assert "app comes after big-store, and no host has the role big-store" in small.fault()


def test_waves_of_hand_made_plans() -> None:
    plans = {"a": Plan("a", after=["b"]), "b": Plan("b"), "c": Plan("c", after=["a", "zz"])}
    assert waves(plans) == [["b"], ["a"], ["c"]]


# -- ports


def reach(small: Planned, ports: str, mesh: str = "", host: str = "r1") -> list[dict]:
    network = "network: {subnet: 10.0.0.0/24, controllers: [10.0.0.5/32]%s}" % (f", mesh: {mesh}" if mesh else "")
    small.write("distributed.yaml", f"version: 1\ninfrastructure: {{app: all, front: edge}}\n{network}\n")
    small.role(f"vars: {{port: 80}}\nports: {ports}\n").role("", "front")
    faults = small.faults = Faults()
    world = World(Project.open(small.root, None, faults), {}, faults)
    found = [dict(o) for o in world.openings if o.host == host]
    world.host_faults.flush(faults)
    return found


@pytest.mark.parametrize(
    ("source", "sources"),
    [
        ("front", ["10.0.0.11/32", "10.0.0.12/32"]),
        ("store", []),
        ("w2", ["10.0.0.12/32"]),
        ("subnet", ["10.0.0.0/24"]),
        ("controller", ["10.0.0.5/32"]),
        ("any", ["any"]),
        ("mesh", []),
        ("192.168.7.0/24", ["192.168.7.0/24"]),
        ("fd00::/64", ["fd00::/64"]),
        ("[front, w1, controller]", ["10.0.0.5/32", "10.0.0.11/32", "10.0.0.12/32"]),
    ],
)
def test_from_is_resolved(small: Planned, source: str, sources: list[str]) -> None:
    (opening,) = reach(small, f"[{{port: '{{{{ port }}}}', from: {source}, via: mesh}}]")
    assert not small.lines and opening["sources"] == sources
    assert (opening["port"], opening["proto"], opening["via"]) == (80, "tcp", "any")


def test_mesh_addresses_are_preferred_where_there_is_a_mesh(small: Planned) -> None:
    ports = "[{port: 80, from: front, via: mesh}, {port: 22-23, from: [front, mesh], proto: udp}]"
    via_mesh, via_lan = reach(small, ports, "{mode: wireguard, range: 10.77.0.0/24}")
    assert via_mesh["sources"] == ["10.77.0.11/32", "10.77.0.12/32"] and via_mesh["via"] == "mesh"
    assert via_lan["sources"] == ["10.0.0.11/32", "10.0.0.12/32", "10.77.0.0/24"]
    assert (via_lan["port"], via_lan["proto"]) == ("22-23", "udp")


def test_a_host_known_by_name_only_cannot_be_let_in(small: Planned) -> None:
    small.write("inventory/lan/hosts.yaml", HOSTS.replace("10.0.0.11", "w1.example"))
    reach(small, "[{port: 80, from: front}]")
    assert "w1.ansible_host: 'w1.example' is a name; the firewall of r1 lets w1 in by its address" in small.lines[0]


def test_a_port_with_a_condition(small: Planned) -> None:
    ports = "[{port: 80, from: any, when: inventory_hostname == 'w1'}]"
    assert reach(small, ports) == [] and len(reach(small, ports, host="w1")) == 1
