"""Reads `roles/<name>/role.yaml`: what it declares, with its places, and every mistake in it.

A role is read once for the whole fleet: unknown keys, kinds and arguments, missing and mistyped ones, names that
nothing registers or handles are found here, whatever the hosts are. What depends on a host is left as templates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmops.model.faults import Mark
from swarmops.model.schema.serial import Serial
from swarmops.planning.kinds_spec import Spec

NOWHERE = Mark()


@dataclass
class Item:
    """A task, handler, check or backup as it is written: `spec` of its kind, prepared arguments, places."""

    name: Any
    label: str  # the name as written, for messages
    mark: Mark
    spec: Spec
    args: dict[str, Any]
    marks: dict[str, Mark]
    args_mark: Mark
    when: list[tuple[str, Mark]] = field(default_factory=list)
    loop: Any = None
    loop_mark: Mark = NOWHERE
    notify: list[str] = field(default_factory=list)
    register: str = ""
    tags: list[str] = field(default_factory=list)
    secret: Any = False  # or a template
    guard: Any = False
    more: dict[str, Any] = field(default_factory=dict)  # checks: within, from, max, min, warn, service; backups: keep
    path: str = ""
    broken: bool = False  # it has a fault that was noted: no host is planned with it


@dataclass
class Port:
    """One entry of `ports`: who may reach which port. Values may be templates."""

    port: Any
    sources: Any
    proto: Any
    via: Any
    name: str
    when: list[tuple[str, Mark]]
    mark: Mark
    path: str


@dataclass
class Role:
    """One role, read."""

    name: str
    folder: Path
    file: str
    needs: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    after_when: dict[str, list[tuple[str, Mark]]] = field(default_factory=dict)  # only while these hold
    when: list[tuple[str, Mark]] = field(default_factory=list)
    rootless: bool = False  # it may run on a host that is deployed without root
    serial: Serial | None = None  # how many of its hosts are changed at a time
    tags: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)  # prepared
    var_marks: dict[str, Mark] = field(default_factory=dict)
    ports: list[Port] = field(default_factory=list)
    tasks: list[Item] = field(default_factory=list)
    handlers: list[Item] = field(default_factory=list)
    checks: list[Item] = field(default_factory=list)
    backups: list[Item] = field(default_factory=list)
    needs_marks: dict[str, Mark] = field(default_factory=dict)
    derive: Callable[[Any], Mapping[str, Any]] | None = None  # role.py's vars(context)
    mark: Mark = NOWHERE

    @property
    def prefix(self) -> str:
        """How its variables begin outside the role: `ai-stack` -> `ai_stack_`."""
        return self.name.replace("-", "_") + "_"


def known_roles(paths: Sequence[Path]) -> dict[str, Path]:
    """Every role there is: name -> its folder. Earlier paths win."""
    found: dict[str, Path] = {}
    for path in reversed(list(paths)):
        if path.is_dir():
            found.update({p.name: p for p in sorted(path.iterdir()) if (p / "role.yaml").is_file()})
    return dict(sorted(found.items()))
