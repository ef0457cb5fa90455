"""How often a worker tries while Redis is away: all its threads together at most four times a second, with jitter."""

from __future__ import annotations

import logging
import random
import threading
import time

from swarmops.runtime.errors import Misconfigured, SwarmError, Unavailable

log = logging.getLogger("swarmops.worker")
LEAST, MOST = 0.25, 0.4  # seconds between two tries
HOPELESS = {"login", "certificate", "tls", "permission"}  # at the start: a mistake, not an outage


class Outage:
    """Shared by the threads of one worker. `tries` counts those that failed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._up = threading.Event()
        self._up.set()
        self._next = self._since = self._said_at = 0.0
        self._said = ""
        self.tries = 0

    @property
    def away(self) -> bool:
        return not self._up.is_set()

    def slot(self) -> float:
        """Seconds until the caller may try; its place in the line is taken."""
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + random.uniform(LEAST, MOST)
            return at - now

    def free(self) -> bool:
        """Whether one may try at once; if so the place is taken."""
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return False
            self._next = now + random.uniform(LEAST, MOST)
            return True

    def wait(self) -> None:
        """Returns when the caller may try: at once when Redis is known to be back."""
        self._up.wait(self.slot())

    def failed(self, e: Exception) -> None:
        """A try failed. Says so once, and again every minute or when the reason changes."""
        with self._lock:
            now = time.monotonic()
            self.tries += 1
            if self._up.is_set():
                self._up.clear()
                self._since = now
                self._next = now + random.uniform(LEAST, MOST)
            said = str(e) if isinstance(e, SwarmError) else f"{type(e).__name__}: {e}"
            if said == self._said and now - self._said_at < 60:
                return
            self._said, self._said_at = said, now
        log.warning("%s (the worker goes on trying)", said, exc_info=None if isinstance(e, SwarmError) else e)

    def fine(self) -> None:
        """A try succeeded."""
        if self._up.is_set():
            return
        with self._lock:
            if self._up.is_set():
                return
            lasted = time.monotonic() - self._since
            self._next, self._said = 0.0, ""
            self._up.set()
        log.warning("Redis is back after %.1f s", lasted)


def is_hopeless(e: Exception) -> bool:
    """At the start of a worker: the settings are wrong, so that trying again would only hide it."""
    return isinstance(e, Misconfigured) or (isinstance(e, Unavailable) and e.kind in HOPELESS)
