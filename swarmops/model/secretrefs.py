"""Which secrets a project refers to, and from where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from swarmops.model.faults import Faults, Mark
from swarmops.model.inventory import Group, Host
from swarmops.model.project import Project
from swarmops.model.rolefiles import used_roles
from swarmops.model.secrets import references

Wanted = dict[str, dict[str, Mark]]  # secret -> who uses it -> where that is written


def wanted(project: Project) -> Wanted:
    """Secret -> its users: `{secret: name}` in inventory and `distributed.yaml`, and what used roles declare
    (`secrets: [redis.app]` and references in their vars)."""
    found: Wanted = {}
    for user, value, mark in _values(project):
        for name, where in references(value, mark):
            found.setdefault(name, {}).setdefault(user, where)
    for role, data in used_roles(project).items():
        declared = data.get("secrets") or []
        for name in declared if isinstance(declared, list | dict) else [declared]:
            where = data.value_mark("secrets") if hasattr(data, "value_mark") else Mark()
            found.setdefault(str(name), {}).setdefault(f"role {role}", where)
        for name, where in references(data.get("vars")):
            found.setdefault(name, {}).setdefault(f"role {role}", where)
    if project.distributed.security.tls:
        where = project.distributed.mark("security", "tls")
        found.setdefault("tls.ca", {}).setdefault("security.tls", where)
    return dict(sorted(found.items()))


def _values(project: Project) -> Iterator[tuple[str, Any, Mark]]:
    deployment, inventory = project.distributed, project.inventory
    for role, service in deployment.services.items():
        for key, value in service.items():
            yield f"services.{role}", value, deployment.mark("services", role, key)
    owners: list[Group | Host] = [*inventory.groups.values(), *inventory.hosts.values()]
    for owner in owners:
        for layer in (owner.own, owner.files):
            for origins in layer.values():
                for origin in origins:
                    yield origin.layer, origin.value, origin.mark


def check(project: Project, faults: Faults) -> None:
    """Warns of secrets that are referred to and not there, one line a place; a deploy that needs one is refused."""
    store = project.store
    missing: dict[tuple[str, Mark], list[str]] = {}
    for name, users in wanted(project).items():
        if not store.source(name):
            missing.setdefault(next(iter(users.items())), []).append(name)
    for (user, mark), names in missing.items():
        what = f"there is no secret {names[0]}" if len(names) == 1 else f"there are no secrets {', '.join(names)}"
        faults.warn(mark, user, f"{what} in {store.where}", "'swarmops secrets init' makes what is missing")
