"""Literal secrets in files that are shared: refused, with the way out (case 49)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from swarmops.model.faults import Faults, Mark
from swarmops.model.inventory import Inventory
from swarmops.model.secrets import reference

# The last words of keys whose values are secrets. `..._file` and the like name a place and are fine.
_SECRET_KEY = re.compile(
    r"(^|[_.-])(pass|passwd|password|passphrase|secret|token|psk|credentials?|requirepass|masterauth|"
    r"(private|api|auth|access|secret|preshared|encryption|signing)_?key|key)$",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"(^|[_.-])(public|ssh|host|sort|primary|foreign|authorized|key_?file)_?key$|public", re.I)
_IN_VALUE = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"), "a private key"),
    (re.compile(r"AGE-SECRET-KEY-1[A-Z0-9]{20,}"), "an age identity"),
    (re.compile(r"\btskey-[a-z]+-[A-Za-z0-9]+"), "a Tailscale key"),
    (re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@{}]+@"), "a URL with a password in it"),
)


def looks_secret(key: str) -> bool:
    """Whether a key's name says that its value is a secret."""
    return bool(_SECRET_KEY.search(key)) and not _NO_SECRET.search(key)


def check_value(value: Any, key: str, path: str, mark: Mark, faults: Faults) -> None:
    """Adds a fault for every literal secret in the value. Never shows it."""
    if reference(value):
        return
    if isinstance(value, Mapping):
        for k, v in value.items():
            where = value.value_mark(k) if hasattr(value, "value_mark") else mark
            check_value(v, str(k), f"{path}.{k}", where, faults)
    elif isinstance(value, list | tuple):
        for i, v in enumerate(value):
            check_value(v, key, f"{path}[{i}]", value.value_mark(i) if hasattr(value, "value_mark") else mark, faults)
    elif what := _literal(key, value):
        name = path.split(".")[-1].split("[")[0].replace("_", "-").lower()
        hint = f"write {{secret: {name}}} and run 'swarmops secrets set {name}'"
        faults.add(mark, path, f"{what} stands here in plain text", hint)


def _literal(key: str, value: Any) -> str:
    if isinstance(value, str):
        for pattern, what in _IN_VALUE:
            if pattern.search(value):
                return what
    if not looks_secret(key) or isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if value == "" or (isinstance(value, str) and re.match(r"~?/|\{\{", value)):
        return ""  # nothing, a path, or a template that takes it from elsewhere
    return "a secret"


def check_declaration(data: Any, faults: Faults) -> None:
    """`distributed.yaml`."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            mark = data.value_mark(key) if hasattr(data, "value_mark") else Mark()
            check_value(value, str(key), str(key), mark, faults)


def check_inventory(inventory: Inventory, faults: Faults) -> None:
    """Every variable of hosts and groups, each place once."""
    for group in inventory.groups.values():
        _check_layers(group.name, (group.own, group.files), faults)
    for host in inventory.hosts.values():
        _check_layers(host.name, (host.own, host.files), faults)


def _check_layers(owner: str, layers: Any, faults: Faults) -> None:
    for layer in layers:
        for name, origins in layer.items():
            for origin in origins:
                check_value(origin.value, name, f"{owner}.{name}", origin.mark, faults)
