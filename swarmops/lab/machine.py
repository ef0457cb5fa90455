"""What this machine must offer a lab, and the few calls to the kernel and its tools that the lab makes."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

STATE = Path("/var/lib/swarmops/lab")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
NEEDED_TOOLS = {
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}
BUILD_TOOLS = {"debootstrap": "debootstrap", "dpkg-scanpackages": "dpkg-dev"}
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21


class LabError(Exception):
    """The lab cannot do what was asked; the message is one sentence (or one line per fault) for the user."""


class CannotRun(LabError):
    """This machine lacks what a lab needs. `.missing` holds one line each."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__("\n".join(f"lab: {line}" for line in missing))
        self.missing = missing


def run(argv: Sequence[str], *, text: str | None = None, timeout: float = 60) -> str:
    """Runs a tool and returns its stdout. Raises LabError with its last line when it fails."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=timeout)
    except FileNotFoundError:
        raise LabError(f"{argv[0]} is not installed on this machine") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(argv)}: no end within {timeout:g} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"{' '.join(argv)}: {said[-1] if said else f'exit {done.returncode}'}")
    return done.stdout


def _syscall(name: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def enter_network(name: str) -> None:
    """Moves this process into a named network namespace (`os.setns` is there from Python 3.12 only)."""
    with open(f"/run/netns/{name}", "rb") as f:
        _syscall("setns", f.fileno(), CLONE_NEWNET)


def own_mounts() -> None:
    """Gives this process mounts of its own: the kernel takes them away with its last process."""
    _syscall("unshare", CLONE_NEWNS)
    run(["mount", "--make-rprivate", "/"])


def cgroup_roots() -> list[Path]:
    """The writable hierarchies a guest needs a group of its own in, the unified one (cgroup v2) first."""
    unified, named = [], []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified.append(Path(where))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            named.append(Path(where))
    return unified[:1] + named[:1]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive flock on `path`; waits for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _try(argv: Sequence[str]) -> bool:
    return subprocess.run(argv, capture_output=True, timeout=20).returncode == 0


def _missing_cgroups() -> list[str]:
    roots = cgroup_roots()
    if not roots:
        return ["no cgroup v2 hierarchy is mounted (mount -t cgroup2 cgroup2 /sys/fs/cgroup)"]
    lines = []
    for root in roots:
        try:
            # rmdir, not rmtree: a cgroup's files cannot be deleted one by one.
            Path(tempfile.mkdtemp(prefix="swarmops-probe-", dir=root)).rmdir()
        except OSError as e:
            lines.append(f"{root} is not writable ({e.strerror}): each host needs a cgroup of its own")
    return lines


def _missing_kernel() -> list[str]:
    lines = []
    if not Path("/dev/net/tun").is_char_device():
        lines.append("/dev/net/tun is not there (modprobe tun): WireGuard in userspace needs it")
    if not _try(["unshare", "--net", "sh", "-c", "ip link add b0 type bridge && ip link add v0 type veth"]):
        lines.append("cannot make a network namespace with a bridge and a veth (modprobe bridge veth)")
    script = (
        'set -e; d=$(mktemp -d); mount -t tmpfs t "$d"; trap \'umount -l "$d"; rmdir "$d"\' EXIT;'
        'mkdir "$d/l" "$d/u" "$d/w" "$d/m";'
        'mount -t overlay o -o lowerdir="$d/l",upperdir="$d/u",workdir="$d/w" "$d/m"; umount "$d/m"'
    )
    if not _try(["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "sh", "-c", script]):
        lines.append("cannot mount an overlay in a namespace of its own (seccomp, or no overlayfs)")
    return lines


def missing(build: bool = True) -> list[str]:
    """One line for each thing the lab needs and this machine lacks; empty when a lab can run."""
    if os.uname().sysname != "Linux":
        return [f"this is {os.uname().sysname}; the lab's hosts need Linux"]
    lines = []
    for tool, package in {**NEEDED_TOOLS, **(BUILD_TOOLS if build else {})}.items():
        if not shutil.which(tool):
            lines.append(f"{tool} is not installed (apt install {package})")
    if os.geteuid() != 0:
        return [*lines, "not root: the lab boots real hosts (sudo swarmops lab up)"]
    for bit, name in ((CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (CAP_NET_ADMIN, "CAP_NET_ADMIN")):
        if not _capabilities() >> bit & 1:
            lines.append(f"{name} is not granted: run on a machine, or in a privileged container")
    if not lines:
        lines = _missing_cgroups() + _missing_kernel()
    return lines
