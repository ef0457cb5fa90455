"""Which secrets a project refers to, and from where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swarmops.model import yaml
from swarmops.model.faults import Faults, Mark
from swarmops.model.project import Project
from swarmops.model.secrets import references

Wanted = dict[str, dict[str, Mark]]  # secret -> who uses it -> where that is written


def wanted(project: Project) -> Wanted:
    """Secret -> its users: `{secret: name}` in inventory and `distributed.yaml`, and what used roles declare
    (`secrets: [redis.app]` and references in their vars)."""
    found: Wanted = {}
    for user, value, mark in _values(project):
        for name, where in references(value, mark):
            found.setdefault(name, {}).setdefault(user, where)
    for role, data in _roles(project):
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
    for owner in (*inventory.groups.values(), *inventory.hosts.values()):
        for layer in (owner.own, owner.files):
            for origins in layer.values():
                for origin in origins:
                    yield origin.layer, origin.value, origin.mark


def _roles(project: Project) -> Iterator[tuple[str, Any]]:
    """The role files in use, those that they need included. Their faults are named by planning, not here."""
    waiting, seen = list(project.distributed.infrastructure), set[str]()
    while waiting:
        if (role := waiting.pop(0)) in seen:
            continue
        seen.add(role)
        data = _role(project.roles_path / role / "role.yaml")
        if isinstance(data, Mapping):
            yield role, data
            needs = data.get("needs") or []
            waiting += [str(n) for n in needs] if isinstance(needs, list) else [str(needs)]


def _role(path: Path) -> Any:
    return yaml.load(path, Faults()) if path.is_file() else None


def check(project: Project, faults: Faults) -> None:
    """Warns of each secret that is referred to and not there; a deploy that needs it is refused."""
    store = project.store
    for name, users in wanted(project).items():
        if not store.source(name):
            user, mark = next(iter(users.items()))
            sentence = f"there is no secret '{name}' in {store.where}"
            faults.warn(mark, user, sentence, "'swarmops secrets init' makes what is missing")
