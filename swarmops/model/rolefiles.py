"""What role files say that is of use before planning: their secrets, and the names of their variables."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from swarmops.model import yaml
from swarmops.model.faults import Faults, Mark, closest
from swarmops.model.inventory import Group, Host
from swarmops.model.project import Project

ALWAYS = {"port", "path", "scheme"}  # what any service may have
NEAR = 0.85  # how alike two names must be for a warning


def used_roles(project: Project) -> dict[str, Any]:
    """Role -> its file's data, for every role in use and those that they need. Faults in them are planning's."""
    waiting, found, seen = list(project.distributed.infrastructure), dict[str, Any](), set[str]()
    while waiting:
        if (role := waiting.pop(0)) in seen:
            continue
        seen.add(role)
        data = _read(project, role)
        if isinstance(data, Mapping):
            found[role] = data
            needs = data.get("needs") or []
            waiting += [str(n) for n in needs] if isinstance(needs, list) else [str(needs)]
    return found


def _read(project: Project, role: str) -> Any:
    files = [folder / role / "role.yaml" for folder in project.roles_paths]
    return next((yaml.load(file, Faults()) for file in files if file.is_file()), None)


def check_variables(project: Project, faults: Faults) -> None:
    """Case 17: `services.redis.maxmemroy` is refused; `redis_maxmemroy` in the inventory is warned of, since there
    any name may have a meaning to its owner."""
    for role, data in used_roles(project).items():
        known = {str(name) for name in data.get("vars") or {}}
        _check_service(project, role, known, faults)
        for owner, name, mark in _inventory_variables(project, f"{role}_"):
            short = name.removeprefix(f"{role}_")
            near = difflib.get_close_matches(short, known, n=1, cutoff=NEAR)
            if short not in known and near:
                sentence = f"the role {role} has no variable '{short}'"
                faults.warn(mark, f"{owner}.{name}", sentence, f"did you mean '{role}_{near[0]}'?")


def _check_service(project: Project, role: str, known: set[str], faults: Faults) -> None:
    for key in project.distributed.services.get(role, {}):
        if key not in known | ALWAYS:
            mark = project.distributed.mark("services", role, key)
            sentence = f"the role {role} has no variable '{key}'"
            faults.add(mark, f"services.{role}.{key}", sentence, closest(key, known | {"port"}))


def _inventory_variables(project: Project, prefix: str) -> Iterator[tuple[str, str, Mark]]:
    owners: list[Group | Host] = [*project.inventory.groups.values(), *project.inventory.hosts.values()]
    for owner in owners:
        for layer in (owner.own, owner.files):
            for name, origins in layer.items():
                if name.startswith(prefix):
                    yield owner.name, name, origins[-1].mark
