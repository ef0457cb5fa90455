"""Everything one planning knows: the project, the roles its hosts have, one scope a host. Nothing leaves it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from swarmops.model.faults import Faults, InputError, Mark, closest
from swarmops.model.inventory import Host
from swarmops.model.network import PUBLIC_KEY
from swarmops.model.project import Project
from swarmops.model.secrets import Secret, UnknownSecret
from swarmops.planning import placing
from swarmops.planning.hostfaults import HostFaults
from swarmops.planning.kinds_spec import describe
from swarmops.planning.rolefile import last_line
from swarmops.planning.roles import Role, known_roles
from swarmops.planning.running import Run, Trouble, note, running
from swarmops.planning.templating import Templates
from swarmops.planning.values import OMIT, SecretText, Silent
from swarmops.planning.variables import SECTIONS, HostScope, RoleScope, not_set, open_data
from swarmops.planning.views import Context, HostVars, HostView

SHORTEST = 8  # letters; a shorter secret may stand in any text by chance


class World:
    """See the module. `faults` gets what is wrong in files, `host_faults` what is wrong for some hosts."""

    def __init__(self, project: Project, extra: Mapping[str, Any], faults: Faults):
        self.project, self.extra, self.faults = project, dict(extra), faults
        self.host_faults = HostFaults()
        self.hosts: dict[str, Host] = project.inventory.hosts
        self.views = {name: HostView(self, host) for name, host in self.hosts.items()}
        self.templates = Templates(project.templates_paths, project.root)
        self.known = known_roles(project.roles_paths)
        self.sections = {name: project.distributed.section(name) for name in SECTIONS}
        self.services: dict[str, Any] = self.sections["services"]
        self.scopes: dict[str, HostScope] = {}
        self._role_scopes: dict[tuple[str, str], RoleScope] = {}
        self.roles: dict[str, Role] = {}
        self.roles_on: dict[str, list[Role]] = {}
        self.left_out: dict[str, list[str]] = {}  # host -> roles that need root, where there is none
        self.notes: dict[str, list[str]] = {}  # host -> what a role has to say to the user
        self.placed = False
        self._openings_of: dict[str, list[Any]] = {}
        self._secrets: dict[str, Secret] = {}
        self._opened: list[str] = []
        self.common = self._common()
        placing.load_roles(self)
        self.role_var_names = self._role_vars()
        placing.place(self)
        self.placed = True
        self._check_extra()

    def _common(self) -> dict[str, Any]:
        groups = {name: group.all_hosts() for name, group in self.project.inventory.groups.items()}
        return {
            **self.sections,
            "groups": groups,
            "hostvars": HostVars(self),
            "peers": dict(self.peers),
            "hosts_of": self.hosts_of,
            "secret": self.secret,
            "omit": OMIT,
            "tier": self.project.tier,
        }

    def roles_of(self, host: str) -> list[Role]:
        """The roles of a host, in the order in which they are applied."""
        return self.roles_on.get(host, [])

    def hosts_of(self, role: str) -> list[str]:
        """The names of the hosts that have a role. Templates call this too."""
        if role not in self.known and role not in self.project.distributed.infrastructure:
            note(f"there is no role '{role}'", closest(role, self.known))
        return [name for name, placed in self.roles_on.items() if any(r.name == role for r in placed)]

    def scope(self, host: str) -> HostScope:
        if host not in self.scopes:
            self.scopes[host] = HostScope(self, self.hosts[host])
        return self.scopes[host]

    def role_scope(self, scope: HostScope, role: Role) -> RoleScope:
        key = (scope.host.name, role.name)
        if key not in self._role_scopes:
            self._role_scopes[key] = RoleScope(scope, role)
        return self._role_scopes[key]

    def _role_vars(self) -> dict[str, tuple[Role, str]]:
        """`<role>_<var>` -> the role and its variable's short name."""
        found = {}
        for role in self.roles.values():
            for name in [*role.vars, *(self.services.get(role.name) or ())]:
                found[role.prefix + name] = (role, name)
        return found

    def role_var(self, key: str, scope: HostScope) -> tuple[Role, str] | None:
        """The role and variable that a long name means, derived ones included."""
        if found := self.role_var_names.get(key):
            return found
        for role in self.roles.values():
            if role.derive is not None and key.startswith(role.prefix):
                name = key.removeprefix(role.prefix)
                if name in scope.derive(role):
                    return role, name
        return None

    def derive(self, role: Role, scope: HostScope) -> dict[str, Any]:
        """What role.py's `vars(context)` returns for a host."""
        file = role.file.replace("role.yaml", "role.py")
        run = Run(Mark(file))
        try:
            with running(run):
                made = role.derive(Context(self, scope, role)) if role.derive else {}
            self.report(scope.host.name, "vars", run.troubles, role, scope)
            if run.troubles or run.silent:
                scope.failed.add(role.name)
            if not isinstance(made, Mapping):
                raise ValueError(f"vars(context) must return a map, not {describe(made)}")
            if twice := sorted(set(made) & set(role.vars)):
                raise ValueError(f"'{twice[0]}' is in the role's vars already; give what is derived a name of its own")
            opened: dict[str, Any] = self.veil_secrets(self.open_data(made))
            return opened
        except UnknownSecret as e:
            self.host_faults.add(scope.host.name, Mark(file), "vars", e.sentence, self.secret_hint(e))
        except InputError as e:
            for fault in e.faults.errors:
                self.faults.add(fault.mark, fault.path, fault.sentence, fault.hint)
        except Exception as e:  # a role is the user's file: whatever is wrong in it is a fault of theirs
            if not run.silent:
                mark = Mark(file, last_line(e, role.folder / "role.py"))
                words = str(e) if isinstance(e, ValueError) else f"fails with {type(e).__name__}: {e}"
                self.host_faults.add(scope.host.name, mark, "vars", words)
        scope.failed.add(role.name)
        return {}

    def open_data(self, value: Any) -> Any:
        """See `variables.open_data`. Raises `UnknownSecret`, `InputError`."""
        return open_data(value, self.get_secret)

    def holds_secret(self, text: str) -> bool:
        """Whether the text holds an opened secret, however it got there."""
        return any(value in text for value in self._opened)

    def veil_secrets(self, value: Any) -> Any:
        """The data with every text that holds an opened secret as `SecretText`."""
        if isinstance(value, str):
            return SecretText(value) if self.holds_secret(value) else value
        if isinstance(value, dict):
            return {k: self.veil_secrets(v) for k, v in value.items()}
        return [self.veil_secrets(v) for v in value] if isinstance(value, list) else value

    def get_secret(self, name: str) -> Secret:
        if name not in self._secrets:
            found = self._secrets[name] = self.project.store.get(name)
            if len(value := found.open()) >= SHORTEST:
                self._opened.append(value)
        return self._secrets[name]

    @property
    def used_secrets(self) -> list[Secret]:
        """Every secret that was asked for so far."""
        return list(self._secrets.values())

    def secret(self, name: str) -> Any:
        """`secret('redis.app')` in a template."""
        try:
            return SecretText(self.get_secret(str(name)).open())
        except UnknownSecret as e:
            note(e.sentence, self.secret_hint(e))
            return Silent(name=str(name))

    def secret_hint(self, error: UnknownSecret) -> str:
        """How to come by a secret: one that a role declares only waits to be made."""
        declared = any(error.name in role.secrets for role in self.roles.values())
        return "'swarmops secrets init' makes it" if declared else error.hint

    @cached_property
    def peers(self) -> dict[str, str]:
        """WireGuard public keys by host: those recorded by deploys, then those the inventory gives."""
        found: dict[str, str] = {}
        file = self.project.state / "peers.json"
        if file.is_file():
            try:
                found.update({str(k): str(v) for k, v in json.loads(file.read_text()).items()})
            except (ValueError, AttributeError, OSError) as e:
                self.faults.add(Mark(self.project.shown(file)), "", f"cannot be read: {e}", "swarmops deploy makes it")
        found.update({n: str(h.vars[PUBLIC_KEY]) for n, h in self.hosts.items() if h.vars.get(PUBLIC_KEY)})
        return dict(sorted(found.items()))

    @cached_property
    def openings(self) -> list[Any]:
        from swarmops.planning.reach import openings

        return openings(self)

    def openings_of(self, role: str) -> list[Any]:
        from swarmops.planning.reach import openings

        if role not in self._openings_of:
            self._openings_of[role] = openings(self, role)
        return self._openings_of[role]

    def _check_extra(self) -> None:
        """`-e maxmemory=...` would reach nobody: a role's variables are overridden by their long names."""
        for name in self.extra:
            long = [r.prefix + name for r in self.roles.values() if name in r.vars]
            set_somewhere = any(name in host.vars for host in self.hosts.values())
            if long and not set_somewhere and name not in self.role_var_names:
                hint = f"did you mean {' or '.join(long[:3])}?"
                self.faults.add(Mark(f"-e {name}"), "", f"no role or host has a variable '{name}'", hint)

    def report(self, host: str, path: str, troubles: Iterable[Trouble], role: Role, scope: Any) -> None:
        """Troubles of one rendering as faults of one host."""
        for trouble in troubles:
            sentence, hint = trouble.sentence, trouble.hint
            if trouble.name:
                sentence, hint = not_set(trouble, scope)
                if any(task.register == trouble.name for task in role.tasks):
                    hint = "it is registered by a task: only `when` can ask it, on the host"
            where = "" if trouble.mark.file.startswith("templates/") or "/templates/" in trouble.mark.file else path
            self.host_faults.add(host, trouble.mark, where, sentence, hint)
