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
from swarmops.planning.prepared import Nest, Text, is_template
from swarmops.planning.values import SecretText, Silent
from swarmops.planning.variables import COMMAND_LINE, HostScope

if TYPE_CHECKING:
    from swarmops.planning.roles import Role
    from swarmops.planning.world import World

PLAIN_TEXT = "<a secret in plain text>"
SHORTEST = 4  # letters; a shorter text stands in others by chance
UNKNOWN = "<not known>"  # a fault says why


def explain(scope: HostScope) -> dict[str, list[Origin]]:
    """Every variable of a host, by its name outside roles: who gave it which value, lowest first; the last counts.

    The `raw` of an origin is the template that its value was made of. Secrets are shown by name.
    """
    world, found = scope.world, dict[str, list[Origin]]()
    for name, origins in scope.host.why.items():
        found[name] = [replace(origin, raw=None) for origin in origins]
    for name, value in world.extra.items():
        found.setdefault(name, []).append(Origin("command line", Mark(f"-e {name}"), value))
    for role in world.roles_of(scope.host.name):
        scope.derive(role)
        for name in {*role.vars, *scope.derived[role.name], *(world.services.get(role.name) or ())}:
            found[role.prefix + name] = _of_role(scope, role, name)
    veil = Veil(world, found)
    return {name: [veil.origin(name, o) for o in found[name]] for name in sorted(found)}


def _of_role(scope: HostScope, role: Role, name: str) -> list[Origin]:
    """The layers of a role's variable; templates as they are written, the last layer with its value."""
    words = {"role": f"role {role.name}", "role.py": f"role {role.name} derives it"}
    words |= {"distributed.yaml": f"services.{role.name}", COMMAND_LINE: "command line"}
    found = []
    for layer, mark, value in scope.layers(role, name):
        if layer == "role.py":
            mark = Mark(mark.file, _line_of(role, name))
        found.append(Origin(words.get(layer, layer), mark, written(value)))
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
    """Makes values safe to show: secrets, what stands in plain text and should be one, and what is made of them."""

    def __init__(self, world: World, found: Mapping[str, list[Origin]]):
        self.by_value = {s.open(): s for s in [*world.project.store.values(), *world.used_secrets]}
        bad = [o.value for name, origins in found.items() for o in origins if in_plain_text(name, o)]
        self.plain = {text for value in bad for text in _texts(value) if len(text) >= SHORTEST}
        texts = {f"{s.name} {s.tag}": value for value, s in self.by_value.items()}
        # What role.py makes of passwords for users.acl is no password, and nobody's business either.
        hashes = {f"{name} as SHA-256": _sha(value) for name, value in texts.items()}
        self.redactor = Redactor({**texts, **hashes, **{f"no. {i}": _sha(t) for i, t in enumerate(self.plain)}})

    def origin(self, name: str, origin: Origin) -> Origin:
        return replace(origin, value=PLAIN_TEXT if in_plain_text(name, origin) else self.value(origin.value))

    def value(self, value: Any) -> Any:
        if isinstance(value, SecretText):
            found = self.by_value.get(str.__str__(value))
            return str(found) if found else "<secret>"
        if isinstance(value, Silent):
            return UNKNOWN
        if type(value) is str:
            return PLAIN_TEXT if any(text in value for text in self.plain) else self.redactor.clean(value)
        if isinstance(value, Mapping):
            return {k: self.value(v) for k, v in value.items()}
        return [self.value(v) for v in value] if isinstance(value, list | tuple) else value


def in_plain_text(name: str, origin: Origin) -> bool:
    """Whether a secret stands there as it is, which `validate` refuses. What role.py computes was written nowhere."""
    if origin.mark.file.endswith(".py"):
        return False
    faults = Faults()
    check_value(origin.value if origin.raw is None else origin.raw, name, name, origin.mark, faults)
    return bool(faults)


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping | list | tuple):
        return [t for v in (value.values() if isinstance(value, Mapping) else value) for t in _texts(v)]
    return [str(value)]
