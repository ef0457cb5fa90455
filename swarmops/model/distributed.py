"""`distributed.yaml`: the whole system on one page (S4-11, S4-13, S4-14, S4-45).

`load` reads it into a `Deployment`. Every section may be left out. Faults carry file, line and column;
environment variables `SWARMOPS_<SECTION>_<KEY>` win over the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmops.model import yaml
from swarmops.model.addresses import address, mesh_address
from swarmops.model.faults import Faults, InputError, Mark, closest
from swarmops.model.schema import original, overrides, sections
from swarmops.model.schema.section import Place, Section, Wrong, _plain
from swarmops.model.textfile import read_text, shown

if TYPE_CHECKING:
    from swarmops.model.inventory import Host, Inventory

VERSION = 1
OWN_TLS = ("coordinator",)  # roles with variables `tls` and `certificate`


class Deployment:
    """What `distributed.yaml` declares. Attributes are the sections; without a file, all defaults.

    infrastructure: role -> host pattern (`Hosts`), in order. services: name -> {port, path, ...}. hardware: role, group
    or host -> what it must have. features: name -> bool. The other sections are objects with typed attributes:
    times in seconds, sizes in bytes, networks as `ipaddress` objects.
    """

    deployment: sections.Deployment
    infrastructure: dict[str, sections.Hosts]
    services: dict[str, dict[str, Any]]
    network: sections.Network
    hardware: dict[str, sections.Machine]
    performance: sections.Performance
    security: sections.Security
    monitoring: sections.Monitoring
    backup: sections.Backup
    features: dict[str, bool]

    def __init__(self, file: str = "distributed.yaml") -> None:
        self.version = VERSION
        self.file = file
        self.data: Any = {}
        for name, make in sections.EMPTY.items():
            value = make()
            if isinstance(value, Section):
                value.settle(Place(Faults()))
            setattr(self, name, value)

    @property
    def name(self) -> str:
        return self.deployment.name

    def section(self, name: str) -> Any:
        """The section as templates see it: plain data, times in seconds, sizes in bytes, networks as text."""
        return _plain(getattr(self, name))

    def mark(self, *keys: str) -> Mark:
        """Where a value was written, or the nearest place above it: `mark("services", "redis", "port")`."""
        box, found = self.data, getattr(self.data, "mark", Mark(self.file))
        for key in keys:
            if not isinstance(box, Mapping) or key not in box:
                break
            found = box.value_mark(key) if hasattr(box, "value_mark") else found
            box = box[key]
        return found or Mark(self.file)

    def hosts_of(self, inventory: Inventory) -> dict[str, list[Host]]:
        """Role or service -> its hosts; none where a pattern matches no host.

        A service without a role of its own runs on the hosts of the group of its name.
        """
        found: dict[str, list[Host]] = {}
        for role, pattern in self.infrastructure.items():
            try:
                found[role] = inventory.select(pattern)
            except InputError:
                found[role] = []
        for service in self.services:
            if service not in found and service in inventory.groups:
                found[service] = [inventory.hosts[h] for h in inventory.groups[service].all_hosts()]
        return found

    def urls(self, inventory: Inventory, *, via: str = "lan") -> dict[str, list[str]]:
        """Service -> the URL of each of its hosts, all derived from `services` and the inventory.

        `via="mesh"` gives addresses inside the tunnel where a host has one. In mode local all is on loopback.
        """
        found: dict[str, list[str]] = {}
        hosts = self.hosts_of(inventory)
        for role, service in self.services.items():
            for host in hosts.get(role, []) if isinstance(service.get("port"), int) else []:
                where = (mesh_address(host) if via == "mesh" else None) or address(host)
                where = "127.0.0.1" if self.deployment.mode == "local" else where
                port = host.vars.get(f"{role}_port", service["port"])
                found.setdefault(role, []).append(self.url(role, where, port, scheme=self.scheme(role, host)))
        return found

    def scheme(self, role: str, host: Host) -> str:
        """How callers speak to a service on a host: https where it has TLS of its own, else as `services` says."""
        from swarmops.model.local import is_rootless, truth

        if role in OWN_TLS and truth(self._said(role, host, "tls", self.security.tls and not is_rootless(host))):
            return "https"
        return str(self.services.get(role, {}).get("scheme") or ("redis" if role == "redis" else "http"))

    def base(self, role: str, host: Host, port: int) -> str:
        """`scheme://where:port` of a service on a host. A certificate of the user's own is for names, so where there is
        one the first of the role's `names` stands for the address."""
        where, scheme = address(host), self.scheme(role, host)
        if scheme == "https" and self._said(role, host, "certificate", ""):
            where = str([*self._said(role, host, "names", []), where][0])
        return f"{scheme}://{f'[{where}]' if ':' in where else where}:{port}"

    def _said(self, role: str, host: Host, name: str, default: Any) -> Any:
        """A variable of a role, of the inventory or of `services`."""
        return host.vars.get(f"{role}_{name}", self.services.get(role, {}).get(name, default))

    def url(self, role: str, address: str, port: int | None = None, *, scheme: str = "") -> str:
        """The URL of a service at an address: scheme and path as declared once in `services`."""
        service = self.services[role]
        scheme = scheme or service.get("scheme") or ("redis" if role == "redis" else "http")
        host = f"[{address}]" if ":" in address else address
        return f"{scheme}://{host}:{port or service['port']}{service.get('path', '')}"


def load(
    path: Path, faults: Faults, *, root: Path | None = None, environ: Mapping[str, str] | None = None
) -> Deployment | None:
    """Reads the file; adds every fault. None when nothing in it could be read."""
    file = shown(path, root)
    hint = "a file with the line 'version: 1' is enough; every section has defaults"
    text = read_text(path, faults, root=root, hint=hint)
    if text is None:
        return None
    before = len(faults.errors)
    data = yaml.load(path, faults, text=text, root=root)
    if not isinstance(data, Mapping):
        if len(faults.errors) == before:
            what = "is empty" if data is None else "is not a map of sections"
            faults.add(Mark(file, 1, 1), "", what, "it begins with version: 1")
        return None
    return read(data, file, faults, os.environ if environ is None else environ)


def read(data: Any, file: str, faults: Faults, environ: Mapping[str, str]) -> Deployment:
    """A `Deployment` from what YAML gave."""
    found = Deployment(file)
    lenient = original.is_original(data)
    if lenient:
        data = original.convert(data, faults)
    found.data = data = overrides.apply(data, environ, faults)
    top = Place(faults, mark=getattr(data, "mark", Mark(file)), lenient=lenient)
    for key, value in data.items():
        place = top.child(data, key)
        if key == "version":
            _version(value, place, lenient)
        elif key in sections.SECTIONS:
            default = getattr(found, key)
            setattr(found, key, place.read(sections.SECTIONS[key], value, default))
        else:
            add = faults.warn if lenient else faults.add
            mark = data.key_mark(key) if hasattr(data, "key_mark") else top.mark
            add(mark, str(key), "unknown section", closest(str(key), [*sections.SECTIONS, "version"]))
    return found


def _version(value: Any, place: Place, lenient: bool) -> None:
    if lenient or (value == VERSION and not isinstance(value, bool | float)):
        return

    def refuse(value: Any, place: Place) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and value > VERSION:
            raise Wrong(f"this program reads version {VERSION}, not {value}", "a newer swarmops wrote it?")
        raise Wrong(f"'{value}' is not a version of this file", f"write version: {VERSION}")

    place.read(refuse, value, None)
