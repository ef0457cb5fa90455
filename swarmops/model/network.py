"""Addresses: what reaches each host, the mesh, and what must not overlap (S4-10, S0-37, cases 31-37)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterator
from typing import Any

from swarmops.model.addresses import address
from swarmops.model.distributed import Deployment
from swarmops.model.faults import Faults, Mark
from swarmops.model.inventory import Inventory
from swarmops.model.schema import readers
from swarmops.model.schema.section import Place, Wrong

PUBLIC_KEY = "wireguard_public_key"
ROUTES = "mesh_routes"
Addresses = ipaddress.IPv4Address | ipaddress.IPv6Address


def ip_of(text: Any) -> Addresses | None:
    """The text as an IP address; None for names."""
    try:
        return ipaddress.ip_address(str(text))
    except ValueError:
        return None


def check(deployment: Deployment, inventory: Inventory, faults: Faults) -> None:
    """Every fault of addresses: overlaps, strays, doubles, keys and routes of the mesh."""
    _overlaps(deployment, faults)
    _outside_subnet(deployment, inventory, faults)
    _mesh_addresses(deployment, inventory, faults)
    _hub(deployment, inventory, faults)
    _public_keys(inventory, faults)
    _routes(inventory, faults)


def _networks(deployment: Deployment) -> Iterator[tuple[str, str, ipaddress.IPv4Network, Mark]]:
    """Path, name and place of every network, the most easily moved last."""
    net = deployment.network
    for taken in net.reserved:
        yield "network.reserved", "reserved network", taken, deployment.mark("network", "reserved")
    if net.subnet:
        yield "network.subnet", "subnet", net.subnet, deployment.mark("network", "subnet")
    if net.mesh.range and net.mesh.mode != "none":
        yield "network.mesh.range", "mesh", net.mesh.range, deployment.mark("network", "mesh", "range")


def _overlaps(deployment: Deployment, faults: Faults) -> None:
    """Case 34, S0-37: the mesh, the LAN and Docker's bridge stay apart."""
    known = list(_networks(deployment))
    for i, (path, _, net, mark) in enumerate(known):
        for _, other, theirs, _ in known[:i]:
            if net.overlaps(theirs) and path != "network.reserved":
                faults.add(mark, path, f"{net} overlaps the {other} {theirs}", "10.77.0.0/24 is seldom taken")


def _outside_subnet(deployment: Deployment, inventory: Inventory, faults: Faults) -> None:
    """S4-10: a host outside the declared subnet is refused unless `network.allow_outside` names it."""
    subnet, allowed = deployment.network.subnet, deployment.network.allow_outside
    if subnet is None or allowed is True:
        return
    for host in inventory.hosts.values():
        where = ip_of(address(host))
        if where is None or where in subnet or where.is_loopback or host.name in (allowed or []):
            continue
        mark = host.mark_of("ansible_host")
        sentence = f"{where} is outside network.subnet ({subnet})"
        faults.add(mark, f"{host.name}.ansible_host", sentence, f"network.allow_outside: [{host.name}] allows it")


def _mesh_addresses(deployment: Deployment, inventory: Inventory, faults: Faults) -> None:
    """Case 35 (outside the mesh, network or broadcast address) and 28 (twice)."""
    mesh, taken = deployment.network.mesh, dict[Any, str]()
    for host in inventory.hosts.values():
        mark = host.mark_of("mesh_address")
        if (written := host.vars.get("mesh_address")) is None:
            continue
        path = f"{host.name}.mesh_address"
        try:
            found = readers.address(written, Place(faults))
        except Wrong as e:
            faults.add(mark, path, e.sentence, e.hint)
            continue
        if mesh.range and found not in mesh.range:
            faults.add(mark, path, f"{found} is outside network.mesh.range ({mesh.range})")
        elif mesh.range and mesh.range.prefixlen < 31:
            ends = {mesh.range.network_address: "network", mesh.range.broadcast_address: "broadcast"}
            if found in ends:
                faults.add(mark, path, f"{found} is the {ends[found]} address of {mesh.range}")
        if found in taken:
            faults.add(mark, path, f"{found} is the mesh address of {taken[found]} too")
        taken.setdefault(found, host.name)


def _hub(deployment: Deployment, inventory: Inventory, faults: Faults) -> None:
    hub = deployment.network.mesh.hub
    if hub and inventory.hosts and hub not in inventory.hosts:
        mark = deployment.mark("network", "mesh", "hub")
        faults.add(mark, "network.mesh.hub", f"'{hub}' is not a host of this inventory")


def key_problem(value: Any) -> str:
    """Why this is no WireGuard public key (case 32); '' when it is one."""
    try:
        raw = base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        return "is not base64"
    if len(raw) != 32:
        return f"has {len(raw)} bytes, a key has 32"
    if raw == bytes(32):
        return "is all zero"
    return "" if raw[31] < 128 else "is not a Curve25519 key"


def _public_keys(inventory: Inventory, faults: Faults) -> None:
    """Cases 31, 32: keys that are given in the inventory for hosts we do not deploy."""
    owners: dict[str, str] = {}
    for host in inventory.hosts.values():
        if (key := host.vars.get(PUBLIC_KEY)) is None:
            continue
        mark, path = host.mark_of(PUBLIC_KEY), f"{host.name}.{PUBLIC_KEY}"
        if why := key_problem(key):
            faults.add(mark, path, f"is not a WireGuard public key: it {why}", "wg pubkey < private.key")
        elif key in owners:
            faults.add(mark, path, f"is the key of {owners[key]} too", "each host makes its own")
        owners.setdefault(str(key), host.name)
    for host in inventory.hosts.values():
        public = _public_of(host.vars.get(PUBLIC_KEY))
        if public in owners:
            sentence = f"is a private key: the key of {owners[public]} is made from it"
            faults.add(host.mark_of(PUBLIC_KEY), f"{host.name}.{PUBLIC_KEY}", sentence, "make a new pair")


def _public_of(value: Any) -> str:
    """The public key that would belong to this one if it were private; '' when it cannot be."""
    if value is None or key_problem(value):
        return ""
    raw = base64.b64decode(str(value))
    if raw[0] & 7 or not raw[31] & 64:  # private keys are made with these bits fixed
        return ""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return base64.b64encode(X25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()).decode()


def _routes(inventory: Inventory, faults: Faults) -> None:
    """Case 36: networks behind peers (`mesh_routes`) do not overlap; 0.0.0.0/0 needs `mesh_exit: true`."""
    taken: list[tuple[ipaddress.IPv4Network, str]] = []
    for host in inventory.hosts.values():
        if not (written := host.vars.get(ROUTES)):
            continue
        mark, path = host.mark_of(ROUTES), f"{host.name}.{ROUTES}"
        here = Place(faults, path, mark)
        for net in here.read(readers.list_of(readers.network), written, []):
            if net.prefixlen == 0:
                if host.vars.get("mesh_exit") is not True:
                    sentence = f"{net} would send all traffic of the fleet through {host.name}"
                    faults.add(mark, path, sentence, f"if it is meant, give {host.name} mesh_exit: true")
                continue
            for other, owner in taken:
                if net.overlaps(other):
                    faults.add(mark, path, f"{net} overlaps {other} of {owner}: WireGuard would use only one")
            taken.append((net, host.name))
