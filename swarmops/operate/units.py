"""Which services a role keeps on a host, read from the plan: whatever it starts is what can be stopped and followed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from swarmops.model.faults import InputError, closest
from swarmops.model.project import Project
from swarmops.planning.plan import Plan, waves

SYSTEMD, SUPERVISOR = "systemd", "supervisor"
_KINDS = {"systemd": SYSTEMD, "service": SYSTEMD, "supervisorctl": SUPERVISOR}
ALL = "all"


@dataclass(frozen=True)
class Unit:
    """One service on one host. manager: systemd, or supervisor where there is no root.

    task: the kind and arguments by which a deploy keeps it running.
    """

    host: str
    role: str
    name: str
    manager: str
    task: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def log_file(self) -> str:
        """Where a supervisor keeps what the program says."""
        state = PurePosixPath(self.task["args"]["config"]).parent.parent
        return str(state / "logs" / f"{self.name}.log")


def units(plan: Plan) -> list[Unit]:
    """What the host's roles keep running, in the order in which they start it."""
    found = []
    for step in plan.steps:
        args: Mapping[str, Any] = step["args"]
        manager = _KINDS.get(step["kind"])
        if manager and args.get("state") == "started" and not step.get("handler") and not step.get("skip"):
            for name in args["name"] if isinstance(args["name"], list) else [args["name"]]:
                task = {"kind": step["kind"], "args": {**args, "name": name}}
                found.append(Unit(plan.host, step["role"], str(name).removesuffix(".service"), manager, task))
    return found


def every(plans: Mapping[str, Plan]) -> list[Unit]:
    """All units of all hosts, in the order of a deploy."""
    return [unit for wave in waves(plans) for host in wave for unit in units(plans[host])]


def chosen(project: Project, plans: Mapping[str, Plan], words: Iterable[str]) -> list[Unit]:
    """The units of `words`: roles, units, hosts, groups or Ansible patterns, or `all`; in the order of a deploy.

    A role that is also a group means its own units, not all that runs on those hosts. Raises InputError naming every
    word that fits nothing.
    """
    there = every(plans)
    found: list[Unit] = []
    wrong = []
    for word in words:
        mine = there if word == ALL else [u for u in there if word in (u.role, u.name)]
        mine = mine or _on_hosts(project, there, word)
        if not mine:
            wrong.append(word)
        found += [u for u in mine if u not in found]
    if wrong:
        known = {u.role for u in there} | {u.host for u in there} | {ALL}
        hint = closest(wrong[0], known) or f"roles with services: {', '.join(sorted({u.role for u in there}))}"
        raise InputError.one(f"no service, role or host '{', '.join(wrong)}' in this inventory", hint=hint)
    return sorted(found, key=there.index)


def _on_hosts(project: Project, there: list[Unit], word: str) -> list[Unit]:
    try:
        hosts = {host.name for host in project.inventory.select(word)}
    except InputError:
        return []
    return [u for u in there if u.host in hosts]
