"""Addresses, the mesh and what must not overlap (S4-10, S0-37; reliability-security 3b, cases 28-38)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from swarmops.model import addresses

V = "version: 1\n"
R = "infrastructure: {redis: redis, client: 'all:!redis'}\n"
MESH = "network: {subnet: 172.16.168.0/24, mesh: {mode: wireguard, range: 10.77.0.0/24}}\n"


def hosts(**r1: Any) -> str:
    """An inventory of the hosts c1 and r1, r1 with these variables."""
    import json

    base = {"ansible_host": "172.16.168.23", "mesh_address": "10.77.0.23", **r1}
    first = '{"ansible_host": "172.16.168.20", "mesh_address": "10.77.0.20"}'
    return f"coordinator: {{hosts: {{c1: {first}}}}}\nredis:\n  hosts:\n    r1: {json.dumps(base)}\n"


def test_addresses_of_a_host(declared: Any) -> None:
    project, faults = declared.write(V + R + MESH, hosts(mesh_address="10.77.0.23")).open()
    assert not faults
    host = project.inventory.hosts["r1"]
    assert (addresses.address(host), addresses.mesh_address(host)) == ("172.16.168.23", "10.77.0.23")


def test_s4_10_a_host_outside_the_subnet(declared: Any) -> None:
    fault = declared.one(V + R + MESH, hosts(ansible_host="192.168.1.9"))
    assert fault == (
        "inventory/lan/hosts.yaml:4:26: r1.ansible_host: 192.168.1.9 is outside network.subnet (172.16.168.0/24) "
        "(network.allow_outside: [r1] allows it)"
    )
    for allowed in ("true", "[r1]", "r1"):
        text = V + R + MESH.replace("{subnet", f"{{allow_outside: {allowed}, subnet")
        assert declared.faults(text, hosts(ansible_host="192.168.1.9")) == []


def test_case_31_one_key_twice(declared: Any) -> None:
    key = base64.b64encode(bytes(range(1, 33))).decode()
    first = hosts(wireguard_public_key=key).replace('"10.77.0.20"', f'"10.77.0.20", "wireguard_public_key": "{key}"')
    assert "r1.wireguard_public_key: is the key of c1 too" in declared.one(V + R + MESH, first)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("not base64!", "is not base64"),
        (base64.b64encode(b"short").decode(), "has 5 bytes, a key has 32"),
        (base64.b64encode(bytes(32)).decode(), "is all zero"),
    ],
)
def test_case_32_keys_that_are_none(declared: Any, key: str, why: str) -> None:
    assert f"is not a WireGuard public key: it {why}" in declared.one(V + R + MESH, hosts(wireguard_public_key=key))


def test_case_32_a_private_key_given_as_public(declared: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    raw = bytearray(range(32))
    raw[0], raw[31] = raw[0] & 248, (raw[31] & 127) | 64
    public = X25519PrivateKey.from_private_bytes(bytes(raw)).public_key().public_bytes_raw()
    private, public = base64.b64encode(raw).decode(), base64.b64encode(public).decode()
    text = hosts(wireguard_public_key=private)
    text = text.replace('"10.77.0.20"', f'"10.77.0.20", "wireguard_public_key": "{public}"')
    fault = declared.one(V + R + MESH, text)
    assert "r1.wireguard_public_key: is a private key: the key of c1 is made from it" in fault
    assert private not in fault


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("10.0.0.1/8", "'10.0.0.1/8' has host bits set (the network is 10.0.0.0/8)"),
        ("10.0.0.0/33", "'10.0.0.0/33' is not a network (example: 172.16.168.0/24)"),
        ("10.0.0.0", "'10.0.0.0' has no prefix length (write 10.0.0.0/24, or 10.0.0.0/32 for one address)"),
        ("10.0.0.300/24", "'10.0.0.300/24' is not a network"),
        ("somewhere/24", "'somewhere/24' is not a network"),
    ],
)
def test_case_33_bad_cidr(declared: Any, written: str, said: str) -> None:
    fault = declared.one(V + R + f"network: {{subnet: {written}, allow_outside: true}}\n")
    assert fault.startswith(f"distributed.yaml:3:19: network.subnet: {said}")


@pytest.mark.parametrize(
    ("mesh", "subnet", "said"),
    [
        ("172.16.168.0/25", "172.16.168.0/24", "network.mesh.range: 172.16.168.0/25 overlaps the subnet"),
        ("172.17.5.0/24", "172.16.168.0/24", "network.mesh.range: 172.17.5.0/24 overlaps the reserved network"),
        ("10.77.0.0/24", "172.16.0.0/12", "network.subnet: 172.16.0.0/12 overlaps the reserved network 172.17.0.0/16"),
    ],
)
def test_case_34_s0_37_overlaps(declared: Any, mesh: str, subnet: str, said: str) -> None:
    text = V + R + f"network: {{subnet: {subnet}, mesh: {{mode: wireguard, range: {mesh}}}}}\n"
    assert [f for f in declared.faults(text) if said in f]


def test_case_34_docker_may_be_elsewhere(declared: Any) -> None:
    text = V + R + "network: {subnet: 172.16.0.0/12, reserved: [192.168.99.0/24]}\n"
    assert declared.faults(text) == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("10.78.0.1", "10.78.0.1 is outside network.mesh.range (10.77.0.0/24)"),
        ("10.77.0.0", "10.77.0.0 is the network address of 10.77.0.0/24"),
        ("10.77.0.255", "10.77.0.255 is the broadcast address of 10.77.0.0/24"),
        ("10.77.0.20", "10.77.0.20 is the mesh address of c1 too"),
        ("10.77.0.23/24", "'10.77.0.23/24' is not an IPv4 address (example: 10.77.0.20)"),
    ],
)
def test_case_35_28_mesh_addresses(declared: Any, address: str, said: str) -> None:
    fault = declared.one(V + R + MESH, hosts(mesh_address=address))
    assert fault == f"inventory/lan/hosts.yaml:4:59: r1.mesh_address: {said}"


def test_case_36_routes_of_peers(declared: Any) -> None:
    both = hosts(mesh_routes=["10.9.0.0/16", "0.0.0.0/0"])
    both = both.replace('"10.77.0.20"', '"10.77.0.20", "mesh_routes": ["10.9.4.0/24"]')
    found = declared.faults(V + R + MESH, both)
    assert len(found) == 2
    assert (
        "0.0.0.0/0 would send all traffic of the fleet through r1 (if it is meant, give r1 mesh_exit: true)" in found[0]
    )
    assert "10.9.0.0/16 overlaps 10.9.4.0/24 of c1: WireGuard would use only one" in found[1]
    assert declared.faults(V + R + MESH, hosts(mesh_routes=["0.0.0.0/0"], mesh_exit=True)) == []


@pytest.mark.parametrize("written", ["fd00::/64", "::ffff:10.0.0.0/120", "fe80::1%eth0/64"])
def test_case_37_ipv6_where_only_v4_goes(declared: Any, written: str) -> None:
    fault = declared.one(V + R + f"network: {{subnet: '{written}'}}\n")
    assert fault.endswith("is IPv6; only IPv4 networks can be given here")
    assert "is IPv6; only IPv4 is supported here" in declared.one(V + R, hosts(mesh_address="fe80::1%eth0"))


def test_a_mesh_needs_a_range_and_its_hub_a_host(declared: Any) -> None:
    assert "a WireGuard mesh needs a range" in declared.one(V + R + "network: {mesh: {mode: wireguard}}\n")
    fault = declared.one(V + R + MESH.replace("range", "hub: nobody, range"))
    assert fault.endswith("network.mesh.hub: 'nobody' is not a host of this inventory")
