"""Inventory, distributed.yaml, roles and templates become one `Plan` per host: plain data, every mistake found.

The whole fleet is planned each time, since firewalls and tunnels depend on all hosts; `limit` only chooses what is
returned. Nothing here looks at the clock, the network or a host, so that the same input gives the same plan.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmops.model import local
from swarmops.model.faults import Faults, InputError, Mark, closest
from swarmops.model.project import Project
from swarmops.model.schema.serial import Serial
from swarmops.planning import placing
from swarmops.planning.steps import HostPlanner, RenderedFile, Shared
from swarmops.planning.world import World

ALWAYS, NEVER, ALL = "always", "never", "all"


@dataclass
class Plan:
    """What one host gets. `contents` holds the bytes of every sha256 that a step names.

    `roles` in order; `needs` role -> the roles that must have worked before it; `after` hosts that come first;
    `serial` role -> how many of its hosts are changed at a time, where that is said; `notes` what the user should know
    of it; `ports` role -> port of what listens on a rootless host.
    """

    host: str
    steps: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    backups: list[dict[str, Any]] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    files: list[RenderedFile] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    needs: dict[str, list[str]] = field(default_factory=dict)
    after: list[str] = field(default_factory=list)
    serial: dict[str, Serial] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)


def make_plans(
    project: Project,
    *,
    limit: str | None = None,
    tags: Collection[str] | None = None,
    extra: Mapping[str, Any] | None = None,
    faults: Faults,
) -> dict[str, Plan]:
    """A plan per host of `limit` (an Ansible pattern; None is all), in the inventory's order.

    Adds every fault and goes on; the result is of use only when `faults` is empty. Raises `InputError` when `limit`
    matches no host.
    """
    wanted = [host.name for host in project.inventory.select(limit)] if limit else list(project.inventory.hosts)
    world = World(project, extra or {}, faults)
    assert world.openings is not None  # asked for here, so that faults in `ports` show without a firewall
    shared = Shared(world)
    plans = {name: _plan(world, shared, name) for name in world.hosts}
    if tags:
        _choose(plans, list(tags))
    _after(world, plans)
    world.host_faults.flush(faults)
    return {name: plans[name] for name in wanted if name in plans}


def _plan(world: World, shared: Shared, host: str) -> Plan:
    made = Plan(host, roles=[role.name for role in world.roles_of(host)])
    for role in world.roles_of(host):
        planner = HostPlanner(world, shared, host, role)
        planner.run()
        made.steps += planner.steps
        made.checks += planner.checks
        made.backups += planner.backups
        made.contents.update(planner.contents)
        made.files += planner.files
        made.needs[role.name] = _all_needs(world, role.name, made.roles)
        declared = world.project.distributed.infrastructure.get(role.name)
        if serial := (declared and declared.serial) or role.serial:
            made.serial[role.name] = serial
    _two_writers(world, made)
    if without := world.left_out.get(host):
        made.notes.append(f"{', '.join(without)} need{'s' * (len(without) == 1)} root: left out")
    made.notes += world.notes.get(host, [])
    if local.is_rootless(world.hosts[host]):
        made.ports = _ports(world, host)
    return made


def _ports(world: World, host: str) -> dict[str, int]:
    """Role -> the port that it declares."""
    found = {}
    for role in world.roles_of(host):
        port = world.role_scope(world.scope(host), role).find("port") if "port" in role.vars else None
        if isinstance(port, int | str) and str(port).isdecimal():
            found[role.name] = int(port)
    return found


def _all_needs(world: World, role: str, placed: Collection[str]) -> list[str]:
    """What a role needs on this host, directly or through others, in the order of the host's roles."""
    found: set[str] = set()
    queue = list(world.roles[role].needs)
    while queue:
        name = queue.pop()
        if name not in found and name in world.roles:
            found.add(name)
            queue += world.roles[name].needs
    return [name for name in placed if name in found and name != role]


def _two_writers(world: World, plan: Plan) -> None:
    """Two tasks that write one path would change it back and forth in every run."""
    first: dict[str, RenderedFile] = {}
    for file in plan.files:
        other = first.setdefault(file.path, file)
        if other is not file and not file.guarded_by_when and not other.guarded_by_when:
            said = f"writes {file.path}, as '{other.step}' does already"
            world.host_faults.add(plan.host, file.mark, "", said)


def _choose(plans: Mapping[str, Plan], tags: Sequence[str]) -> None:
    """`--tags`: what is left out stays in the plan as skipped. Raises `InputError` for a tag that nothing has."""
    known = {tag for plan in plans.values() for step in plan.steps for tag in step.get("tags", ())}
    faults = Faults()
    for tag in tags:
        if tag not in known | {ALL}:
            faults.add(Mark("--tags"), tag, "no task has this tag", closest(tag, known - {ALWAYS, NEVER}))
    faults.stop_if_any()
    for plan in plans.values():
        chosen = {s["id"] for s in plan.steps if _chosen(s.get("tags", ()), tags)}
        for step in plan.steps:
            needed = step["watches"] if step.get("handler") else [step["id"]]
            if not chosen.intersection(needed):
                step["skip"] = True


def _chosen(has: Iterable[str], tags: Sequence[str]) -> bool:
    own = set(has)
    if NEVER in own:
        return bool((own - {NEVER}) & set(tags)) or NEVER in tags
    return ALL in tags or ALWAYS in own or bool(own & set(tags))


def _after(world: World, plans: Mapping[str, Plan]) -> None:
    """Hosts that come first, because a role says `after: [redis]`."""
    for host, plan in plans.items():
        first: set[str] = set()
        for role in world.roles_of(host):
            for other in role.after:
                if not placing.holds(world, role, host, role.after_when.get(other, []), "after"):
                    continue
                hosts = world.hosts_of(other) if other in world.known else []
                if not hosts and other in world.known:
                    why = f"no host has the role {other}"
                    if not any(fault.sentence.startswith(why) for fault in world.faults):  # said already, and better
                        said = f"{role.name} comes after {other}, and {why}"
                        world.faults.add(role.needs_marks.get(other, role.mark), "after", said, "see infrastructure")
                if host not in hosts:
                    first.update(hosts)
        plan.after = [name for name in plans if name in first]
    _no_circle(world, plans)


def _no_circle(world: World, plans: Mapping[str, Plan]) -> None:
    try:
        waves(plans)
    except InputError as e:
        for fault in e.faults.errors:
            world.faults.add(fault.mark, fault.path, fault.sentence, fault.hint)


def waves(plans: Mapping[str, Plan]) -> list[list[str]]:
    """The hosts in the order of their `after`, those of one wave together. Hosts that are not among `plans` are
    not waited for. Raises `InputError` when hosts wait for each other."""
    left, found = dict(plans), list[list[str]]()
    while left:
        wave = [name for name, plan in left.items() if not any(other in left for other in plan.after)]
        if not wave:
            ring = _ring(left)
            hint = "look at `after` of their roles"
            raise InputError.one(f"the hosts wait for each other: {' -> '.join(ring)}", path="after", hint=hint)
        found.append(wave)
        left = {name: plan for name, plan in left.items() if name not in wave}
    return found


def _ring(left: Mapping[str, Plan]) -> list[str]:
    trail = [next(iter(left))]
    while True:
        following = next(other for other in left[trail[-1]].after if other in left)
        if following in trail:
            return [*trail[trail.index(following) :], following]
        trail.append(following)
