"""Which roles there are, and which host has which, in the order in which they are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swarmops.model import local
from swarmops.model.faults import InputError, Mark, closest
from swarmops.planning import conditions, rolefile
from swarmops.planning.roles import Role
from swarmops.planning.templating import Fault

if TYPE_CHECKING:
    from swarmops.planning.world import World


def load_roles(world: World) -> None:
    """The roles of `infrastructure` and what they need, each read once."""
    wanted = list(world.project.distributed.infrastructure)
    for name in wanted:
        if name not in world.known:
            mark = world.project.distributed.mark("infrastructure", name)
            hint = closest(name, world.known) or f"make roles/{name}/role.yaml"
            world.faults.add(mark, f"infrastructure.{name}", f"there is no role '{name}'", hint)
    queue = [name for name in wanted if name in world.known]
    while queue:
        name = queue.pop(0)
        if name in world.roles:
            continue
        role = rolefile.load(world.known[name], world.templates, world.faults, project=world.project.root)
        if role is None:
            continue
        world.roles[name] = role
        queue += [need for need in role.needs if _is_known(world, role, need, "needs")]
        for other in role.after:
            _is_known(world, role, other, "after")
    _no_cycles(world)


def _is_known(world: World, role: Role, name: str, key: str) -> bool:
    mark = role.needs_marks.get(name, role.mark)
    if name == role.name:
        world.faults.add(mark, key, f"{role.name} cannot come {'before' if key == 'needs' else 'after'} itself")
        return False
    if name not in world.known:
        world.faults.add(mark, key, f"there is no role '{name}'", closest(name, world.known))
    return name in world.known


def _no_cycles(world: World) -> None:
    """Case 43: a circle of `needs` is printed as a -> b -> a, once."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            ring = [*trail[trail.index(name) :], name]
            role = world.roles[ring[-2]]
            mark = role.needs_marks.get(name, role.mark)
            world.faults.add(mark, "needs", f"the roles need each other in a circle: {' -> '.join(ring)}")
            return
        if name in done or name not in world.roles:
            return
        for need in world.roles[name].needs:
            if need != name:
                visit(need, [*trail, name])
        done.add(name)

    for name in world.roles:
        visit(name, [])


def place(world: World) -> None:
    """Which roles each host has, what they need before them."""
    direct: dict[str, list[str]] = {name: [] for name in world.hosts}
    for role, pattern in world.project.distributed.infrastructure.items():
        if role not in world.roles:
            continue
        try:
            for host in world.project.inventory.select(pattern):
                direct.setdefault(host.name, []).append(role)
        except InputError as e:
            mark = world.project.distributed.mark("infrastructure", role)
            for fault in e.faults.errors:  # a role may have no host; that a host's name is wrong shows here
                if len(world.hosts) == 1 and "!" in pattern:
                    continue  # all but Redis' host: on one machine that is nobody
                world.faults.warn(mark, f"infrastructure.{role}", fault.sentence, fault.hint)
    rank = {name: i for i, name in enumerate(world.roles)}
    for on, names in direct.items():
        order: list[str] = []
        for name in sorted(names, key=lambda n: rank[n]):
            _with_needs(world, name, order, [])
        can = order
        if local.is_rootless(world.hosts[on]):
            can = [name for name in order if world.roles[name].rootless]
            world.left_out[on] = [name for name in order if name not in can]
        world.roles_on[on] = [r for n in can if holds(world, r := world.roles[n], on, r.when, "when")]


def _with_needs(world: World, name: str, order: list[str], trail: list[str]) -> None:
    if name in order or name in trail or name not in world.roles:
        return
    for need in world.roles[name].needs:
        _with_needs(world, need, order, [*trail, name])
    order.append(name)


def holds(world: World, role: Role, host: str, when: list[tuple[str, Mark]], path: str) -> bool:
    """A condition of the role itself, which only the inventory may answer."""
    if not when:
        return True
    try:
        parts = conditions.compile_when(world.templates, when, (), {})
    except Fault as e:
        world.faults.add(e.trouble.mark, path, e.trouble.sentence, e.trouble.hint)
        return False
    for part in parts:
        if part.facts:
            said = f"a role's `{path}` is decided before any host is asked"
            world.faults.add(part.mark, path, said, "put facts into the tasks' `when`")
            return False
    scope = world.role_scope(world.scope(host), role)

    def value_of(text: Any) -> Any:
        made, run = world.templates.value(text, scope, text.mark)
        world.report(host, path, run.troubles, role, scope)
        return made

    return conditions.decide(parts, (), value_of).wanted
