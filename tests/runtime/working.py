"""Workers for tests: in a thread here, or as processes that may be killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from swarmops.runtime import Runtime, Settings
from swarmops.runtime.op import Op
from swarmops.runtime.worker import Worker

_fork = multiprocessing.get_context("fork")


@contextlib.contextmanager
def working(rt: Runtime, handlers: Any, **more: Any) -> Iterator[Worker]:
    """A worker in a thread."""
    worker = Worker(rt.settings, handlers, **more)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(60)
        assert not thread.is_alive(), "the worker does not end"


class Process:
    """A worker process, forked: ready in a few milliseconds."""

    def __init__(self, settings: Settings, handlers: Any, name: str, **more: Any):
        self.name = name
        self._process = _fork.Process(target=_work, args=(settings, handlers, name, more), daemon=True)
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def signal(self, which: signal.Signals) -> None:
        os.kill(self.pid, which)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.join()

    def end(self, within: float = 60.0) -> int | None:
        """Its exit code, once it has ended."""
        self._process.join(within)
        return self._process.exitcode

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def close(self) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGCONT)
                self.kill()


def _work(settings: Settings, handlers: Any, name: str, more: dict[str, Any]) -> None:
    os._exit(Worker(settings, handlers, name=name, **more).run())


@contextlib.contextmanager
def processes() -> Iterator[list[Process]]:
    """A list to put processes in: what is left of them is killed at the end."""
    made: list[Process] = []
    try:
        yield made
    finally:
        for one in made:
            one.close()


def stats(rt: Runtime, queue: str = "default") -> dict[str, int]:
    key = rt.keys.queue(queue, "stats")
    flat = rt.run(Op("", (key,), ("HGETALL", key), safe=True))
    return {flat[i].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)}


def size(rt: Runtime, part: str, queue: str = "default") -> int:
    """Elements of a queue's hash or list."""
    key = rt.keys.queue(queue, part)
    command = {"fin": "LLEN", "alive": "ZCARD"}.get(part, "HLEN")
    return int(rt.run(Op("", (key,), (command, key), safe=True)))


def redis_ms(rt: Runtime) -> float:
    seconds, micros = rt.run(Op("", ("x",), ("TIME",), safe=True))
    return int(seconds) * 1000 + int(micros) / 1000


def events(rt: Runtime, what: str, queue: str = "default") -> list[tuple[int, str]]:
    """(ms, ids) of each event of this kind."""
    key = rt.keys.queue(queue, "events")
    found = []
    for at, fields in rt.run(Op("", (key,), ("XRANGE", key, "-", "+"), safe=True)):
        said = {fields[i]: fields[i + 1] for i in range(0, len(fields), 2)}
        if said[b"what"].decode() == what:
            found.append((int(at.split(b"-")[0]), said[b"id"].decode()))
    return found
