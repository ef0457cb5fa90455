"""Hosts as templates and role.py see them: to look at, not to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jinja2.utils import missing

from swarmops.model.addresses import address, mesh_address
from swarmops.model.inventory import Host
from swarmops.model.schema.section import Place
from swarmops.planning.roles import Role
from swarmops.planning.variables import HostScope, RoleScope, View

if TYPE_CHECKING:
    from swarmops.planning.world import World


class HostView:
    """A host as templates (`host`) and role.py (`context.host`) see it."""

    def __init__(self, world: World, host: Host):
        self.name = host.name
        self.groups = host.groups
        self.address = address(host)
        self.mesh_address = mesh_address(host)
        self._world = world

    @property
    def addresses(self) -> dict[str, str]:
        """`lan`, and `mesh` where the host has an address in the tunnel."""
        return {"lan": self.address, **({"mesh": self.mesh_address} if self.mesh_address else {})}

    @property
    def roles(self) -> list[str]:
        return [role.name for role in self._world.roles_of(self.name)]

    @property
    def vars(self) -> View:
        """Its variables, roles' ones as `<role>_<var>`."""
        return View(self._world.scope(self.name))

    def __repr__(self) -> str:
        return f"<host {self.name}>"


class Context:
    """What `vars(context)` in a role.py is given. Plain reading; nothing in it changes anything."""

    def __init__(self, world: World, scope: HostScope, role: Role):
        self._world, self._scope = world, scope
        self.role, self._role = role.name, role
        self.project = world.project
        self.host = world.views[scope.host.name]
        self.hosts = list(world.views.values())
        self.peers = world.peers
        self.store = world.project.store
        self._own = RoleScope(scope, role)
        self.vars = View(self._own)  # the role's variables by short name, then all others

    def value(self, name: str, default: Any = None) -> Any:
        """A variable as the role's templates see it; `default` when it is not set."""
        value = self._own.find(name)
        return default if value is missing else value

    def written(self, name: str) -> tuple[Any, Place]:
        """One of the role's own variables as its last layer wrote it, references to secrets not opened, and its place:
        what is read of it there has its faults where they stand."""
        layer, mark, value = self._scope.layers(self._role, name)[-1]
        path = f"services.{self.role}.{name}" if layer == "distributed.yaml" else f"{self._role.prefix}{name}"
        if layer == "distributed.yaml":
            value = self.project.distributed.data["services"][self.role][name]
        elif layer == "role":  # may be a template
            value = self._own.find(name)
        return value, Place(self._world.faults, path, mark)

    def declared(self, role: str, name: str) -> Any:
        """A variable that is among another role's `vars`, for this host; None where it is not. Asks no role.py."""
        other = self._world.roles.get(role)
        return self._scope.role_value(other, name) if other and name in other.vars else None

    def note(self, text: str) -> None:
        """Something that the user should know; a deploy says it once."""
        said = self._world.notes.setdefault(self.host.name, [])
        if text not in said:
            said.append(text)

    def hosts_of(self, role: str) -> list[HostView]:
        """The hosts that have the role."""
        return [self._world.views[name] for name in self._world.hosts_of(role)]

    @property
    def reach(self) -> list[Any]:
        """Who may reach which port of this host (`reach.Opening`)."""
        return [o for o in self._world.openings if o.host == self.host.name]

    @property
    def openings(self) -> list[Any]:
        """The same for all hosts."""
        return self._world.openings

    def openings_of(self, role: str) -> list[Any]:
        """Those of one role on all hosts: what other roles derive for theirs may depend on who asks."""
        return self._world.openings_of(role)


class HostVars(Mapping[str, View]):
    """`hostvars`: every host's variables, looked up when asked."""

    def __init__(self, world: World):
        self._world = world

    def __getitem__(self, name: str) -> View:
        if name not in self._world.hosts:
            raise KeyError(name)
        return View(self._world.scope(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._world.hosts)

    def __len__(self) -> int:
        return len(self._world.hosts)
