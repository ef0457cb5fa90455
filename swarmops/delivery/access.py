"""How to log in to a host: what the inventory's connection variables and ssh_config say, in one place."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from swarmops.model.inventory import Host
from swarmops.model.secrets import Secret, Store


@dataclass(frozen=True)
class Hop:
    """One SSH server on the way: where it listens and as whom to log in."""

    address: str
    port: int = 22
    user: str | None = None
    keys: tuple[str, ...] = ()
    agent: bool = True


@dataclass(frozen=True)
class Access:
    """The way to one host."""

    name: str
    hop: Hop
    jumps: tuple[Hop, ...] = ()
    proxy_command: str | None = None
    python: str = "python3"
    become: bool = False
    password: Secret | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        user = f"{self.hop.user}@" if self.hop.user else ""
        return f"{user}{self.hop.address}:{self.hop.port}"


@cache
def ssh_config() -> Any:
    """The user's ssh_config, or the one that SWARMOPS_SSH_CONFIG names (like `ssh -F`)."""
    from paramiko import SSHConfig

    named = os.environ.get("SWARMOPS_SSH_CONFIG")
    config = SSHConfig()
    for path in [Path(named)] if named else [Path.home() / ".ssh/config", Path("/etc/ssh/ssh_config")]:
        if path.is_file():
            with open(path) as f:
                config.parse(f)
    return config


def access_to(host: Host, store: Store | None = None) -> Access:
    """The way to `host`. Connection variables win over ssh_config, as in Ansible."""
    v = host.vars
    options = _common_args(
        str(v.get("ansible_ssh_common_args", "")) + " " + str(v.get("ansible_ssh_extra_args", ""))
    )
    found = ssh_config().lookup(str(v.get("ansible_host") or host.name))
    hop = _hop(str(v.get("ansible_host") or host.name), v, found, options)
    jump = options.get("proxyjump", found.get("proxyjump", "none"))
    command = options.get("proxycommand", found.get("proxycommand", "none"))
    secret = v.get("ansible_become_password") or v.get("ansible_become_pass")
    return Access(
        name=host.name,
        hop=hop,
        jumps=() if jump.lower() == "none" else tuple(_jump(j) for j in jump.split(",")),
        proxy_command=None if command.lower() == "none" else command,
        python=str(v.get("ansible_python_interpreter", "python3"))
        .replace("auto_silent", "python3")
        .replace("auto", "python3"),
        become=bool(v.get("ansible_become", False)) and hop.user != "root",
        password=_secret(secret, store),
    )


def _secret(value: Any, store: Store | None) -> Secret | None:
    if isinstance(value, dict) and set(value) == {"secret"} and store is not None:
        return store.get(value["secret"])
    return value if isinstance(value, Secret) else None


def _hop(address: str, v: dict, found: dict, options: dict) -> Hop:
    keys = [v["ansible_ssh_private_key_file"]] if v.get("ansible_ssh_private_key_file") else []
    keys += [options["identityfile"]] if "identityfile" in options else []
    keys = keys or list(found.get("identityfile", []))
    only = options.get("identitiesonly", found.get("identitiesonly", "no")).lower() == "yes"
    return Hop(
        address=found.get("hostname", address),
        port=int(v.get("ansible_port") or options.get("port") or found.get("port") or 22),
        user=v.get("ansible_user") or options.get("user") or found.get("user"),
        keys=tuple(str(Path(k).expanduser()) for k in keys),
        agent=not only,
    )


def _jump(text: str) -> Hop:
    """`user@host:port` of a ProxyJump, looked up in ssh_config as ssh does."""
    m = re.fullmatch(r"(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]]+\]|[^:]+)(?::(?P<port>\d+))?", text.strip())
    if not m:
        return Hop(text.strip())
    found = ssh_config().lookup(m["host"].strip("[]"))
    given = {"ansible_user": m["user"], "ansible_port": m["port"]}
    return _hop(m["host"].strip("[]"), given, found, {})


def _common_args(text: str) -> dict[str, str]:
    """The options of ansible_ssh_common_args that matter to us, with lower-case names."""
    words, options = shlex.split(text), {}
    short = {"-J": "proxyjump", "-p": "port", "-i": "identityfile", "-l": "user"}
    i = 0
    while i < len(words):
        word = words[i]
        if word == "-o" or word.startswith("-o"):
            pair = words[i + 1] if word == "-o" and i + 1 < len(words) else word[2:]
            i += word == "-o"
            name, _, value = pair.replace("=", " ", 1).partition(" ")
            options[name.lower()] = value.strip()
        elif word[:2] in short:
            value = word[2:] or (words[i + 1] if i + 1 < len(words) else "")
            i += not word[2:]
            options[short[word[:2]]] = value
        i += 1
    return options
