"""A source run as on a host, the controller's end of it, and a Redis to be backed up."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

from swarmops.target import backup, resp
from swarmops.target.system import System


class Loop:
    """The controller's end, in this process: keeps events and the bytes that follow each file."""

    gone = False

    def __init__(self) -> None:
        self.events: list[dict] = []
        self.files: dict[str, bytes] = {}
        self.largest = 0
        self._open = ""

    def flush(self) -> None:
        pass

    def emit(self, event: dict, now: bool = True) -> None:
        self.events.append(event)
        if event["e"] == "file":
            self._open = event["name"]
            self.files[self._open] = b""

    def emit_bytes(self, chunk: bytes) -> None:
        assert isinstance(chunk, bytes)
        self.largest = max(self.largest, len(chunk))
        self.files[self._open] += chunk

    def of(self, kind: str) -> list[dict]:
        return [e for e in self.events if e["e"] == kind]


def collect(source: str, **args: object) -> tuple[dict, Loop]:
    loop = Loop()
    item = {"id": "redis/dump", "role": "redis", "name": "dump", "source": source, "args": args, "keep": 7}
    backup.run({"backups": [item]}, System(loop))
    for event in loop.of("file"):
        data = loop.files[event["name"]]
        assert len(data) == event["size"]
        assert hashlib.sha256(data).hexdigest() == event["sha256"]
    (result,) = loop.of("backup")
    return result, loop


class SocketRedis:
    """A redis-server of one test, on a unix socket."""

    def __init__(self, folder: Path, *options: str):
        self.folder, self.socket = folder, str(folder / "s")
        self.argv = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", str(folder)]
        self.argv += ["--save", "", "--logfile", str(folder / "log"), *options]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.argv)
        end = time.monotonic() + 30
        while True:
            try:
                with self.client() as c:
                    if c.info("persistence")["loading"] == "0":
                        return
            except resp.AuthFailed:
                return
            except resp.RedisError:
                assert time.monotonic() < end, (self.folder / "log").read_text()
                time.sleep(0.01)

    def client(self, **args: str) -> resp.Client:
        return resp.connect({"socket": self.socket, **args}, time.monotonic() + 60)

    def fill(self, n: int, size: int = 10) -> None:
        with self.client() as c:
            c.many([("SET", f"swarm:{i}", os.urandom(size // 2).hex()) for i in range(n)])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
