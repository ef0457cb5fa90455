"""What the two workers have in common: their settings, checked, and when they end."""

from __future__ import annotations

import contextlib
import re
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from os import getpid
from typing import Any

from swarmops.runtime import ids
from swarmops.runtime.settings import Settings
from swarmops.runtime.worker.handlers import Handlers
from swarmops.runtime.worker.outage import Outage, log

MOST = 64  # capabilities of one worker


class Base:
    """caps: what it can do, besides the kinds of its handlers, which are capabilities too; name: with something no
    other start of it has; every: seconds between two beats. Raises Invalid."""

    def __init__(
        self,
        handlers: Any,
        queue: str,
        name: str | None,
        caps: Sequence[str],
        threads: int,
        lease: float,
        drain_timeout: float,
    ):
        self.handlers = Handlers.of(handlers)
        self.queue, self.caps = ids.name(queue, "queue"), with_kinds(ids.names(caps, "caps"), self.handlers)
        self.name = incarnation(name)
        self.threads = int(ids.number(threads, "threads", 1, 256))
        self.lease_ms = int(ids.number(lease, "lease", 0.1, 86400) * 1000)
        self.every = min(1.0, lease / 3)
        self.drain_timeout = ids.number(drain_timeout, "drain_timeout", 0, 86400)
        self.outage = Outage()
        self.stopping = self.hurry = False
        self.refused = self.timed_out = self.exit_code = 0

    def stop(self, hurry: bool = False) -> None:
        """Claim nothing more and end when what runs is done, or drain_timeout is over (hurry: at once)."""
        self.hurry = self.hurry or hurry
        self.stopping = True
        self.ring()

    def signalled(self) -> None:
        """SIGTERM or SIGINT: the second time in a hurry."""
        self.stop(hurry=self.stopping)

    def ring(self) -> None:
        """Something happened that whoever sleeps should look at."""

    def tell_refused(self, refused: list[tuple[str, str]]) -> None:
        self.refused += len(refused)
        for id, why in refused:
            log.warning("the result of %s was refused: %s", id, why)


def with_kinds(caps: Sequence[str], handlers: Handlers) -> tuple[str, ...]:
    """`caps`, and each kind of task as one, so that a task may need its own kind; as many as there is room for."""
    kinds = sorted(kind for kind in handlers.tasks if kind not in caps)
    return tuple(sorted([*caps, *kinds[: max(0, MOST - len(caps))]]))


def incarnation(name: str | None) -> str:
    """`name` (default: host and process) and something no other start of it has: a restart is another worker."""
    if name is None:
        host = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:30] or "worker"
        name = f"{host}-{getpid()}"
    return f"{ids.name(name, 'name')[:44]}-{secrets.token_hex(4)}"


def roomy(where: Settings | str | None, connections: int) -> Settings:
    """Settings that allow so many connections."""
    settings = where if isinstance(where, Settings) else Settings.find(where)
    return settings.but(connections=max(settings.connections, connections))


@contextlib.contextmanager
def signals(told: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT call `told`, in the main thread; elsewhere nobody can say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {which: signal.signal(which, lambda *_: told()) for which in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
