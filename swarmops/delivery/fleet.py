"""Hosts in parallel: one thread each, one stream of events on the caller's thread."""

from __future__ import annotations

import getpass
import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swarmops.delivery import transport
from swarmops.delivery.access import Access
from swarmops.delivery.session import Event, Session

FORKS = 25
QUEUE = 64  # events that wait for the caller


def whoami() -> str:
    """Who runs this, as the host's lock names it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # in no passwd file, as in some containers
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()} (pid {os.getpid()})"


class Fleet:
    """Keeps one connection a host for as long as it lives, so that waves do not log in again."""

    def __init__(
        self,
        accesses: Iterable[Access],
        known_hosts: Path,
        *,
        forks: int = FORKS,
        connect_timeout: float = transport.TIMEOUT,
    ):
        self.forks = max(1, forks)
        self.run_id = secrets.token_hex(6)
        self._turns: dict[str, _Turn] = {}
        self._transports = {a.name: transport.Transport(a, known_hosts, connect_timeout) for a in accesses}

    def run(
        self,
        envelopes: Mapping[str, Mapping[str, Any]],
        contents: Mapping[str, Mapping[str, bytes | Path]] | None = None,
        deadline: float | None = None,
    ) -> Iterator[tuple[str, Event]]:
        """Play one envelope on each host named; yield (host, event) as events come.

        `contents` are each host's own: a host can ask for no other host's files.

        Every host ends with exactly one {"e": "end", "status": done | unreachable | lost | refused | broken |
        timeout, "reason": ..., "seconds": ...}. `deadline` is in seconds from now; hosts that are not done by then
        end as timeout and are left behind.
        """
        run = _Run()
        places = threading.Semaphore(self.forks)
        self._turns = {name: _Turn(places) for name in envelopes}
        began = time.monotonic()
        for name, envelope in envelopes.items():
            args = (name, envelope, (contents or {}).get(name, {}), run, self._turns[name])
            threading.Thread(target=self._one, args=args, daemon=True).start()
        open_ = set(envelopes)
        try:
            while open_:
                left = None if deadline is None else began + deadline - time.monotonic()
                try:
                    name, event = run.events.get(timeout=None if left is None else max(0.0, left))
                except queue.Empty:
                    for name in sorted(open_):
                        yield name, _late(deadline or 0.0)
                    return
                if event["e"] == "end":
                    open_.discard(name)
                yield name, event
        finally:
            run.over.set()

    def _one(
        self,
        name: str,
        envelope: Mapping[str, Any],
        contents: Mapping[str, bytes | Path],
        run: _Run,
        turn: _Turn,
    ) -> None:
        refused: list[Event] = []

        def say(event: Event) -> None:
            refused.extend([event] if event["e"] in ("refused", "stranger") else [])
            if event["e"] == "asked":
                turn.leave()
            run.say(name, event, session.keep_alive)

        with turn:
            if run.over.is_set():
                return
            began = time.monotonic()
            try:
                sent = {"host": name, "by": whoami(), "run": self.run_id, **envelope}
                if state := self._transports[name].access.state:
                    sent["state"] = state
                session = Session(self._transports[name], sent, contents, say, turn.word)
                end = session.play()
            except Exception as e:  # a fault of ours must not leave the fleet waiting
                end = {"status": "broken", "reason": f"{type(e).__name__}: {e}"}
        if refused and end["status"] == "done":
            end = {"status": "refused", "reason": _refusal(refused[0])}
        run.say(name, {"e": "end", "seconds": round(time.monotonic() - began, 3), **end})

    def tell(self, name: str, word: str) -> None:
        """The word for a host that has asked or will: "go" or "stop"."""
        self._turns[name].give(word)

    def close(self) -> None:
        for t in self._transports.values():
            t.close()


class _Turn:
    """A host's place among those at work, for as long as the block lasts, and the word that it may have to wait for.
    Whoever waits leaves its place to others, and has it again before it hears that it may go on.
    """

    def __init__(self, places: threading.Semaphore):
        self._places, self._word, self._here = places, "", False

    def __enter__(self) -> None:
        self._here = self._places.acquire()

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        if self._here:
            self._here = False
            self._places.release()

    def give(self, word: str) -> None:
        self._word = word

    def word(self) -> str | None:
        """The word, once it is given and there is a place."""
        if self._word == "go" and not self._here:
            self._here = self._places.acquire(blocking=False)
            return self._word if self._here else None
        return self._word or None


class _Run:
    """What the threads of one run share. A caller who is slow to take events slows the hosts, not our memory."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[str, Event]] = queue.Queue(QUEUE)
        self.over = threading.Event()  # nobody takes events any more

    def say(self, name: str, event: Event, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Hand over an event; call `meanwhile` every second until it is taken."""
        while not self.over.is_set():
            try:
                return self.events.put((name, event), timeout=1.0)
            except queue.Full:
                meanwhile()


def _refusal(event: Event) -> str:
    if event["e"] == "stranger":
        return f"{event['why']} (if that is right: --adopt)"
    return f"deploy held by {event.get('by')} since {event.get('since')}"


def _late(deadline: float) -> Event:
    return {"e": "end", "status": "timeout", "reason": f"not done within {deadline:g} s", "seconds": deadline}
