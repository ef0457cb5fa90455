"""What is wrong with an inventory that Ansible would notice only when it connects, or never."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from swarmops.model.faults import Faults, Mark
from swarmops.model.inventory.names import host_name, is_address, kind, shorten
from swarmops.model.inventory.types import Host, Inventory, Origin
from swarmops.model.secrets import reference
from swarmops.model.yaml import Map, Seq, Vaulted

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@\\-]{0,63}\$?\Z")
_TRUTH = ("true", "false", "yes", "no", "on", "off", "1", "0", "t", "f", "y", "n")

Trouble = tuple[str, str]  # sentence and hint; ("", "") when there is none
FINE: Trouble = ("", "")


def check(inventory: Inventory, faults: Faults) -> None:
    """Connection variables (cases 18-21, 28, 30, 37, 40, 41), host names that differ by case only (27), `{{` (59)."""
    _names_by_case(inventory, faults)
    seen: set[int] = set()
    for owner in inventory.owners():
        for layer in (owner.own, owner.files):
            for name, origins in layer.items():
                for origin in origins:
                    # A range gives the same value to many hosts: one fault is enough.
                    if id(origin.value) not in seen or name in CHECKS:
                        seen.add(id(origin.value))
                        _one(owner.name, name, origin, faults)
    _same_addresses(inventory, faults)


def _one(owner: str, name: str, origin: Origin, faults: Faults) -> None:
    path = f"{owner}.{name}"
    if name in CHECKS and not isinstance(origin.value, Vaulted):
        sentence, hint = CHECKS[name](origin.value)
        if sentence:
            sentence = sentence.replace("this is read as", f"{origin.raw!r} is read as") if origin.raw else sentence
            faults.add(origin.mark, path, sentence, hint)
            return
    _warn_of_templates(origin.value, origin.mark, path, faults)


def _warn_of_templates(value: Any, mark: Mark, path: str, faults: Faults) -> None:
    if isinstance(value, str):
        if "{{" in value or "{%" in value:
            faults.warn(mark, path, "stays as it is written: inventory values are not templates", "put it into a role")
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            below = value.value_mark(key) if isinstance(value, Map | Seq) else mark
            _warn_of_templates(item, below, f"{path}.{key}" if isinstance(value, dict) else f"{path}[{key}]", faults)


def _names_by_case(inventory: Inventory, faults: Faults) -> None:
    first: dict[str, Host] = {}
    for host in inventory.hosts.values():
        other = first.setdefault(host.name.lower(), host)
        if other is not host:
            sentence = f"is the same name as '{other.name}' ({other.mark}) but for upper and lower case"
            faults.add(host.mark, host.name, sentence, "DNS does not tell them apart")


def _same_addresses(inventory: Inventory, faults: Faults) -> None:
    """Two hosts at one address and port, reached the same way (case 28)."""
    first: dict[tuple[Any, ...], Host] = {}
    for host in inventory.hosts.values():
        values = host.vars
        if values.get("ansible_connection") in ("local", "docker", "podman"):
            continue
        address = values.get("ansible_host", values.get("ansible_ssh_host", host.name))
        port = values.get("ansible_port", values.get("ansible_ssh_port", 22))
        way = values.get("ansible_ssh_common_args", "")
        if not isinstance(address, str):
            continue
        if is_address(address):
            address = ipaddress.ip_address(address).compressed
        other = first.setdefault((address.lower(), str(port), str(way)), host)
        if other is not host and other.name.lower() != host.name.lower():
            mark = host.mark_of("ansible_host")
            place = other.mark_of("ansible_host")
            faults.add(mark, f"{host.name}.ansible_host", f"{address} is the address of {other.name} too ({place})")


def _text(value: Any) -> Trouble:
    """Text that was not read as such (cases 19-21)."""
    if isinstance(value, str):
        return FINE if "\n" not in value.rstrip("\n") else ("holds more than one line", "")
    if isinstance(value, dict | list) or value is None:
        return f"must be text, this is {kind(value)}", ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"must be text, this is read as the number {value}", "quote it"
    return f"must be text, this is read as {kind(value)}", "quote it"


def _password(value: Any) -> Trouble:
    """`{secret: name}`; that a text is no place for a password is said elsewhere (case 49)."""
    return FINE if reference(value) else _text(value)


def _address(value: Any) -> Trouble:
    if not isinstance(value, str):
        return _text(value)
    if re.fullmatch(r"[0-9.]+", value):
        if is_address(value):
            return FINE
        return f'"{value}" is not an IPv4 address', "example 10.0.0.30"
    if "%" in value:
        return f'"{shorten(value)}" names a zone', "an address without %zone, or a name in ssh_config"
    if ":" in value and not is_address(value):
        return f'"{shorten(value)}" is not an IPv6 address', "a port goes into ansible_port"
    if is_address(value):
        mapped = getattr(ipaddress.ip_address(value), "ipv4_mapped", None)
        return (f'"{value}" is an IPv4 address in IPv6 clothes', f"write {mapped}") if mapped else FINE
    found = Faults()
    if host_name(value, Mark(), found):
        return FINE
    return found.errors[0].sentence.replace("a host name", "a host name or address"), found.errors[0].hint


def _port(value: Any) -> Trouble:
    example = "a number from 1 to 65535, such as 22"
    if isinstance(value, bool) or not isinstance(value, int | str):
        return f"a port cannot be {kind(value)}", example
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) < 9):
        return f'"{shorten(value)}" is not a port', example
    return FINE if 1 <= int(value) <= 65535 else (f"{value} is not a port", example)


def _user(value: Any) -> Trouble:
    if not isinstance(value, str):
        return _text(value)
    return FINE if _USER.match(value) else (f'"{shorten(value)}" is not a user name', "such as admin")


def _path(value: Any) -> Trouble:
    """An absolute path; on the controller `~/` is allowed, because ssh and Ansible know it."""
    if not isinstance(value, str):
        return _text(value)
    if not value.isprintable():
        return f'"{shorten(value)}" holds a line break or a control character', ""
    if ".." in value.split("/"):
        return f'"{value}" holds ".."', "an absolute path without .."
    if value.startswith("~") and not value.startswith("~/"):
        return f'"{value}": another user\'s home is not looked up', "an absolute path, or ~/..."
    if not value.startswith(("/", "~/")):
        return f'"{value}" is a relative path', "an absolute path, or ~/..."
    return FINE


def _remote_path(value: Any) -> Trouble:
    if isinstance(value, str) and value.startswith("~"):
        return f'"{shorten(value)}" begins with ~', "an absolute path on the host"
    return _path(value)


def _interpreter(value: Any) -> Trouble:
    if isinstance(value, str) and re.fullmatch(r"auto(_legacy)?(_silent)?|python[0-9.]*", value):
        return FINE
    return _remote_path(value)


def _truth(value: Any) -> Trouble:
    if isinstance(value, bool) or value in (0, 1) or (isinstance(value, str) and value.lower() in _TRUTH):
        return FINE
    return f"must be true or false, this is {kind(value) if not isinstance(value, str) else repr(shorten(value))}", ""


def _arguments(value: Any) -> Trouble:
    return _text(value) if not isinstance(value, str) or "\n" in value.strip() else FINE


CHECKS: dict[str, Callable[[Any], Trouble]] = {
    "ansible_host": _address,
    "ansible_ssh_host": _address,
    "ansible_port": _port,
    "ansible_ssh_port": _port,
    "ansible_user": _user,
    "ansible_ssh_user": _user,
    "ansible_become_user": _user,
    "ansible_become": _truth,
    "ansible_become_method": _text,
    "ansible_become_password": _password,
    "ansible_become_pass": _password,
    "ansible_password": _password,
    "ansible_ssh_pass": _password,
    "ansible_connection": _text,
    "ansible_ssh_common_args": _arguments,
    "ansible_ssh_extra_args": _arguments,
    "ansible_ssh_private_key_file": _path,
    "ansible_private_key_file": _path,
    "ansible_python_interpreter": _interpreter,
    "ansible_remote_tmp": _text,
}
