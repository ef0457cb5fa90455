"""A host's root file system: an overlay on the image, kept in memory, with the host's identity in it."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from swarmops.lab.guest import Guest, gateways, subnet
from swarmops.lab.machine import LabError, run

DISK = 4 << 30  # bytes a host may write; memory is used only for what it does write
UID = 1000


def mount(place: Path, image: Path) -> Path:
    """Mounts a fresh root for a host at `place`/root, which only the caller's mount namespace can see."""
    place.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "lab-disk", str(place)])
    for folder in ("upper", "work", "root"):
        (place / folder).mkdir()
    layers = f"lowerdir={image},upperdir={place}/upper,workdir={place}/work"
    run(["mount", "-t", "overlay", "-o", layers, "lab-root", str(place / "root")])
    return place / "root"


def unmount(place: Path) -> None:
    """Throws the host's disk away. Lazy, as a process outside (`lab exec`) may still stand in it."""
    for where in (place / "root", place):
        subprocess.run(["umount", "-l", str(where)], capture_output=True, check=False)


def limit(place: Path, free: int | None) -> None:
    """Leaves `free` bytes on the host's disk, by shrinking it to what is used; None undoes it."""
    for tries_left in reversed(range(10)):
        disk = os.statvfs(place)
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        # tmpfs reads size=0 as "no limit", hence at least a page.
        size = DISK if free is None else max(used + free, 4096)
        try:
            run(["mount", "-o", f"remount,size={size}", str(place)])
            return
        except LabError:  # the host wrote between our look and the kernel's
            if not tries_left:
                raise


def write(root: Path, name: str, text: str, mode: int = 0o644, owner: int = 0) -> None:
    """Writes one file of a host that is not running yet."""
    file = root / name
    missing = [p for p in file.parents if not p.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    for path in (file, *missing):
        os.chown(path, owner, owner)


def identify(root: Path, guest: Guest, guests: Sequence[Guest], keys: HostKeys, admin: str) -> None:
    """Makes the fresh root this host: name, address, SSH host key, the user and who may log in."""
    write(root, "etc/hostname", f"{guest.name}\n")
    write(root, "etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    known = "".join(f"{g.address}\t{' '.join((g.name, *g.aliases))}\n" for g in guests)
    write(root, "etc/hosts", f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n{known}")
    net = subnet(guest)
    gateway = gateways(guests)[str(net)]
    write(root, "etc/lab-network", f"ADDRESS={guest.address}/{net.prefixlen}\nGATEWAY={gateway}\n")
    write(root, "etc/ssh/ssh_host_ed25519_key", keys.private, 0o600)
    write(root, "etc/ssh/ssh_host_ed25519_key.pub", f"{keys.public}\n")
    if guest.port != 22:
        write(root, "etc/ssh/sshd_config.d/00-lab-port.conf", f"Port {guest.port}\n")
    write(root, "root/.ssh/authorized_keys", f"{admin}\n", 0o600)
    (root / "root/.ssh").chmod(0o700)
    if guest.user != "root":
        _user(root, guest.user, admin)


def _user(root: Path, name: str, admin: str) -> None:
    for file, line, mode in (
        ("etc/passwd", f"{name}:x:{UID}:{UID}::/home/{name}:/bin/bash\n", 0o644),
        ("etc/group", f"{name}:x:{UID}:\n", 0o644),
        ("etc/shadow", f"{name}:*:20000:0:99999:7:::\n", 0o640),
    ):
        with open(root / file, "a") as f:
            f.write(line)
        (root / file).chmod(mode)
    write(root, f"home/{name}/.ssh/authorized_keys", f"{admin}\n", 0o600, UID)
    os.chown(root / "home", 0, 0)
    (root / f"home/{name}/.ssh").chmod(0o700)
    write(root, "etc/sudoers.d/lab", f"{name} ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)


class HostKeys:
    """An ed25519 key pair in OpenSSH's format, kept in a folder of the lab (made on first use)."""

    def __init__(self, file: Path, comment: str) -> None:
        if not file.exists():
            self._make(file, comment)
        self.private = file.read_text()
        self.public = file.with_suffix(".pub").read_text().strip()

    @staticmethod
    def _make(file: Path, comment: str) -> None:
        from cryptography.hazmat.primitives import serialization as s
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.OpenSSH, s.NoEncryption())
        public = key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".pub").write_bytes(public + f" {comment}\n".encode())
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as f:
            f.write(private)
