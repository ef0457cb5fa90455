"""How to log in to a host: what the inventory's connection variables and ssh_config say, in one place."""

from __future__ import annotations

import getpass
import glob
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from swarmops.model import local
from swarmops.model.faults import InputError, Mark
from swarmops.model.inventory import Host
from swarmops.model.secrets import Secret, Store, UnknownSecret

DISCOVERED = ("auto", "auto_silent", "auto_legacy", "auto_legacy_silent")  # Ansible looks for it; we take python3


@dataclass(frozen=True)
class Hop:
    """One SSH server on the way: where it listens and as whom to log in."""

    address: str
    port: int = 22
    user: str | None = None
    keys: tuple[str, ...] = ()
    agent: bool = True

    @property
    def place(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Access:
    """The way to one host."""

    name: str
    hop: Hop
    jumps: tuple[Hop, ...] = ()
    proxy_command: str | None = None
    python: str = "python3"
    become: bool = False
    local: bool = False  # this machine: nothing to log in to
    state: str = ""  # where the host keeps what it remembers of us; "" is its own default
    password: Secret | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        if self.local:
            return HERE
        user = f"{self.hop.user}@" if self.hop.user else ""
        return f"{user}{self.hop.place}"


HERE = "this machine"


@cache
def ssh_config() -> Any:
    """The user's ssh_config, or the one that SWARMOPS_SSH_CONFIG names (like `ssh -F`). Raises InputError."""
    from paramiko import SSHConfig
    from paramiko.ssh_exception import SSHException

    named = os.environ.get("SWARMOPS_SSH_CONFIG")
    config = SSHConfig()
    for path in [Path(named)] if named else [Path.home() / ".ssh/config", Path("/etc/ssh/ssh_config")]:
        if path.is_file():
            base = Path("/etc/ssh") if path.parent == Path("/etc/ssh") else Path.home() / ".ssh"
            try:
                config.parse(io.StringIO("\n".join([*_lines(path, base), "Host *", ""])))
            except (SSHException, OSError) as e:
                raise InputError.one(f"this ssh_config cannot be read: {e}", mark=Mark(str(path))) from None
    return config


def _lines(path: Path, base: Path, depth: int = 0) -> Iterator[str]:
    """The lines of an ssh_config with its Includes in place. Paramiko does not know Include.

    After an Include the block around it goes on, so its head is said again.
    """
    head = "Host *"
    for line in path.read_text(errors="replace").splitlines():
        word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if word.lower() in ("host", "match"):
            head = line
        if word.lower() != "include":
            yield line
            continue
        if depth >= 16:
            raise InputError.one("Include goes deeper than 16 files", mark=Mark(str(path)))
        for pattern in shlex.split(rest):
            full = str(Path(pattern).expanduser()) if pattern[:1] in "~/" else str(base / pattern)
            for found in sorted(glob.glob(full)):  # noqa: PTH207 - an absolute pattern  # noqa: PTH207 (a pattern may be absolute)
                if Path(found).is_file():
                    yield from _lines(Path(found), base, depth + 1)
        yield head


def access_to(host: Host, store: Store | None = None) -> Access:
    """The way to `host`. Connection variables win over ssh_config, as in Ansible. Raises InputError."""
    if local.is_local(host):
        return _here(host, store)
    from paramiko.ssh_exception import ConfigParseError

    try:
        return _access_to(host, store)
    except UnknownSecret as e:
        raise InputError.one(e.sentence, path=f"{host.name}.ansible_become_password", hint=e.hint) from None
    except (ValueError, ConfigParseError) as e:
        raise InputError.one(f"its connection variables: {e}", path=host.name) from None


def _here(host: Host, store: Store | None) -> Access:
    """The way to this machine. Root by sudo where the inventory says so, as on any host. Raises InputError."""
    v = host.vars
    python = str(v.get("ansible_python_interpreter") or sys.executable)
    try:
        password = _secret(v.get("ansible_become_password") or v.get("ansible_become_pass"), store)
    except UnknownSecret as e:
        raise InputError.one(e.sentence, path=f"{host.name}.ansible_become_password", hint=e.hint) from None
    rootless = local.is_rootless(host)
    return Access(
        name=host.name,
        hop=Hop(HERE),
        python=shlex.join([sys.executable] if python in DISCOVERED else shlex.split(python)),
        become=not rootless and os.geteuid() != 0,
        local=True,
        state=local.engine_state(store.deployment if store else local.UNNAMED) if rootless else "",
        password=password,
    )


def _access_to(host: Host, store: Store | None) -> Access:
    v = host.vars
    options = _common_args(f"{v.get('ansible_ssh_common_args', '')} {v.get('ansible_ssh_extra_args', '')}")
    address = str(v.get("ansible_host") or host.name).strip("[]")
    found = ssh_config().lookup(address)
    hop = _hop(address, v, found, options)
    jump = options.get("proxyjump", found.get("proxyjump", "none"))
    command = options.get("proxycommand")
    proxy = found.get("proxycommand", "none") if command is None else _expand(command, address, hop)
    secret = v.get("ansible_become_password") or v.get("ansible_become_pass")
    python = str(v.get("ansible_python_interpreter") or "python3")
    return Access(
        name=host.name,
        hop=hop,
        jumps=_jumps(jump, ()),
        proxy_command=None if proxy.lower() == "none" else proxy,
        python="python3" if python in DISCOVERED else shlex.join(shlex.split(python)),
        become=local.truth(v.get("ansible_become", False)) and hop.user != "root",
        password=_secret(secret, store),
    )


def _expand(command: str, address: str, hop: Hop) -> str:
    """The tokens of a ProxyCommand that is not from ssh_config, where Paramiko expands them."""
    tokens = {"h": hop.address, "n": address, "p": str(hop.port), "r": hop.user or getpass.getuser(), "%": "%"}
    return re.sub(r"%([hnpr%])", lambda m: tokens[m[1]], command)


def _secret(value: Any, store: Store | None) -> Secret | None:
    if isinstance(value, dict) and set(value) == {"secret"} and store is not None:
        return store.get(value["secret"])
    return value if isinstance(value, Secret) else None


def _hop(address: str, v: dict, found: dict, options: dict) -> Hop:
    keys = [v["ansible_ssh_private_key_file"]] if v.get("ansible_ssh_private_key_file") else []
    keys += options.get("identityfiles", [])
    keys = keys or list(found.get("identityfile", []))
    only = options.get("identitiesonly", found.get("identitiesonly", "no")).lower() == "yes"
    port = str(v.get("ansible_port") or options.get("port") or found.get("port") or 22)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"'{port}' is not a port")
    return Hop(
        address=options.get("hostname") or found.get("hostname", address),
        port=int(port),
        user=v.get("ansible_user") or options.get("user") or found.get("user"),
        keys=tuple(str(Path(k).expanduser()) for k in keys),
        agent=not only,
    )


def _jumps(text: str, seen: tuple[str, ...]) -> tuple[Hop, ...]:
    """The hops of a ProxyJump. The first one's own ProxyJump comes before it, as with ssh."""
    if text.strip().lower() == "none":
        return ()
    first, *rest = (_jump(part) for part in text.split(","))
    name = first[0]
    if name in seen:
        raise ValueError(f"ProxyJump goes round in a circle: {' -> '.join([*seen, name])}")
    before = _jumps(ssh_config().lookup(name).get("proxyjump", "none"), (*seen, name))
    return (*before, first[1], *(hop for _, hop in rest))


def _jump(text: str) -> tuple[str, Hop]:
    """`[ssh://][user@]host[:port]` of a ProxyJump, looked up in ssh_config as ssh does: (the name given, the hop)."""
    user, _, place = text.strip().removeprefix("ssh://").rstrip("/").rpartition("@")
    m = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+)(?::(\d+))?|([0-9a-fA-F:.]+(?:%\w+)?)", place)
    if not m:
        raise ValueError(f"ProxyJump: '{text.strip()}' is not [user@]host[:port]")
    name = m[1] or m[3] or m[5]
    given = {"ansible_user": user or None, "ansible_port": m[2] or m[4]}
    return name, _hop(name, given, ssh_config().lookup(name), {})


def _common_args(text: str) -> dict[str, Any]:
    """The options of ansible_ssh_common_args that matter to us, with lower-case names. As with ssh, the first one
    counts; of IdentityFile all do, under `identityfiles`. Raises ValueError."""
    words = shlex.split(text)
    options: dict[str, Any] = {}
    keys: list[str] = []
    short = {"-J": "proxyjump", "-p": "port", "-i": "identityfile", "-l": "user"}
    i = 0
    while i < len(words):
        word = words[i]
        flag, value = word[:2], word[2:]
        if flag == "-o" or flag in short:
            if not value:
                i += 1
                value = words[i] if i < len(words) else ""
            name = short.get(flag)
            if flag == "-o":
                m = re.fullmatch(r"\s*(\w+)(?:\s*=\s*|\s+)(.*?)\s*", value, re.S)
                name, value = (m[1].lower(), m[2]) if m else ("", "")
            if name == "identityfile":
                keys.append(value)
            elif name:
                options.setdefault(name, value)
        i += 1
    return {**options, "identityfiles": keys} if keys else options
