"""The sections of `distributed.yaml`, with their defaults (S4-13) and what each setting means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from swarmops.model.schema import readers as r
from swarmops.model.schema.section import Place, Section, Wrong, field, mapping
from swarmops.model.schema.serial import Serial, serial

TIERS = ("local", "lan", "internet")
MODES = ("distributed", "hybrid", "local")


class Deployment(Section):
    name: str = field(r.name, "swarmops", "names the fleet: secrets folder, certificates, backups")
    tier: str = field(r.choice(*TIERS, what="a tier"), "lan", "the inventory under inventory/ that is meant")
    mode: str = field(
        r.choice(*MODES, what="a mode"),
        "distributed",
        "distributed: services reach each other over the network; local: all on loopback; hybrid: loopback "
        "where two services share a host (S4-14)",
    )


def service(value: Any, place: Place) -> dict[str, Any]:
    """One service: its port and path, written once, and any variable of the role of that name."""
    known = {
        "port": r.port,
        "path": r.url_path,
        "scheme": r.choice("http", "https", "redis", "rediss", "tcp"),
    }
    found: dict[str, Any] = {}
    for key, item in (box := mapping(value, place)).items():
        if item is not None or key not in known:
            here = place.child(box, key)
            found[key] = here.read(known.get(key, r.anything), item, None)
    return {k: v for k, v in found.items() if v is not None or k not in known}


def pattern(value: Any, place: Place) -> str:
    """Which hosts: an Ansible host pattern, or a list of them."""
    return ",".join(r.list_of(r.text)(value, place))


class Placed(Section):
    hosts: str = field(pattern, "all:!all", "which hosts")
    serial: Serial | None = field(serial, None, "how many of them are changed at a time")


class Hosts(str):
    """A host pattern. `serial`: how many of its hosts are changed at a time, where that is said."""

    serial: Serial | None = None


def hosts(value: Any, place: Place) -> Hosts:
    """Which hosts have a role: a pattern, or {hosts: PATTERN, serial: SIZE}, as in a play of Ansible."""
    if not isinstance(value, Mapping):
        return Hosts(pattern(value, place))
    read = Placed.read(value, place)
    if "hosts" not in read.given:
        raise Wrong("'hosts' is missing", f"hosts: {place.path.rpartition('.')[2]}")
    found = Hosts(read.hosts)
    found.serial = read.serial
    return found


class Mesh(Section):
    mode: str = field(r.choice("none", "wireguard", "tailscale", what="a kind of mesh"), "none", "the tunnel")
    range: IPv4Network | None = field(r.network, None, "the addresses inside the tunnel (host var mesh_address)")
    port: int = field(r.port, 51820, "UDP port of WireGuard")
    hub: str | None = field(r.text, None, "host that all others connect to; without one, each connects to each")
    keepalive: float = field(r.duration(), 25.0, "how often a host behind NAT keeps its tunnel open")

    def settle(self, place: Place) -> None:
        if self.mode == "wireguard" and self.range is None and "range" not in self.given:
            place.faults.add(place.mark, place.path, "a WireGuard mesh needs a range", "range: 10.77.0.0/24")


def outside(value: Any, place: Place) -> bool | list[str]:
    """true, or the names of the hosts that may stand outside the subnet."""
    return value if isinstance(value, bool) else r.list_of(r.text)(value, place)


class Network(Section):
    subnet: IPv4Network | None = field(r.network, None, "where the hosts stand; others are refused (S4-10)")
    allow_outside: bool | list[str] = field(outside, False, "hosts that may stand outside the subnet, or true")
    mesh: Mesh = field(Mesh.read, Mesh, "the tunnel between the hosts")
    controllers: list[IPv4Network] = field(r.list_of(r.network), list, "where SSH may come from")
    reserved: list[IPv4Network] = field(
        r.list_of(r.network), lambda: [IPv4Network("172.17.0.0/16")], "taken on the hosts (Docker's bridge)"
    )


class Machine(Section):
    cpu: str | None = field(r.text, None, "for people: the processor")
    cores: int | None = field(r.integer(1, 4096, "a number of cores"), None, "cores at least")
    memory: int | None = field(r.size, None, "memory at least")
    disk: int | None = field(r.size, None, "disk at least")
    ssd: bool | None = field(r.boolean, None, "the disk must not rotate")
    gpu: str | None = field(r.text, None, "a graphics card whose name holds this")
    npu: str | None = field(r.text, None, "an NPU whose name holds this")


class Performance(Section):
    api_timeout: float = field(r.duration("ms"), 10.0, "an API call; bare numbers are milliseconds")
    llm_timeout: float = field(r.duration(), 30.0, "an answer of a language model")
    max_concurrent_requests: int = field(r.integer(1, 1_000_000), 50, "requests at once, per service")
    redis_connection_timeout: float = field(r.duration(most=60), 2.0, "until Redis accepted a connection")
    redis_operation_timeout: float = field(r.duration(most=600), 2.0, "until Redis answered a command")
    heartbeat_interval: float = field(r.duration(), 30.0, "how often an agent says that it lives")
    heartbeat_ttl: float = field(r.duration(), 0.0, "when a silent agent counts as dead: 3 intervals (X-02)")
    lease: float = field(r.duration(), 30.0, "how long a task is held without a sign of life")
    lease_renew: float = field(r.duration(), 0.0, "how often it is renewed: a third of the lease")

    def settle(self, place: Place) -> None:
        self.heartbeat_ttl = self.heartbeat_ttl or self.heartbeat_interval * 3
        self.lease_renew = self.lease_renew or round(self.lease / 3, 3)
        self._shorter(place, "heartbeat_interval", "heartbeat_ttl")
        self._shorter(place, "lease_renew", "lease")

    def _shorter(self, place: Place, short: str, long: str) -> None:
        a, b = getattr(self, short), getattr(self, long)
        if a >= b:
            sentence = f"{r.span(a)} is not shorter than {long} ({r.span(b)}): every holder would count as dead"
            at = self.given.get(short) or self.given.get(long) or place
            place.faults.add(at.mark, f"{place.path}.{short}", sentence, f"a third of {long} is usual")


class Security(Section):
    tls: bool = field(r.boolean, False, "Redis and services also speak TLS, from a CA of the deployment")
    firewall: str = field(r.choice("nftables", "ufw", "none", what="a firewall"), "nftables", "how it is written")
    rollback: float = field(r.duration(most=3600), 30.0, "what could lock us out is undone after this")
    public: list[str] = field(r.list_of(r.name), list, "roles that may listen on public addresses (with TLS)")


class Monitoring(Section):
    interval: float = field(r.duration(), 60.0, "between two rounds of checks")
    timeout: float = field(r.duration(most=600), 5.0, "a whole round of checks")
    retention: float = field(r.duration("d", most=10 * r.YEAR), 7 * 86400.0, "history is kept for; numbers are days")
    latency_warn: float = field(r.duration("ms"), 0.25, "a slower link is warned of; bare numbers are ms")


def calendar(value: Any, place: Place) -> str:
    """When: a systemd calendar word or expression."""
    if not re.fullmatch(r"[A-Za-z0-9*:,./~ -]+", r.text(value, place)):
        raise Wrong(f"{r.show(value)} is not a time for a systemd timer", "daily, hourly or *-*-* 03:30:00")
    return value


def recipient(value: Any, place: Place) -> str:
    """An age public key."""
    if not re.fullmatch(r"age1[a-z0-9]{58}", r.text(value, place)):
        if value.upper().startswith("AGE-SECRET-KEY-"):
            raise Wrong("this is a private key", "put the public key here: it begins with age1")
        raise Wrong(f"{r.show(value)} is not an age recipient", "it begins with age1 and has 62 letters")
    return value


class Backup(Section):
    enabled: bool = field(r.boolean, True, "collect-backups takes this fleet's backups")
    schedule: str = field(calendar, "daily", "when, as systemd timers write it")
    keep: int = field(r.integer(1, 10_000), 7, "sets to keep; the last good one always stays")
    to: str = field(r.text, "backups", "folder on the controller, from the project's root")
    recipients: list[str] = field(r.list_of(recipient), list, "age public keys that backups are encrypted to")


class Features(Section):
    """Switches: any name, true or false."""


SECTIONS: dict[str, Any] = {
    "deployment": Deployment.read,
    "infrastructure": r.map_of(hosts),
    "services": r.map_of(service),
    "network": Network.read,
    "hardware": r.map_of(Machine.read, key=r.text),
    "performance": Performance.read,
    "security": Security.read,
    "monitoring": Monitoring.read,
    "backup": Backup.read,
    "features": r.map_of(r.boolean),
}
EMPTY: dict[str, Any] = {
    "deployment": Deployment,
    "infrastructure": dict,
    "services": dict,
    "network": Network,
    "hardware": dict,
    "performance": Performance,
    "security": Security,
    "monitoring": Monitoring,
    "backup": Backup,
    "features": dict,
}
