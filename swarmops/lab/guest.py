"""A lab host as the rest of the lab knows it, and how a fleet's hosts become lab hosts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from swarmops.lab.machine import LabError

# Where hosts live that the inventory knows by a DNS name only (RFC 2544: never a real host's address).
RESERVED = {"images", "apt"}  # folders beside those of the labs
NAMED = ipaddress.ip_network("198.18.0.0/24")
OUTSIDES = [ipaddress.IPv4Network(n) for n in ("198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24")]


@dataclass(frozen=True)
class Guest:
    """One host: `address` IPv4, `user` who may log in with the lab's key and use sudo without a password."""

    name: str
    address: str
    user: str = "ops"
    port: int = 22
    aliases: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Guest:
        return cls(**{**values, "aliases": tuple(values.get("aliases", ()))})


def guests_of(hosts: Iterable[Any]) -> list[Guest]:
    """Guests for inventory hosts (anything with `.name` and `.vars`).

    Raises LabError with a line for every host that cannot be one. Hosts with a local connection are left out.
    """
    made, faults, taken = [], [], set()
    spare = NAMED.hosts()
    next(spare)  # the first is the controller's
    for host in hosts:
        told = str(host.vars.get("ansible_host") or host.name)
        if host.vars.get("ansible_connection") == "local" or told == "localhost":
            continue
        address = told
        aliases: tuple[str, ...] = ()
        try:
            if ipaddress.ip_address(told).version != 4:
                faults.append(f"{host.name}: ansible_host {told} is IPv6; the lab speaks IPv4 only")
                continue
        except ValueError:
            address = str(next(spare))
            aliases = (told,) if told != host.name else ()
        if address in taken:
            faults.append(f"{host.name}: address {address} is another host's too")
        taken.add(address)
        user, port = host.vars.get("ansible_user") or "ops", host.vars.get("ansible_port") or 22
        made.append(Guest(host.name, address, str(user), int(port), aliases))
    if faults or not made:
        raise LabError("\n".join(faults) or "the inventory has no host that a lab could boot")
    return made


def check_name(name: str) -> None:
    """Refuses what is no lab's name: it becomes a folder, which `down` deletes. Raises LabError."""
    if not _plain(name) or len(name) > 40:
        raise LabError(f"'{name}' is no lab name (letters, digits, '-', '_', at most 40)")
    if name in RESERVED or name.endswith("-outside"):
        raise LabError(f"a lab cannot be called '{name}'")


def check(name: str, guests: Sequence[Guest]) -> None:
    """Refuses names and addresses that cannot become files, interfaces or addresses. Raises LabError."""
    faults = []
    seen: dict[str, str] = {}
    for guest in guests:
        if not _plain(guest.name.replace(".", "")) or guest.name.startswith("."):
            faults.append(f"'{guest.name}' is no host name")
        for value in (guest.name, guest.address):
            if value in seen:
                faults.append(f"{guest.name} and {seen[value]} share {value}")
            seen[value] = guest.name
        if not _plain(guest.user):
            faults.append(f"{guest.name}: '{guest.user}' is no user name")
    if not guests:
        faults.append("a lab needs at least one host")
    if faults:
        raise LabError("\n".join(f"lab {name}: {line}" for line in faults))


def _plain(text: str) -> bool:
    return text.isascii() and text[:1].isalnum() and text.replace("-", "").replace("_", "").isalnum()


def gateways(guests: Sequence[Guest]) -> dict[str, str]:
    """For each host's /24 the controller's address in it: the first that no host has."""
    taken = {g.address for g in guests}
    found: dict[str, str] = {}
    for guest in guests:
        net = subnet(guest)
        if str(net) not in found:
            found[str(net)] = str(next(a for a in net.hosts() if str(a) not in taken))
    return found


def subnet(guest: Guest) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(f"{guest.address}/24", strict=False)


def outside_network(guests: Sequence[Guest]) -> ipaddress.IPv4Network:
    """A network that no host is in, for the vantage of a stranger."""
    used = [subnet(g) for g in guests]
    return next(n for n in OUTSIDES if not any(n.overlaps(u) for u in used))
