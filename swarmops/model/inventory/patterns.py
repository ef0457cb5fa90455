"""Ansible's host patterns: `web:&lan:!web-3`, `web[0:2]`, `*.lan`, `~web-[0-9]+`, `@file`."""

from __future__ import annotations

import fnmatch
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from swarmops.model.faults import InputError, closest
from swarmops.model.inventory.ranges import looks_like_host, split_port
from swarmops.model.inventory.types import Host, Inventory
from swarmops.model.textfile import shown

LOCALHOST = ("127.0.0.1", "localhost", "::1")
_PIECES = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?[0-9]+)|([0-9]+)[:-]([0-9]*))\]\Z")


def select(inventory: Inventory, pattern: str | None = None) -> list[Host]:
    """The hosts of a pattern, each once. None names all.

    Raises InputError when it names no host (case 53), or when a plain name in it is neither group nor host.
    """
    parts = split("all" if pattern is None else pattern)
    wanted = [p for p in parts if p[0] not in "&!"] or ["all"]
    chosen: dict[str, Host] = {}
    for part in wanted:
        lone = [inventory.hosts[part]] if part in inventory.hosts else _matches(inventory, part)
        chosen.update((host.name, host) for host in lone if host.name not in chosen)
    for part in (p for p in parts if p[0] == "&"):
        also = {host.name for host in _matches(inventory, part[1:])}
        chosen = {name: host for name, host in chosen.items() if name in also}
    for part in (p for p in parts if p[0] == "!"):
        never = {host.name for host in _matches(inventory, part[1:])}
        chosen = {name: host for name, host in chosen.items() if name not in never}
    if not chosen:
        what = f"'{pattern}' matches no host" if pattern is not None else "there is no host"
        raise InputError.one(f"{what} of {shown(inventory.path)}", hint=_hint(inventory))
    return list(chosen.values())


def split(pattern: str) -> list[str]:
    """The parts of a pattern, which commas or, where there is none, colons keep apart. Raises InputError."""
    if "," in pattern:
        parts = pattern.split(",")
    elif looks_like_host(split_port(pattern)[0]):
        parts = [pattern]  # an IPv6 address, a range, a host
    else:
        parts = _PIECES.findall(pattern)
    found = []
    for part in filter(None, map(str.strip, parts)):
        found += _from_file(part[1:]) if part[0] == "@" else [part]
    if any(not part.lstrip("&!") for part in found) or not found:
        raise InputError.one(f"'{pattern}' is not a host pattern", hint="such as web, web:&lan:!web-3 or web[0:2]")
    return found


def _from_file(name: str) -> list[str]:
    try:
        return [line.strip() for line in Path(name).read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as e:
        raise InputError.one(f"@{name} cannot be read: {getattr(e, 'strerror', None) or 'it is not text'}")


def _matches(inventory: Inventory, part: str) -> list[Host]:
    """The hosts of one part without its `&` or `!`."""
    expression, subscript = part, None
    if part[0] != "~" and (found := _SUBSCRIPT.match(part)):
        expression, subscript = found[1], found
    hosts = _named(inventory, expression, part)
    return _subscript(hosts, subscript, part) if subscript and hosts else hosts


def _named(inventory: Inventory, expression: str, part: str) -> list[Host]:
    test = _matcher(expression)
    groups = [group for name, group in inventory.groups.items() if test(name)]
    # A host of two of the groups stands here twice, and a subscript counts it twice: so does Ansible's.
    found = [inventory.hosts[host] for group in groups for host in group.all_hosts()]
    wild = expression[0] == "~" or any(c in expression for c in "?*[")
    if not groups or wild or "." in expression:
        found += [host for name, host in inventory.hosts.items() if test(name)]
    if not found and not groups and expression in LOCALHOST:
        return [_implicit(inventory, expression)]
    if not found and not groups and not wild and expression != "all":
        known = [*inventory.groups, *inventory.hosts]
        sentence = f"'{part}' is neither a group nor a host of {shown(inventory.path)}"
        raise InputError.one(sentence, hint=closest(part, known))
    return found


def _matcher(expression: str) -> Callable[[str], object]:
    try:
        regex = expression[1:] if expression[0] == "~" else fnmatch.translate(expression)
        return re.compile(regex).match
    except re.error as e:
        raise InputError.one(f"'{expression}' is not a regular expression: {e}")


def _subscript(hosts: list[Host], found: re.Match[str], part: str) -> list[Host]:
    """One of the hosts, counted from 0 or, below 0, from the end; or from one to another, both included."""
    single, start, end = found.group(2, 3, 4)
    if single is None:
        return hosts[int(start) : int(end) + 1 if end else None]
    if -len(hosts) <= int(single) < len(hosts):
        return [hosts[int(single)]]
    raise InputError.one(f"'{part}': there are {len(hosts)} hosts, counted from 0")


def _implicit(inventory: Inventory, name: str) -> Host:
    """The machine itself, when no inventory file names it; never part of a group."""
    own = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    return Host(name, vars={**inventory.groups["all"].vars, **own}, implicit=True)


def _hint(inventory: Inventory) -> str:
    groups: Iterable[str] = (name for name in inventory.groups if name not in ("all", "ungrouped"))
    names = list(groups)[:8]
    return f"groups: {', '.join(names)}" if names else ""
