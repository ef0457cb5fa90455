"""The guard around a call, and the breaker within a process that stands in while Redis is away (F14)."""

from __future__ import annotations

import random
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from swarmops.runtime.breaker.records import VERBS, Limits, Open, Permit
from swarmops.runtime.errors import Unavailable
from swarmops.runtime.flow import Batch, Steps, drive_async, drive_sync
from swarmops.runtime.ids import new_id

if TYPE_CHECKING:
    from swarmops.runtime.breaker.room import Breakers

AWAY = 1.0  # seconds, up to 1.5: how long Redis is not asked again after it could not be reached


class Local:
    """A breaker of one process, by the same rules; threads may share it. Times are those of `clock`, in seconds."""

    def __init__(self, limits: Limits, clock: Any = time.monotonic):
        self.limits, self.clock = limits, clock
        self.state, self.until, self.probe = "closed", 0.0, ""
        self.fails: list[float] = []
        self._lock = threading.Lock()

    def allow(self, token: str) -> tuple[str, float]:
        """What ('closed', 'probe', 'open') and the seconds that are left of it."""
        with self._lock:
            now = self.clock()
            if self.state == "closed":
                return "closed", 0.0
            if self.until > now:
                return "open", self.until - now
            self.state, self.probe, self.until = "half", token, now + self.limits.probe_lease
            return "probe", self.limits.probe_lease

    def report(self, ok: bool, probe: str = "") -> str:
        """The state after it."""
        with self._lock:
            now = self.clock()
            if self.state == "half" and probe and probe == self.probe:
                self._close() if ok else self._open(now)
            elif self.state == "closed" and ok:
                self.fails = []
            elif self.state == "closed":
                self.fails = [at for at in self.fails if now - at < self.limits.window] + [now]
                if len(self.fails) >= self.limits.failures:
                    self._open(now)
            return self.state

    def _open(self, now: float) -> None:
        self.state, self.until, self.probe, self.fails = "open", now + self.limits.open_for, "", []

    def _close(self) -> None:
        self.state, self.until, self.probe, self.fails = "closed", 0.0, "", []


class Guard:
    """One call, or several after one another. `local`: Redis was away, so this process' own breaker was asked."""

    def __init__(self, breakers: Breakers[Any], target: str, failures: tuple[type[BaseException], ...]):
        self._breakers, self.target, self._failures = breakers, target, failures
        self._permits: list[Permit] = []
        self.local = False

    def __enter__(self) -> Permit:
        return drive_sync(self._breakers.runtime, self._enter())

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        drive_sync(self._breakers.runtime, self._leave(kind))

    async def __aenter__(self) -> Permit:
        return await drive_async(self._breakers.runtime, self._enter())

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        await drive_async(self._breakers.runtime, self._leave(kind))

    def _enter(self) -> Steps[Permit]:
        try:
            permit: Permit = yield from self._ask(self._breakers.allow.op(self.target))
            self.local = False
        except Unavailable:
            self.local, token = True, new_id()
            local = self._mine()
            what, left = local.allow(token)
            if what == "open":
                raise Open(self.target, left, self._breakers.limits.failures) from None
            permit = Permit(self.target, token if what == "probe" else "", True)
        self._permits.append(permit)
        return permit

    def _leave(self, kind: type[BaseException] | None) -> Steps[None]:
        permit = self._permits.pop()
        if kind is not None and not issubclass(kind, Exception) and not issubclass(kind, self._failures):
            return  # interrupted or cancelled: says nothing of the target; a probe's lease ends by itself
        ok = kind is None or not issubclass(kind, self._failures)
        if permit.local:
            self._mine().report(ok, permit.probe)
            return
        if ok and permit.clean:
            return
        try:
            found = yield from self._ask(self._breakers.record.op(self.target, ok, permit.probe))
            if found.changed:
                yield from self._ask(self._breakers.note(self.target, VERBS[found.state]))
        except Unavailable:
            self._mine().report(ok, permit.probe)

    def _ask(self, op: Any) -> Steps[Any]:
        """Redis' answer, without patience; at most one try a second while it is away. Raises Unavailable."""
        breakers = self._breakers
        if time.monotonic() < breakers._away_until:
            raise Unavailable("closed", f"{breakers.settings.place} could not be reached a moment ago", unsent=True)
        try:
            found = (yield Batch((op,), 0.0))[0]
            if isinstance(found, Exception):
                raise found
        except Unavailable:
            breakers._away_until = time.monotonic() + AWAY * random.uniform(1.0, 1.5)
            raise
        return found

    def _mine(self) -> Local:
        """Bounded: those of closed breakers go first when there are many."""
        local = self._breakers._local
        if self.target not in local and len(local) >= 1000:
            for target in [t for t, b in list(local.items()) if b.state == "closed"] or list(local)[:1]:
                local.pop(target, None)
        return local.setdefault(self.target, Local(self._breakers.limits))
