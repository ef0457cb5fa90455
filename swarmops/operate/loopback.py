"""Services that listen on their host's loopback only, and the SSH that brings their port here (S4-07, S4-08)."""

from __future__ import annotations

import shlex
from typing import Any

from swarmops.model import local
from swarmops.model.addresses import address
from swarmops.model.inventory import Host
from swarmops.model.project import Project

PORTS = {"redisinsight": 8002, "vnc": 6080, "ollama": 11434}  # role -> its port where nothing else is said
PATHS = {"vnc": "/vnc.html", "ollama": "/api/tags"}


def doors(project: Project) -> list[dict[str, Any]]:
    """As the rows of `status.urls`; `tunnel` among `more` is the command after which the URL answers here."""
    placed, told = project.distributed.hosts_of(project.inventory), project.distributed.services
    found = []
    for role, usual in PORTS.items():
        for host in placed.get(role, []):
            port = host.vars.get(f"{role}_port", told.get(role, {}).get("port", usual))
            more = {} if local.is_local(host) else {"tunnel": tunnel(host, port)}
            url = f"http://127.0.0.1:{port}{PATHS.get(role, '/')}"
            found.append({"service": role, "node": host.name, "url": url, "more": more})
    return found


def tunnel(host: Host, port: Any) -> str:
    """An `ssh -L` for this host."""
    user, at = host.vars.get("ansible_user"), address(host)
    ssh_port = str(host.vars.get("ansible_port", 22))
    words = ["ssh", "-L", f"{port}:127.0.0.1:{port}", *(["-p", ssh_port] if ssh_port != "22" else [])]
    return shlex.join([*words, f"{user}@{at}" if user else at])
