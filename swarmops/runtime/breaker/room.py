"""Circuit breakers: one a target, shared by all processes through Redis (S2-10, F14).

Closed until five calls failed in a row within a minute; then open for five minutes, in which calls are refused at once;
then half-open: exactly one caller of all processes may try, and how that goes decides. A prober that dies is followed
by another when its lease of 30 s is over.

    with rt.breakers.guard("npu-1"):     # raises Open; an exception inside counts as a failure
        call_npu_1()
"""

from __future__ import annotations

from typing import Any

from swarmops.runtime.breaker.guard import Guard, Local
from swarmops.runtime.breaker.records import VERBS, Breaker, Limits, Open, Permit, Report
from swarmops.runtime.flow import Steps, flow
from swarmops.runtime.ids import name, new_id, number, one_of
from swarmops.runtime.op import Arg, Executor, Mode, Op, Room, operation
from swarmops.runtime.state.record import number_of, pairs, text_of


class Breakers(Room[Mode]):
    """guard, allow, report, show, list, force, configure. `limits` holds for targets that have none of their own."""

    def __init__(self, runtime: Executor):
        super().__init__(runtime)
        self.limits = Limits()
        self._local: dict[str, Local] = {}
        self._away_until = 0.0

    def guard(self, target: str, failures: tuple[type[BaseException], ...] = (Exception,)) -> Guard:
        """For `with` on a Runtime and `async with` on an AsyncRuntime. Raises Open; exceptions of the kinds in
        `failures` count against the target, others for it. While Redis is away each process counts for itself."""
        return Guard(self, name(target, "target"), failures)

    @operation
    def allow(self, target: str) -> Op[Permit]:
        """Leave to call `target` now; hand the permit's `probe` to `report`. Raises Open."""
        token = new_id()
        args = (token, _ms(self.limits.open_for), _ms(self.limits.probe_lease))

        def read(reply: Any) -> Permit:
            what, left, failures = reply
            if what == b"open":
                raise Open(target, left / 1000, failures)
            if what == b"probe":
                return Permit(target, token)
            return Permit(target, clean=not left)

        return Op("breaker_allow", (self._key(target),), args, read, safe=True)

    @operation
    def record(self, target: str, ok: bool, probe: str = "") -> Op[Report]:
        """What `report` does, without listing the breaker or telling of its change."""
        limits = self.limits
        args = (int(ok), probe, new_id(), limits.failures, _ms(limits.window), _ms(limits.open_for))
        return Op("breaker_report", (self._key(target),), args, _report, safe=True)

    @flow
    def report(self, target: str, ok: bool, probe: str = "") -> Steps[Report]:
        """Say how a call of `target` went."""
        found: Report = yield self.record.op(target, ok, probe)
        if found.changed:
            yield self.note(target, VERBS[found.state])
        return found

    @operation
    def show(self, target: str) -> Op[Breaker]:
        """How the breaker of `target` is; closed if nothing is known of it."""
        own = self.limits
        return Op("breaker_show", (self._key(target),), (), lambda r: _shown(target, r, own), safe=True)

    @flow
    def list(self) -> Steps[list[Breaker]]:
        """Breakers that ever opened or were configured, the last changed first, at most 1000."""
        key = self.keys.registry("breakers")
        targets = yield Op("", (key,), ("ZREVRANGE", key, 0, -1), safe=True)
        return (yield [self.show.op(t.decode()) for t in targets])

    @flow
    def force(self, target: str, state: str, seconds: float | None = None) -> Steps[bool]:
        """By hand: 'open' for `seconds` (limits.open_for by default), or 'closed'. True if it was another before."""
        one_of(state, ("open", "closed"), "state")
        long = number(self.limits.open_for if seconds is None else seconds, "seconds", 0.01, 86400 * 365)
        changed = yield Op("breaker_set", (self._key(target),), (state, _ms(long)), bool, safe=True)
        yield self.note(target, VERBS[state])
        return bool(changed)

    @flow
    def configure(self, target: str, limits: Limits) -> Steps[None]:
        """Limits of this target, for all processes, from now on."""
        args: tuple[Arg, ...] = ("settings", "failures", limits.failures, "window", _ms(limits.window))
        args += ("open_ms", _ms(limits.open_for), "probe_ms", _ms(limits.probe_lease))
        yield Op("breaker_set", (self._key(target),), args, safe=True)
        yield self.note(target, "configured")

    def note(self, target: str, verb: str) -> Op[int]:
        """The operation that lists a breaker and tells of its change."""
        keys = tuple([self.keys.registry(part) for part in ("breakers", "events", "stats")])
        return Op("breaker_note", keys, (target, verb), int, safe=True)

    def _key(self, target: str) -> str:
        return self.keys.tagged("brk", name(target, "target"))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _report(reply: Any) -> Report:
    return Report(reply[0].decode(), bool(reply[1]))


def _shown(target: str, reply: Any, own: Limits) -> Breaker:
    now, fields = reply
    found = pairs(fields)
    if "custom" in found:
        times = [number_of(found, f) / 1000 for f in ("window", "open_ms", "probe_ms")]
        own = Limits(number_of(found, "failures"), *times)
    state, left = text_of(found, "state") or "closed", max(0, number_of(found, "until") - now) / 1000
    failures = text_of(found, "fails").count("=") or number_of(found, "tripped")
    if state == "half" or (state == "open" and not left):
        state = "half-open"
    return Breaker(target, state, failures, left if state != "closed" else 0.0, number_of(found, "trips"), own)
