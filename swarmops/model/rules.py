"""What must hold between `distributed.yaml` and the inventory: ports, roles in need of others, Redis' memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from swarmops.model import literals, network
from swarmops.model.distributed import Deployment
from swarmops.model.faults import Faults, InputError, Mark
from swarmops.model.inventory import Host, Inventory
from swarmops.model.project import Project
from swarmops.model.schema import readers
from swarmops.model.schema.section import Place

Roles = dict[str, list[Host]]
NEEDS_REDIS = ("client", "coordinator", "frontend", "npu", "ai", "browser", "shell", "worker", "sentinel")


def check(project: Project, faults: Faults) -> None:
    """Adds every fault that needs both files, of addresses and of literal secrets."""
    deployment, inventory = project.distributed, project.inventory
    network.check(deployment, inventory, faults)
    literals.check_declaration(deployment.data, faults)
    literals.check_inventory(inventory, faults)
    if not inventory.hosts:
        return
    roles = _roles(deployment, inventory, faults)
    _redis_is_there(deployment, roles, faults)
    _one_of_each(deployment, roles, faults)
    _ports(deployment, roles, faults)
    _redis_memory(deployment, roles, faults)


def _roles(deployment: Deployment, inventory: Inventory, faults: Faults) -> Roles:
    """Role -> hosts. A pattern without hosts is a warning: one declaration serves several inventories."""
    for role, pattern in deployment.infrastructure.items():
        try:
            inventory.select(pattern)
        except InputError as e:
            why, mark = e.faults.found[0], deployment.mark("infrastructure", role)
            alone = len(inventory.hosts) == 1 and "!" in pattern  # all but Redis' host: on one machine that is nobody
            if role != "redis" and not alone:  # that one has a fault of its own
                faults.warn(mark, f"infrastructure.{role}", why.sentence, why.hint)
    return deployment.hosts_of(inventory)


def _value(deployment: Deployment, role: str, host: Host, key: str) -> tuple[Any, Mark, str]:
    """A role's variable for a host, its place and path: the inventory's `<role>_<key>` wins over services."""
    name = f"{role}_{key}"
    if name in host.vars:
        return host.vars[name], host.mark_of(name), f"{host.name}.{name}"
    value = deployment.services.get(role, {}).get(key)
    return value, deployment.mark("services", role, key), f"services.{role}.{key}"


def _redis_is_there(deployment: Deployment, roles: Roles, faults: Faults) -> None:
    """Case 25."""
    if roles.get("redis"):
        return
    in_need = [r for r in NEEDS_REDIS if r in deployment.infrastructure and roles.get(r)]
    if in_need or "redis" in deployment.infrastructure:
        mark = deployment.mark("infrastructure", "redis")
        who = f"; {', '.join(in_need)} need{'s' * (len(in_need) == 1)} it" if in_need else ""
        hint = "redis: redis, with a group redis"
        faults.add(mark, "infrastructure.redis", f"no host has the role redis{who}", hint)


def _one_of_each(deployment: Deployment, roles: Roles, faults: Faults) -> None:
    """Case 26: one coordinator, one primary Redis."""
    _single("coordinator", roles.get("coordinator", []), "leadership moves by election between workers", faults)
    primaries = [
        host
        for host in roles.get("redis", [])
        if _value(deployment, "redis", host, "primary")[0] in (None, "", host.name)
    ]
    _single("primary Redis", primaries, "give the replicas redis_primary", faults)


def _single(what: str, hosts: list[Host], hint: str, faults: Faults) -> None:
    for host in hosts[1:]:
        faults.add(host.mark, host.name, f"is a second {what}, beside {hosts[0].name}", hint)


def _claims(deployment: Deployment, roles: Roles, faults: Faults) -> Iterator[tuple[Host, str, int, Mark, str]]:
    for role in deployment.services:
        for host in roles.get(role, []):
            value, mark, path = _value(deployment, role, host, "port")
            if value is None:
                continue
            port = Place(faults, path, mark).read(readers.port, value, None)
            if port is not None:
                yield host, role, port, mark, path


def _ports(deployment: Deployment, roles: Roles, faults: Faults) -> None:
    """X-01, case 29: no two services on one port of a host, nor on sshd's. In mode local all share one host."""
    taken: dict[tuple[str, int], str] = {}
    local = deployment.deployment.mode == "local"
    for host, role, port, mark, path in _claims(deployment, roles, faults):
        where = "this machine" if local else host.name
        ssh = host.vars.get("ansible_port", 22)
        owner = "sshd" if port == ssh and not local else taken.setdefault((where, port), role)
        if owner != role:
            faults.add(mark, path, f"port {port} on {where} is taken by {owner}", "each service needs its own")


def _redis_memory(deployment: Deployment, roles: Roles, faults: Faults) -> None:
    """Case 47: maxmemory fits the declared hardware, and the queue is never evicted (X-04)."""
    for host in roles.get("redis", []):
        policy, mark, path = _value(deployment, "redis", host, "maxmemory_policy")
        if policy not in (None, "noeviction"):
            sentence = f"{readers.show(policy)} drops queued tasks when memory is full"
            faults.add(mark, path, sentence, "noeviction here; a cache is another Redis")
        limit, mark, path = _value(deployment, "redis", host, "maxmemory")
        if limit is None:
            continue
        size = Place(faults, path, mark).read(readers.size, limit, None)
        memory = _memory(deployment, host)
        if size and memory and size > memory:
            sentence = f"{readers.show(limit)} is more than the {memory / 2**30:g} GB that {host.name} has"
            faults.add(mark, path, sentence, "half of it leaves room for saving")
        elif size and memory and size > memory * 0.75:
            sentence = f"{readers.show(limit)} is over 3/4 of the memory of {host.name}; saving may run out of it"
            faults.warn(mark, path, sentence)


def _memory(deployment: Deployment, host: Host) -> int | None:
    """The memory that `hardware` declares for the host, by its name or by a group or role of it."""
    for name in (host.name, *host.groups, "redis"):
        machine = deployment.hardware.get(name)
        if machine and machine.memory:
            return machine.memory
    return None
