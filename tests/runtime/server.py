"""A redis-server of a test's own: on loopback, in a folder of its own, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from swarmops.runtime import Settings

PROGRAM = os.environ.get("SWARMOPS_TEST_REDIS") or shutil.which("redis-server")

# Every answer is on disk: with everysec a write may wait for a slow fsync, and kill -9 would take it along.
SURE = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")


def _old() -> bool:
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout if PROGRAM else ""
    return " v=6." in said


modern = pytest.mark.skipif(_old(), reason="this Redis is older than 7.0: no TLS in it, no cluster ports")


class Server:
    """`start` waits until it answers. `kill` is kill -9; `stop` and `go_on` are SIGSTOP and SIGCONT."""

    def __init__(self, folder: Path, *options: str, port: int | None = None, program: str | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, port or free_port()
        self.program = program or PROGRAM or "redis-server"
        self.options = options or ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
        self.config: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def settings(self) -> Settings:
        return Settings(port=self.port)

    def start(self) -> Server:
        argv = [
            self.program,
            *([str(self.config)] if self.config else []),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
        ]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([*argv, "--loglevel", "warning", *self.options], stdout=log, stderr=log)
        self.wait()
        return self

    def wait(self, within: float = 30.0) -> None:
        """Until PING is answered, or refused for want of a login."""
        end = time.monotonic() + within
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as talk:
                    talk.settimeout(1)
                    talk.sendall(b"PING\r\n")
                    if talk.recv(7)[:5] in (b"+PONG", b"-NOAU", b"-NOPE"):
                        return
            except OSError:
                pass
            assert self.process and self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, "redis-server does not answer"
            time.sleep(0.01)

    def _signal(self, which: int) -> None:
        assert self.process
        os.kill(self.process.pid, which)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        assert self.process
        self.process.wait()

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    @contextlib.contextmanager
    def away(self, seconds: float) -> Iterator[None]:
        """Killed now, and started again so many seconds later, while the test goes on."""
        self.kill()
        back = threading.Timer(seconds, self.start)
        back.start()
        try:
            yield
        finally:
            back.join()

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGKILL)
            self.process.wait()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
