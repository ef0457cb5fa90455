"""Who may reach which port: the roles' `ports`, with `from` resolved to addresses. The firewall is made of this.

`from` names roles, groups, hosts, or `mesh`, `subnet`, `controller`, `any`, or addresses and networks. Where the
fleet has a tunnel and the port says `via: mesh`, the sources are mesh addresses; otherwise those of the LAN.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from swarmops.model.faults import Mark, closest
from swarmops.planning import conditions
from swarmops.planning.kinds_spec import describe
from swarmops.planning.templating import Fault

if TYPE_CHECKING:
    from swarmops.planning.roles import Port, Role
    from swarmops.planning.world import World

WORDS = ("mesh", "subnet", "controller", "any")
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


class Opening(dict[str, Any]):
    """One open port of one host, plain data: host, role, name, port (number or "8000-8010"), proto, via, sources,
    from. `sources` are networks in CIDR form, or ["any"]; `via` is mesh only where the fleet has a tunnel."""

    @property
    def host(self) -> str:
        return str(self["host"])


def openings(world: World, only: str = "") -> list[Opening]:
    """Every opening of every host, in the order of hosts and roles; `only` those of one role."""
    found = []
    for host in world.hosts:
        for role in world.roles_of(host):
            for port in role.ports if only in ("", role.name) else ():
                if opening := _opening(world, host, role, port):
                    found.append(opening)
    return found


def _opening(world: World, host: str, role: Role, port: Port) -> Opening | None:
    scope = world.role_scope(world.scope(host), role)
    bad = False

    def value_of(prepared: Any) -> Any:
        nonlocal bad
        made, run = world.templates.value(prepared, scope, getattr(prepared, "mark", port.mark))
        world.report(host, port.path, run.troubles, role, scope)
        bad = bad or bool(run.troubles)
        return made

    if not _holds(world, port, value_of):
        return None
    number, sources, proto, via = (value_of(v) for v in (port.port, port.sources, port.proto, port.via))
    if bad:
        return None
    names = [str(s) for s in (sources if isinstance(sources, list) else [sources])]
    tunnel = world.project.distributed.network.mesh.mode != "none"
    made = Opening(host=host, role=role.name, name=port.name or role.name, port=_port(number), proto=proto, via=via)
    wrong = _wrong(made, number)
    if wrong:
        world.host_faults.add(host, port.mark, port.path, *wrong)
        return None
    if via == "mesh" and not tunnel:
        made["via"] = "any"
    made["from"] = names
    made["sources"] = _sources(world, host, port, names, made["via"] == "mesh")
    return made


def _holds(world: World, port: Port, value_of: Any) -> bool:
    if not port.when:
        return True
    try:
        parts = conditions.compile_when(world.templates, port.when, (), {})
    except Fault as e:
        world.faults.add(e.trouble.mark, port.path, e.trouble.sentence, e.trouble.hint)
        return False
    if any(part.facts for part in parts):
        world.faults.add(port.mark, port.path, "who may reach a port is decided before any host is asked", "no facts")
        return False
    return conditions.decide(parts, (), value_of).wanted


def _port(value: Any) -> int | str | None:
    """A port, or a range as "8000-8010"; None when it is neither."""
    match = None if isinstance(value, bool) else _RANGE.fullmatch(str(value).strip())
    if not match:
        return None
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 < first <= last < 65536:
        return None
    return first if match[2] is None else f"{first}-{last}"


def _wrong(made: Opening, written: Any) -> tuple[str, str] | None:
    if made["port"] is None:
        return f"{describe(written)} is not a port", "1 to 65535, or 8000-8010"
    if made["proto"] not in ("tcp", "udp"):
        return f"{describe(made['proto'])} is not one of tcp, udp", ""
    if made["via"] not in ("any", "mesh", "lan"):
        return f"{describe(made['via'])} is not one of any, mesh, lan", ""
    return None


def _sources(world: World, host: str, port: Port, names: list[str], mesh: bool) -> list[str]:
    """The networks that the words of `from` mean for this host, each once, in order; ["any"] for everybody."""
    if "any" in names:
        return ["any"]
    found: dict[str, None] = {}
    for name in names:
        for network in _meant(world, host, port, name, mesh):
            found.setdefault(network)
    return sorted(found, key=_order)


def _order(network: str) -> tuple[int, Any]:
    parsed = ipaddress.ip_network(network)
    return parsed.version, parsed


def _meant(world: World, host: str, port: Port, name: str, mesh: bool) -> list[str]:
    network = world.project.distributed.network
    if name == "mesh":
        return [str(network.mesh.range)] if network.mesh.range and network.mesh.mode != "none" else []
    if name == "subnet":
        return [str(network.subnet)] if network.subnet else []
    if name == "controller":
        return [str(n) for n in network.controllers]
    if name in world.roles or name in world.project.distributed.infrastructure:
        return _addresses(world, host, world.hosts_of(name), mesh)
    if name in world.project.inventory.groups:
        return _addresses(world, host, world.project.inventory.groups[name].all_hosts(), mesh)
    if name in world.hosts:
        return _addresses(world, host, [name], mesh)
    try:
        return [str(ipaddress.ip_network(name))]
    except ValueError as e:
        return _unknown(world, port, name, str(e))


def _unknown(world: World, port: Port, name: str, why: str) -> list[str]:
    if name in world.known:  # a role that no host has: nobody to let in
        return []
    if "host bits" in why:
        world.faults.add(port.mark, port.path, f"'{name}' has host bits set", str(ipaddress.ip_interface(name).network))
        return []
    known = [*WORDS, *world.known, *world.project.inventory.groups, *world.hosts]
    hint = closest(name, known)
    world.faults.add(port.mark, port.path, f"'{name}' is no role, group, host or network", hint or ", ".join(WORDS))
    return []


def _addresses(world: World, host: str, names: list[str], mesh: bool) -> list[str]:
    """The addresses of other hosts: its own reach a host over loopback."""
    found = []
    for name in names:
        if name == host:
            continue
        view = world.views[name]
        address = view.mesh_address if mesh else view.address
        if mesh and not address:
            said = f"reaches {host} through the tunnel and has no mesh_address"
            world.faults.add(world.hosts[name].mark, name, said, "mesh_address: an address of network.mesh.range")
            continue
        try:
            found.append(str(ipaddress.ip_network(str(address))))
        except ValueError:
            said = f"'{address}' is a name; the firewall of {host} lets {name} in by its address"
            mark: Mark = world.hosts[name].mark_of("ansible_host")
            world.faults.add(mark, f"{name}.ansible_host", said, "ansible_host: 10.0.0.30")
    return found
