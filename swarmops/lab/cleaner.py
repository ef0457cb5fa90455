"""Takes away whatever a lab leaves on the machine, however its supervisor ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

from swarmops.lab import machine, network
from swarmops.lab.files import Files, Lock, labs

INOTIFY_NEEDED = 1024
INOTIFY_WAS = ".inotify"


def watch_over(files: Files, lock: Lock) -> int:
    """Forks the process that cleans up once its parent, the supervisor, is gone.

    Returns a handle to keep open. The child shares the lab's lock: it is free only when all is clean.
    """
    ours, theirs = os.pipe()
    if os.fork():
        os.close(ours)
        return theirs
    os.close(theirs)
    try:
        os.setsid()
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1):  # stderr stays the log; the others would keep `up` waiting
            os.dup2(null, standard)
        os.read(ours, 1)  # ends when the supervisor does
        clean(files)
        lock.release()
    finally:
        os._exit(0)


def clean(files: Files) -> None:
    """Ends a lab's processes; removes its namespaces, cgroups, sysctl and files. Call it locked."""
    for group in files.cgroups():
        _empty(group)
    network.remove(files.name)
    for nspawn in _nspawn_traces(files):
        shutil.rmtree(nspawn, ignore_errors=True)
    shutil.rmtree(files.home, ignore_errors=True)
    with machine.locked(machine.STATE / ".inotify.lock"):
        _restore_inotify()


def _nspawn_traces(files: Files) -> list[Path]:
    """nspawn has no time to tidy up when it is killed."""
    hosts = files.read_spec()["guests"] if files.spec.exists() else []
    names = [network.machine_name(files.name, i) for i in range(len(hosts))]
    return [p for n in names for p in Path("/run/systemd/nspawn").glob(f"*/{n}")]


def _empty(group: Path) -> None:
    """Kills what runs in a cgroup and below, then removes it. Only ever given a group of the lab's own."""
    deadline = time.monotonic() + 10
    while group.is_dir():
        folders = [Path(p) for p, _, _ in os.walk(group, topdown=False)]
        for folder in folders:
            with contextlib.suppress(OSError, ValueError):
                (folder / "cgroup.freeze").write_text("0")
            with contextlib.suppress(OSError, ValueError):
                for pid in (folder / "cgroup.procs").read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):
                folder.rmdir()
        if group.is_dir():
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)  # the kernel says nothing when a v1 group has emptied
    with contextlib.suppress(OSError):
        group.parent.rmdir()  # `swarmops` itself, if this was the last lab


def raise_inotify() -> None:
    """Lets every systemd of every lab watch its files (6 instances each; the default of 128 is 20 hosts)."""
    with machine.locked(machine.STATE / ".inotify.lock"):
        now = int(machine.INOTIFY.read_text())
        if now < INOTIFY_NEEDED:
            (machine.STATE / INOTIFY_WAS).write_text(json.dumps(now))
            machine.INOTIFY.write_text(str(INOTIFY_NEEDED))


def _restore_inotify() -> None:
    was = machine.STATE / INOTIFY_WAS
    if was.exists() and not list(labs()):
        machine.INOTIFY.write_text(was.read_text())
        was.unlink()
