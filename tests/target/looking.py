"""Checks as on a host, and servers of a test's own for them to look at."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from pathlib import Path

import swarmops.target.health as health
from tests.waiting import until

PASSWORD = "canary-5b1f0c7de2"


def look(probe: str, within: float = 20.0, **args) -> dict:
    """One check through the engine, as on a host."""
    checks = [{"id": "role/one", "probe": probe, "args": args, "within": within}]
    (event,) = health.results(checks, health.Context(checks))
    assert event["e"] == "check" and event["id"] == "role/one"
    return event


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def listener(speak):
    """A TCP server on loopback; `speak(connection)` runs for each visitor in a thread."""
    server = socket.create_server(("127.0.0.1", 0))
    kept = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            kept.append(connection)
            threading.Thread(target=speak, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)  # or else its thread waits for a visitor for ever
        server.close()
        for connection in kept:
            connection.close()


def silent(connection: socket.socket) -> None:
    """Accepts and never says a word, as a frozen server."""


# -- redis


class Redis:
    """A redis-server of this test's own on loopback and a unix socket."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.port, self.socket = folder, free_port(), folder / "redis.sock"
        argv = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        argv += ["--unixsocket", str(self.socket), "--save", "", *options]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: "refused" not in look("tcp", port=self.port)["detail"])

    def cli(self, *words: str) -> str:
        argv = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
