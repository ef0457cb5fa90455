"""Hosts of these tests: the real target code in this process, on real files and a real redis-server."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from swarmops.backups.collect import Outcome, collect
from swarmops.target import backup, resp
from swarmops.target.system import System

Event = dict


class Link:
    """The wire without a wire: keeps events as the controller gets them, hands out contents."""

    gone = False
    on_beat = None

    def __init__(self, contents: Mapping[str, bytes] | None = None):
        self.events: list[Event] = []
        self.contents = contents or {}

    def flush(self) -> None:
        pass

    def emit(self, event: Event, now: bool = True) -> None:
        if event["e"] != "need":
            self.events.append(event)

    def emit_bytes(self, chunk: bytes) -> None:
        self.events.append({"e": "bytes", "n": len(chunk), "data": chunk})

    def content(self, sha: str) -> bytes:
        return self.contents[sha]


def play(envelope: Event, contents: Mapping[str, bytes] | None = None, make: Callable = System) -> list[Event]:
    """What a host sends for an envelope."""
    link = Link(contents)
    backup.run(envelope, make(link))
    return [*link.events, {"e": "end", "status": "done", "ok": True}]


def run(envelopes: dict[str, Event]) -> Iterator[tuple[str, Event]]:
    """All hosts, their events mixed as on a real network."""
    streams = {name: iter(play(envelope)) for name, envelope in envelopes.items()}
    while streams:
        for name in list(streams):
            event = next(streams[name], None)
            if event is None:
                del streams[name]
            else:
                yield name, event


def files_item(*paths: object, name: str = "config") -> Event:
    args = {"paths": [str(p) for p in paths]}
    return {"id": f"app/{name}", "role": "app", "name": name, "source": "files", "args": args, "keep": 7}


def redis_item(socket: str, **args: object) -> Event:
    return {
        "id": "redis/redis dump",
        "role": "redis",
        "name": "redis dump",
        "source": "redis_dump",
        "args": {"socket": socket, **args},
        "keep": 7,
    }


def gather(to: Path, items: dict[str, list[Event]], **more: object) -> Outcome:
    more.setdefault("run", run)
    return collect(to, "swarm", "lan", items, **more)  # type: ignore[arg-type]


def says(*events: Event, host: str = "web-1") -> Callable:
    """A `run` in which a host says just these events."""
    closing = [] if events and events[-1]["e"] == "end" else [{"e": "end", "status": "done", "ok": True}]

    def run(envelopes: dict) -> Iterator[tuple[str, Event]]:
        for event in [*events, *closing]:
            yield host, event

    return run


def file_event(name: object = "a", data: bytes = b"data", **more: object) -> Event:
    sha = hashlib.sha256(data).hexdigest()
    return {"e": "file", "backup": "app/config", "name": name, "size": len(data), "sha256": sha, "mode": 0o644, **more}


def bytes_event(data: bytes = b"data") -> Event:
    return {"e": "bytes", "n": len(data), "data": data}


OK = {"e": "backup", "id": "app/config", "ok": True, "facts": {}}


class Redis:
    """A redis-server on a unix socket in a folder of its own, whose path is short."""

    def __init__(self, *options: str):
        made = subprocess.check_output(["mktemp", "-d", "/tmp/bk.XXXXXX"], text=True)
        self.folder = Path(made.strip())
        self.socket = str(self.folder / "s")
        self.argv = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", str(self.folder)]
        self.argv += ["--save", "", "--logfile", str(self.folder / "log"), *options]
        self.process: subprocess.Popen | None = None
        self.start()

    def __enter__(self) -> Redis:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def start(self, wait: bool = True) -> None:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(self.argv)
        end = time.monotonic() + 30
        while wait:
            try:
                with self.client() as c:
                    if c.info("persistence")["loading"] == "0":
                        return
            except resp.RedisError:
                assert time.monotonic() < end, (self.folder / "log").read_text()
                time.sleep(0.01)

    def client(self) -> resp.Client:
        return resp.connect({"socket": self.socket}, time.monotonic() + 60)

    def fill(self, n: int, prefix: str = "k", lives_ms: int = 3_600_000) -> None:
        """`n` keys, a hash, and a key that lives so long."""
        with self.client() as c:
            c.many([("SET", f"{prefix}:{i}", os.urandom(8).hex()) for i in range(n)])
            c.many([("HSET", f"{prefix}:h", "a", "1"), ("SET", f"{prefix}:ttl", "1", "PX", str(lives_ms))])

    def keys(self) -> int:
        with self.client() as c:
            return c.call("DBSIZE")

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()
