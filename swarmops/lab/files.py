"""Where a lab keeps what, and the files its users log in with."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from swarmops.lab import machine
from swarmops.lab.guest import Guest
from swarmops.lab.root import HostKeys


class Files:
    """Paths of one lab, all below `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.name = home.name
        self.spec = home / "lab.json"
        self.socket = home / "control.sock"
        self.log = home / "supervisor.log"
        self.key = home / "id_ed25519"
        self.ssh_config = home / "ssh_config"
        self.controller = home / "controller"  # SWARMOPS_STATE of whatever runs in the lab
        self.known_hosts = self.controller / "known_hosts"
        self.lock = home.parent / f".{home.name}.lock"

    @classmethod
    def of(cls, name: str) -> Files:
        return cls(machine.STATE / name)

    def host(self, name: str) -> Path:
        return self.home / "hosts" / name

    def host_keys(self, name: str) -> HostKeys:
        return HostKeys(self.host(name) / "ssh_host_ed25519_key", f"lab {name}")

    def console(self, name: str) -> Path:
        return self.host(name) / "console.log"

    def disk(self, name: str) -> Path:
        return self.home / "disks" / name

    def cgroups(self, name: str | None = None) -> list[Path]:
        """The groups of a host, the unified (v2) one first; without a name those of the whole lab."""
        whole = [root / "swarmops" / self.name for root in machine.cgroup_roots()]
        return [g / name for g in whole] if name else whole

    def read_spec(self) -> dict[str, Any]:
        return json.loads(self.spec.read_text())

    def forget_records(self) -> None:
        """Drops what deploys recorded about the hosts (peers, machine ids): they become other machines."""
        for item in self.controller.iterdir():
            if item != self.known_hosts:
                shutil.rmtree(item) if item.is_dir() else item.unlink()

    def write_logins(self, guests: Sequence[Guest]) -> None:
        """Writes the lab's key, `ssh_config` and `known_hosts`; keys that exist are kept."""
        self.controller.mkdir(parents=True, exist_ok=True)
        HostKeys(self.key, f"lab {self.name}")
        known, config = [], []
        for guest in guests:
            public = " ".join(self.host_keys(guest.name).public.split()[:2])
            names = dict.fromkeys((guest.name, guest.address, *guest.aliases))
            shown = [n if guest.port == 22 else f"[{n}]:{guest.port}" for n in names]
            known.append(f"{','.join(shown)} {public}\n")
            config.append(f"Host {' '.join(names)}\n    HostName {guest.address}\n")
            config.append(f"    Port {guest.port}\n    User {guest.user}\n")
        self.known_hosts.write_text("".join(known))
        config.append(
            f"Host *\n    IdentityFile {self.key}\n    IdentitiesOnly yes\n"
            f"    UserKnownHostsFile {self.known_hosts}\n    GlobalKnownHostsFile /dev/null\n"
            "    StrictHostKeyChecking yes\n"
        )
        self.ssh_config.write_text("".join(config))


class Lock:
    """Held by a lab's supervisor, then by its cleaner: when it is free, nothing of the lab is running."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = -1

    def take(self, wait: bool = False) -> bool:
        """True when it is ours now."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self.handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                # The file goes away with each lab: what we locked may be no file any more.
                if self.path.exists() and self.path.stat().st_ino == os.fstat(self.handle).st_ino:
                    return True
                os.close(self.handle)
            except BlockingIOError:
                os.close(self.handle)
                return False
            except FileNotFoundError:
                os.close(self.handle)

    def release(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self.handle)


def labs() -> Iterator[str]:
    """Names of the labs that have state on this machine, running or not."""
    for folder in sorted(machine.STATE.glob("*/lab.json")):
        yield folder.parent.name
