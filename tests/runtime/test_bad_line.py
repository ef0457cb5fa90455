"""F14, F15: a line that is slow, and one that breaks again and again. A proxy on loopback stands for it."""

from __future__ import annotations

import contextlib
import queue
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.tasks.records import Outcome
from tests.runtime.server import Server
from tests.runtime.smoke import everything

Proxies = Callable[..., "Line"]


class Line:
    """Carries bytes to `port`: each `delay` seconds late, and cut off after a random number of them up to `breaks`."""

    def __init__(self, port: int, delay: float = 0.0, breaks: int = 0):
        self.to, self.delay, self.breaks, self.cuts = port, delay, breaks, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self._random = random.Random(7)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to))
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            left = [self._random.randrange(200, self.breaks)] if self.breaks else [1 << 60]
            for a, b in ((near, far), (far, near)):
                waiting: queue.Queue[tuple[float, bytes]] = queue.Queue()
                threading.Thread(target=self._read, args=(a, b, waiting, left), daemon=True).start()
                threading.Thread(target=self._write, args=(a, b, waiting), daemon=True).start()

    def _read(
        self, a: socket.socket, b: socket.socket, waiting: queue.Queue[tuple[float, bytes]], left: list[int]
    ) -> None:
        try:
            while data := a.recv(65536):
                left[0] -= len(data)
                if left[0] < 0:
                    self.cuts += 1
                    break
                waiting.put((time.monotonic() + self.delay, data))
        except OSError:
            pass
        waiting.put((0, b""))

    def _write(self, a: socket.socket, b: socket.socket, waiting: queue.Queue[tuple[float, bytes]]) -> None:
        while True:
            due, data = waiting.get()
            try:
                if not data:
                    raise OSError
                threading.Event().wait(max(0.0, due - time.monotonic()))
                b.sendall(data)
            except OSError:
                for one in (a, b):
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
                    one.close()
                return

    def close(self) -> None:
        self.listening.close()


@pytest.fixture
def line(server: Server) -> Iterator[Proxies]:
    made: list[Line] = []

    def make(**how: float) -> Line:
        made.append(Line(server.port, **how))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_every_room_works_80_ms_away(server: Server, line: Proxies) -> None:
    with Runtime(server.settings.but(port=line(delay=0.04).port)) as rt:
        assert everything(rt)["stats"]


def test_a_line_that_breaks_loses_and_doubles_nothing(server: Server, line: Proxies) -> None:
    """Every call is cut off sooner or later, before or after it was carried out."""
    breaking = line(breaks=6000)
    done: set[str] = set()
    with Runtime(server.settings.but(port=breaking.port, patience=60)) as rt, Runtime(server.settings) as near:
        ids = [rt.tasks.submit("noop", {"n": n}).id for n in range(300)]
        assert len(set(ids)) == 300 and near.tasks.depth().ready == 300
        while len(done) < 300:
            claimed = rt.tasks.step("w", want=7, holding=[])
            held = [near.tasks.get(stray) for stray in claimed.strays]
            assert not rt.tasks.step("w", released=[h.id for h in held]).refused
            refused = rt.tasks.step("w", [Outcome.done(t, 1) for t in claimed.tasks]).refused
            assert not [why for _, why in refused if "lease" not in why], refused
            done |= {t.id for t in claimed.tasks} - {id for id, _ in refused}
        stats = near.stats.counters("default")
    assert done == set(ids) and stats["tasks_done"] == 300 and stats["tasks_submitted"] == 300
    assert breaking.cuts > 50
