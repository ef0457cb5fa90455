"""Who gave a host's variables their values: `swarmops vars HOST --why`. No secret is in what this returns."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swarmops.model.faults import Faults, Mark
from swarmops.model.inventory import Origin
from swarmops.model.literals import check_value
from swarmops.model.redactor import Redactor
from swarmops.planning.running import SecretText, Silent
from swarmops.planning.templating import Nest, Text, is_template
from swarmops.planning.variables import COMMAND_LINE, HostScope

if TYPE_CHECKING:
    from swarmops.planning.roles import Role
    from swarmops.planning.world import World

PLAIN_TEXT = "<a secret in plain text>"
UNKNOWN = "<not known>"  # a fault says why


def explain(scope: HostScope) -> dict[str, list[Origin]]:
    """Every variable of a host, by its name outside roles: who gave it which value, lowest first; the last counts.

    The `raw` of an origin is the template that its value was made of. Secrets are shown by name.
    """
    world, found = scope.world, dict[str, list[Origin]]()
    for name, origins in scope.host.why.items():
        found[name] = [replace(origin, raw=None) for origin in origins]
    for name, value in world.extra.items():
        found.setdefault(name, []).append(Origin(COMMAND_LINE, Mark(f"-e {name}"), value))
    for role in world.roles_of(scope.host.name):
        scope.derive(role)
        for name in {*role.vars, *scope.derived[role.name], *(world.services.get(role.name) or ())}:
            found[role.prefix + name] = _of_role(scope, role, name)
    veil = Veil(world)
    return {name: [veil.origin(name, o) for o in found[name]] for name in sorted(found)}


def _of_role(scope: HostScope, role: Role, name: str) -> list[Origin]:
    """The layers of a role's variable; templates as they are written, the last layer with its value."""
    found = []
    for layer, mark, value in scope.layers(role, name):
        if layer == "role.py":
            mark = Mark(mark.file, _line_of(role, name))
        found.append(Origin(f"role {role.name}" if layer == "role" else layer, mark, written(value)))
    layer, _, value = scope.layers(role, name)[-1]
    if is_template(value) or layer in ("role.py", COMMAND_LINE):
        raw = value.source if isinstance(value, Text) else None
        found[-1] = replace(found[-1], value=scope.role_value(role, name), raw=raw)
    return found


def written(prepared: Any) -> Any:
    """A value of a role file as it is written there."""
    if isinstance(prepared, Text):
        return prepared.source
    inner = prepared.inner if isinstance(prepared, Nest) else prepared
    if isinstance(inner, Mapping):
        return {k: written(v) for k, v in inner.items()}
    return [written(v) for v in inner] if isinstance(inner, list) else inner


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _line_of(role: Role, name: str) -> int:
    """The line of role.py that names the variable; that of its `vars` when none does."""
    text = (role.folder / "role.py").read_text(errors="replace")
    if match := re.search(rf"""["']{name}["']\s*[:\]]""", text):
        return text.count("\n", 0, match.start()) + 1
    code = getattr(role.derive, "__code__", None)
    return code.co_firstlineno if code else 0


class Veil:
    """Makes values safe to show."""

    def __init__(self, world: World):
        self.by_value = {s.open(): s for s in [*world.project.store.values(), *world.used_secrets]}
        texts = {f"{s.name} {s.tag}": value for value, s in self.by_value.items()}
        # What role.py makes of passwords for users.acl is no password, and nobody's business either.
        hashes = {f"{s.name} {s.tag} as SHA-256": _sha(value) for value, s in self.by_value.items()}
        self.redactor = Redactor({**texts, **hashes})

    def origin(self, name: str, origin: Origin) -> Origin:
        faults = Faults()
        check_value(origin.value if origin.raw is None else origin.raw, name, name, origin.mark, faults)
        return replace(origin, value=PLAIN_TEXT if faults else self.value(origin.value))

    def value(self, value: Any) -> Any:
        if isinstance(value, SecretText):
            found = self.by_value.get(str.__str__(value))
            return str(found) if found else "<secret>"
        if isinstance(value, Silent):
            return UNKNOWN
        if type(value) is str:
            return self.redactor.clean(value)
        if isinstance(value, Mapping):
            return {k: self.value(v) for k, v in value.items()}
        return [self.value(v) for v in value] if isinstance(value, list | tuple) else value
