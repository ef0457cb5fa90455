"""Files of the program that came before (AutoBot): `infrastructure.vms` becomes roles and services (S4-11).

There each machine lists its own ports next to a `services` section that lists them again; here a port is
written once. Where the two differ, the one in `services` counts and a warning names both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from swarmops.model.faults import Faults, Mark
from swarmops.model.schema.overrides import Overlay

# Names of machines and services there -> our role.
ROLES = {
    "main": "coordinator",
    "wsl": "coordinator",
    "backend": "coordinator",
    "coordinator": "coordinator",
    "frontend": "frontend",
    "npu": "npu",
    "redis": "redis",
    "ai": "ai",
    "browser": "browser",
}
PORTS = {"coordinator": 8002, "frontend": 5173, "npu": 8081, "redis": 6379, "ai": 8080, "browser": 3000}
PORT_KEYS = ("port", "backend_port", "api_port", "main_port")


def is_original(data: Any) -> bool:
    return (
        isinstance(data, Mapping)
        and isinstance(data.get("infrastructure"), Mapping)
        and isinstance(data["infrastructure"].get("vms"), Mapping)
    )


def convert(data: Any, faults: Faults) -> Any:
    """The same declaration in our form. Marks stay those of the file."""
    vms = data["infrastructure"]["vms"]
    services, over = data.get("services"), Overlay(data)
    ports = dict(_ports_of(services))
    roles: dict[str, Any] = {}
    made: dict[str, dict[str, Any]] = {}
    for name, vm in vms.items():
        if not (role := role_of(str(name))) or not isinstance(vm, Mapping):
            mark = vms.key_mark(name)
            faults.warn(mark, f"infrastructure.vms.{name}", "no role here has this name", ", ".join(PORTS))
            continue
        roles[role] = role
        port, mark = _port(vm) or (None, vms.key_mark(name))
        kept = ports.get(role, (port or PORTS[role], mark))[0]
        other, where = (kept, str(ports[role][1])) if role in ports else (PORTS[role], "the six-VM layout")
        if port and port != other:
            sentence = f"port {port} here, {other} in {where}; {kept} counts"
            faults.warn(mark, f"infrastructure.vms.{name}", sentence, "write it once, in services")
        made[role] = {"port": kept}
    over["infrastructure"], over["services"] = roles, made
    sentence = "is the form of AutoBot's file: its addresses are not read"
    hint = "hosts come from the inventory, by groups named like the roles"
    faults.warn(data.key_mark("infrastructure"), "infrastructure.vms", sentence, hint)
    return over


def role_of(name: str) -> str | None:
    words = re.split(r"[^a-z0-9]+", name.lower())
    return next((ROLES[w] for w in words if w in ROLES), None)


def _port(box: Mapping[str, Any]) -> tuple[int, Mark] | None:
    for key in PORT_KEYS:
        if isinstance(box.get(key), int) and not isinstance(box[key], bool):
            return box[key], box.value_mark(key)  # type: ignore[attr-defined]
    ports = box.get("ports")
    if isinstance(ports, list) and ports and isinstance(ports[0], int):
        return ports[0], ports.value_mark(0)  # type: ignore[attr-defined]
    return None


def _ports_of(services: Any) -> Iterator[tuple[str, tuple[int, Mark]]]:
    for name, service in services.items() if isinstance(services, Mapping) else ():
        if isinstance(service, Mapping) and (role := role_of(str(name))) and (found := _port(service)):
            yield role, found
