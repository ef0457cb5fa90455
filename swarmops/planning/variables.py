"""Whose value wins, and who said so.

For a variable `port` of the role `redis`, from lowest to highest: the role's `vars` (or what its role.py derives),
`services.redis.port` of distributed.yaml, `redis_port` of groups and host, `-e redis_port=`. The role's own templates
call it `port`, everybody else `redis_port`. A role's `vars` may be templates; everything else is data.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jinja2.utils import missing

from swarmops.model import local
from swarmops.model.faults import InputError, Mark, closest
from swarmops.model.inventory import Host
from swarmops.model.secrets import Secret, UnknownSecret
from swarmops.planning.kinds_spec import Arg, Wrong
from swarmops.planning.prepared import is_template
from swarmops.planning.running import Trouble, note
from swarmops.planning.values import SecretText, Silent, trusted

if TYPE_CHECKING:
    from swarmops.planning.roles import Role
    from swarmops.planning.world import World

SECTIONS = (
    *("deployment", "infrastructure", "services", "network", "hardware", "performance", "security", "monitoring"),
    *("backup", "features"),
)
COMMAND_LINE = "-e"
_BUSY = object()
ANSIBLE = {
    "lookup": "secrets are read with secret('name'), files belong into templates/",
    "query": "secrets are read with secret('name')",
    "ansible_distribution": "`when` may ask facts.distribution",
    "ansible_os_family": "`when` may ask facts.distribution",
    "ansible_architecture": "`when` may ask facts.arch",
    "ansible_memtotal_mb": "`when` may ask facts.memory_mb",
    "ansible_facts": "`when` may ask facts.distribution, .version, .arch and others",
    "facts": "facts are known on the host only; `when` may ask them",
}


class View(Mapping[str, Any]):
    """A scope as templates and role.py see it: a mapping."""

    __slots__ = ("_scope",)

    def __init__(self, scope: HostScope | RoleScope):
        self._scope = scope

    def __getitem__(self, key: str) -> Any:
        value = self._scope.find(key)
        if value is missing:
            raise KeyError(key)
        if isinstance(value, Silent):
            value._note()
        return value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._scope.find(key) is not missing

    def __iter__(self) -> Iterator[str]:
        return iter(self._scope.names())

    def __len__(self) -> int:
        return len(self._scope.names())


class HostScope:
    """Every name that holds for one host outside a role."""

    def __init__(self, world: World, host: Host):
        self.world, self.host = world, host
        self.seen: dict[str, Any] = {}
        self.role_values: dict[tuple[str, str], Any] = {}
        self.derived: dict[str, dict[str, Any]] = {}
        self.busy: list[str] = []
        self.failed: set[str] = set()  # roles whose role.py failed: what it would have derived is not missed again

    def find(self, key: str) -> Any:
        """The value of a name, or `missing`."""
        value = self.seen.get(key, missing)
        if value is missing:
            value = self._find(key)
            if self.world.placed:
                self.seen[key] = value
        return value

    def is_common(self, key: str) -> bool:
        """Whether the name means the same in every role: a section, `groups`, `host`."""
        return key in self.world.common or key in _OF_HOST

    def _find(self, key: str) -> Any:
        world = self.world
        if key == "deployment" and local.is_rootless(self.host):
            return {**world.common[key], "mode": "local"}
        if key in world.common:
            return world.common[key]
        if maker := _OF_HOST.get(key):
            return maker(self)
        if found := world.role_var(key, self):
            return self.role_value(*found)
        if key in world.extra:
            return self.data(world.extra[key], Mark(f"-e {key}"), key)
        if key in self.host.vars:
            return self.data(self.host.vars[key], self.host.mark_of(key), key)
        if self.failed and any(key.startswith(world.roles[name].prefix) for name in self.failed):
            return Silent(name=key)
        return world.templates.env.globals.get(key, missing)

    def data(self, value: Any, mark: Mark, path: str) -> Any:
        """Inventory data as templates see it: `{secret: name}` is the secret's text, marks are left behind."""
        try:
            return self.world.open_data(value)
        except UnknownSecret as e:
            self.world.host_faults.add(self.host.name, mark, path, e.sentence, self.world.secret_hint(e))
        except InputError as e:
            for fault in e.faults.errors:
                self.world.faults.add(fault.mark, fault.path, fault.sentence, fault.hint)
        return Silent(name=path)

    def role_value(self, role: Role, name: str) -> Any:
        """The value of a role's variable for this host."""
        key = (role.name, name)
        value = self.role_values.get(key, missing)
        if value is _BUSY:
            ring = [*self.busy[self.busy.index(f"{role.name}.{name}") :], f"{role.name}.{name}"]
            note(f"variables go in a circle: {' -> '.join(ring)}")
            return Silent(name=name)
        if value is missing:
            self.role_values[key] = _BUSY
            self.busy.append(f"{role.name}.{name}")
            value = self.role_values[key] = self._role_value(role, name)
            self.busy.pop()
        return value

    def _role_value(self, role: Role, name: str) -> Any:
        layer, mark, value = self.layers(role, name)[-1]
        if layer == "role.py":
            return value
        if layer == COMMAND_LINE:
            return self.data(_like(role.vars.get(name), value), mark, role.prefix + name)
        if layer != "role":
            return self.data(value, mark, role.prefix + name)
        if not is_template(value):
            return trusted(self.data(value, mark, f"vars.{name}"))
        made, run = self.world.templates.value(value, self.world.role_scope(self, role), mark)
        self.world.report(self.host.name, f"vars.{name}", run.troubles, role, self)
        return made

    def layers(self, role: Role, name: str) -> list[tuple[str, Mark, Any]]:
        """(layer, place, value) from lowest to highest; the last wins."""
        found: list[tuple[str, Mark, Any]] = []
        if name in role.vars:
            found.append(("role", role.var_marks[name], role.vars[name]))
        if name in self.derived.get(role.name, ()):
            found.append(("role.py", Mark(role.file.replace("role.yaml", "role.py")), self.derived[role.name][name]))
        service = self.world.services.get(role.name)
        if isinstance(service, Mapping) and name in service:
            mark = self.world.project.distributed.mark("services", role.name, name)
            found.append(("distributed.yaml", mark, service[name]))
        full = role.prefix + name
        for origin in self.host.why.get(full, ()):
            found.append((origin.layer, origin.mark, origin.value))
        if full in self.world.extra:
            found.append((COMMAND_LINE, Mark(f"-e {full}"), self.world.extra[full]))
        return found

    def derive(self, role: Role) -> dict[str, Any]:
        """What role.py says for this host, asked once; empty while it is being asked."""
        if not self.world.placed:  # role.py may ask who has which role
            return {}
        if role.name not in self.derived:
            self.derived[role.name] = {}
            self.derived[role.name] = self.world.derive(role, self)
        return self.derived[role.name]

    def names(self) -> list[str]:
        """Every name there is, for hints and for `vars`."""
        world = self.world
        known = {*world.common, *_OF_HOST, *world.extra, *self.host.vars, *world.role_var_names}
        return sorted(known)

    def where(self, key: str) -> Mark | None:
        """Where a name was set, for hints."""
        if found := self.world.role_var(key, self):
            return self.layers(*found)[-1][1]
        if key in self.host.vars:
            return self.host.mark_of(key)
        return self.world.project.distributed.mark(key) if key in SECTIONS else None


class RoleScope:
    """The names of one role on one host: its own by their short names, then those of the host."""

    def __init__(self, below: HostScope, role: Role):
        self.below, self.role = below, role
        self.service = below.world.services.get(role.name) or {}

    def find(self, key: str) -> Any:
        role = self.role
        if key == "role_name":
            return role.name
        if key in role.vars or key in self.service:
            return self.below.role_value(role, key)
        if role.derive is not None and not self.below.is_common(key) and key in self.below.derive(role):
            return self.below.role_value(role, key)
        value = self.below.find(key)
        return Silent(name=key) if value is missing and role.name in self.below.failed else value

    def names(self) -> list[str]:
        own = {"role_name", *self.role.vars, *self.service, *self.below.derived.get(self.role.name, ())}
        return sorted(own | set(self.below.names()))

    def where(self, key: str) -> Mark | None:
        if layers := self.below.layers(self.role, key):
            return layers[-1][1]
        return self.below.where(key)


_OF_HOST = {
    "inventory_hostname": lambda scope: scope.host.name,
    "inventory_hostname_short": lambda scope: scope.host.name.split(".")[0],
    "group_names": lambda scope: sorted(scope.host.groups),
    "host": lambda scope: scope.world.views[scope.host.name],
    "ansible_host": lambda scope: str(scope.host.vars.get("ansible_host") or scope.host.name),
    "address": lambda scope: scope.world.views[scope.host.name].address,
    "rootless": lambda scope: local.is_rootless(scope.host),
    "paths": lambda scope: local.paths(local.is_rootless(scope.host), scope.world.project.name),
    "here_program": lambda scope: [sys.executable, "-m", "swarmops"],  # ours, as this machine runs it
}


def open_data(value: Any, get: Any) -> Any:
    """Data with each `{secret: name}` as `SecretText`, plain types otherwise. `get(name)` gives the `Secret`."""
    if isinstance(value, Secret):
        return SecretText(value.open())
    if isinstance(value, Mapping):
        if len(value) == 1 and isinstance(value.get("secret"), str):
            return SecretText(get(value["secret"]).open())
        return {k: open_data(v, get) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [open_data(v, get) for v in value]
    return str(value) if isinstance(value, str) and type(value) is not SecretText else value


def _like(default: Any, given: Any) -> Any:
    """A text of the command line as the type of the role's own value: `-e redis_tls=false` is false."""
    if not isinstance(given, str) or not isinstance(default, bool | int | float):
        return given
    kind = "bool" if isinstance(default, bool) else "int" if isinstance(default, int) else "float"
    try:
        return Arg("", kind).read(given)
    except Wrong:
        return given


def not_set(trouble: Trouble, scope: Any) -> tuple[str, str]:
    """Sentence and hint for a name that is not set."""
    if trouble.holder is not missing and trouble.holder is not None:
        keys = [str(k) for k in trouble.holder] if isinstance(trouble.holder, Mapping) else []
        path = _path_of(trouble.holder, scope)
        return f"'{trouble.name}' is not in {path}", closest(trouble.name, keys) if len(keys) < 1000 else ""
    near = difflib.get_close_matches(trouble.name, scope.names(), n=1)
    if trouble.name in ANSIBLE:
        return f"'{trouble.name}' is not set", ANSIBLE[trouble.name]
    if not near:
        return f"'{trouble.name}' is not set", ""
    mark = scope.where(near[0])
    return f"'{trouble.name}' is not set", f"close: {near[0]}" + (f", from {mark.file}:{mark.line}" if mark else "")


def _path_of(holder: Any, scope: Any) -> str:
    """How the user may call a map: `network.mesh`."""
    for name in SECTIONS:
        box = scope.find(name)
        if box is holder:
            return name
        for key, value in box.items() if isinstance(box, Mapping) else ():
            if value is holder:
                return f"{name}.{key}"
    if isinstance(holder, View):
        return f"hostvars of {holder._scope.find('inventory_hostname')}"
    return "this map" if isinstance(holder, Mapping) else f"this {type(holder).__name__}"
