"""What only a host without root needs: ports that must be free before a deploy, and an end of all its programs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from swarmops.model import local
from swarmops.model.faults import Faults, Mark
from swarmops.model.project import Project
from swarmops.planning.plan import Plan
from swarmops.target.supervisor import Refused, Supervisor
from swarmops.target.system import Failed

LOOK = 0.3  # seconds for a port of this machine to answer
PATIENCE = 120.0  # seconds for programs to end what they have begun; each is given less by itself
LISTENS = "0A"  # a socket's state in /proc/net/tcp


def rootless(project: Project) -> bool:
    """Whether the project has a host that is deployed without root."""
    return any(local.is_rootless(host) for host in project.inventory.hosts.values())


def supervisor(project: Project) -> Supervisor | None:
    """The supervisord of the project's rootless hosts; None where none was ever deployed. Raises Failed."""
    config = Path(local.paths(True, project.name)["config"]) / "supervisord.conf"
    return Supervisor(str(config)) if config.is_file() else None


def shut_down(project: Project) -> bool:
    """End supervisord and all programs it keeps, and wait until they are gone. False where nothing ran.

    Raises Failed when it does not end.
    """
    kept = supervisor(project)
    pid = _pid(kept) if kept else 0
    if not kept or not pid:
        return False
    try:
        kept.call("shutdown")
    except (OSError, Refused):  # it hangs, or is ending already
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + PATIENCE
    while _lives(pid):
        if time.monotonic() > end:
            raise Failed(f"supervisord (pid {pid}) does not end within {PATIENCE:g} s")
        time.sleep(0.02)  # it is not our child, so nobody tells us
    return True


def _pid(kept: Supervisor) -> int:
    """The process of a supervisord, 0 when it does not run. Its pidfile may be of an earlier life."""
    try:
        pid = int(Path(kept.pidfile).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    return pid if os.fsencode(kept.config) in words and _lives(pid) else 0


def _lives(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    return _stat(pid)[:1] not in ([], ["Z"], ["X"])


def _stat(pid: int) -> list[str]:
    """What /proc/PID/stat says behind the name: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


# -- ports


def check_ports(project: Project, plans: Mapping[str, Plan]) -> None:
    """Raise InputError with every port of a rootless host that somebody else listens on."""
    faults = Faults()
    for name, plan in plans.items():
        taken = [port for port in plan.ports.values() if _answers(port)]
        who = _takers(project, taken) if taken else {}
        for role, port in plan.ports.items():
            if who.get(port):
                mark: Mark = project.inventory.hosts[name].mark_of(f"{role}_port")
                hint = f"stop it, or give {name} another {role}_port"
                faults.add(mark, f"{role}_port", f"port {port} is taken by {who[port]}", hint)
    faults.stop_if_any()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((local.LOOPBACK, port), LOOK).close()
        return True
    return False


def _takers(project: Project, ports: list[int]) -> dict[int, str]:
    """Who listens on each port, in words; "" where it is a program of this deployment."""
    kept = supervisor(project)
    ours = _pid(kept) if kept else 0
    found = dict.fromkeys(ports, "another program")
    sockets = {name: port for name, port in _listening() if port in found}
    for pid in (int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal()):
        for name in _open(pid) & sockets.keys():
            mine = ours in _parents(pid) if ours else False
            found[sockets[name]] = "" if mine else f"{_name(pid)} (pid {pid})"
    return found


def _listening() -> Iterator[tuple[str, int]]:
    """Every listening socket of this machine and its port."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for row in (line.split() for line in Path(table).read_text().splitlines()[1:]):
                if row[3] == LISTENS:
                    yield f"socket:[{row[9]}]", int(row[1].rpartition(":")[2], 16)


def _open(pid: int) -> set[str]:
    """What a process has open; nothing where we may not look."""
    found = set()
    with contextlib.suppress(OSError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(fd.readlink()))
    return found


def _parents(pid: int) -> Iterator[int]:
    while pid > 1 and (words := _stat(pid)):
        yield pid
        pid = int(words[1])


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "a program that has just ended"
