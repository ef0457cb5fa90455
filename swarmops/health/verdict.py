"""From what a probe found to a state, from states to one verdict for the fleet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from swarmops.health import latency

LINE = 400


class State(IntEnum):
    """The values are Nagios' exit codes. What is worse than what is another order: see `worst`."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


BADNESS = (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL)


def worst(states: Iterable[State]) -> State:
    """CRITICAL, else WARNING, else UNKNOWN, else OK (also when there are none)."""
    return max(states, key=BADNESS.index, default=State.OK)


@dataclass(frozen=True)
class Result:
    """What became of one check. `limits` are those it was judged by: max, min, warn: {max, min}.

    service  what suffers when it fails: its role, or another service that this host uses
    quiet    it only repeats another trouble (the host could not be reached; the service is down on its own host)
             and so counts for nothing
    silent   the hosts whose silence is all that it complains of
    """

    host: str
    role: str
    id: str
    name: str
    probe: str
    state: State
    detail: str
    value: float | None = None
    unit: str = ""
    ms: float = 0.0
    source: str = "host"
    limits: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False
    service: str = ""
    silent: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Unique within host and role: the id without its role, which for most checks is the name."""
        return self.id.removeprefix(f"{self.role}/")


@dataclass(frozen=True)
class HostHealth:
    """One row of the verdict."""

    name: str
    roles: tuple[str, ...]
    results: tuple[Result, ...]

    @property
    def state(self) -> State:
        return worst(r.state for r in self.results if not r.quiet)

    @property
    def troubles(self) -> list[Result]:
        """What is not OK, worst first, without what only repeats another."""
        bad = [r for r in self.results if r.state is not State.OK and not r.quiet]
        return sorted(bad, key=lambda r: -BADNESS.index(r.state))


@dataclass(frozen=True)
class Verdict:
    """The fleet at one time. `services` names the roles that serve others; `at` is seconds since 1970."""

    hosts: tuple[HostHealth, ...]
    seconds: float
    at: float
    services: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        return worst(h.state for h in self.hosts)

    @property
    def counts(self) -> dict[str, int]:
        return {s.name: sum(h.state is s for h in self.hosts) for s in State}

    def ill(self) -> dict[str, tuple[list[str], int]]:
        """Service -> (its hosts that cannot serve it, number of its hosts), for services that have such hosts.

        A host cannot serve when a check of that very role is critical, or the host cannot be reached at all: one
        service that is down does not make its neighbours on the same host ill (S4-39).
        """
        found = {}
        for service in self.services:
            mine = [h for h in self.hosts if service in h.roles]
            bad = [h.name for h in mine if any(_stops(r, service) for r in h.results)]
            if bad:
                found[service] = (bad, len(mine))
        return found


def _stops(result: Result, service: str) -> bool:
    return result.state is State.CRITICAL and (result.service == service or result.id == "reach")


def echoes(verdict: Verdict) -> Verdict:
    """The verdict in which a service that is down on its own hosts, or a host that is gone, makes no other host ill
    (S4-39).

    Its users cannot reach it either, and say so; that is one trouble, not one for every user.
    """
    ill = verdict.ill()
    gone = {h.name for h in verdict.hosts if any(r.id == "reach" and r.state is State.CRITICAL for r in h.results)}

    def hush(h: HostHealth, r: Result) -> Result:
        others = r.service in ill and r.service not in h.roles
        return replace(r, quiet=True) if others or (r.silent and gone.issuperset(r.silent)) else r

    hosts = (HostHealth(h.name, h.roles, tuple(hush(h, r) for r in h.results)) for h in verdict.hosts)
    return replace(verdict, hosts=tuple(hosts)) if ill or gone else verdict


def judge(host: str, check: Mapping[str, Any], event: Mapping[str, Any], declared: str | None = None) -> Result:
    """The result of one check from its `check` event.

    declared   latency class of the host, where it has one and the check names none
    """
    state = State.OK if event.get("ok") is True else State.CRITICAL if event.get("ok") is False else State.UNKNOWN
    detail, value = one_line(event.get("detail", "")), _number(event.get("value"))
    unit = one_line(event.get("unit") or "")
    own = _limits(check)
    limits = own or _limits(event.get("limits"))
    if event.get("exempt"):  # the figure is not this host's own, so no limit applies to it
        own, limits = {}, {}
    if state is State.OK and event.get("warn"):
        state = State.WARNING
    if state in (State.OK, State.WARNING):
        if value is None and own:
            state, detail = State.UNKNOWN, f"{detail} (gives no number to compare with its limits)"
        elif value is not None:
            state, detail = _compare(state, detail, value, unit, limits)
            if check.get("probe") == "latency":
                said = event.get("class") or check.get("args", {}).get("class") or declared
                state, detail = _link(state, detail, value, said if isinstance(said, str) else None)
    told = event.get("silent")
    silent = tuple(one_line(name) for name in told[:1000]) if isinstance(told, list) else ()
    more: dict[str, Any] = {"ms": _number(event.get("ms")) or 0.0, "limits": limits, "silent": silent}
    return result(host, check, state, detail, value=value, unit=unit, **more)


def result(host: str, check: Mapping[str, Any], state: State, detail: str, **more: Any) -> Result:
    """A `Result` of `check` for which there need be no event."""
    role, name = str(check.get("role", "")), str(check.get("name") or check["id"])
    known: dict[str, Any] = {"source": str(check.get("from") or "host"), "service": str(check.get("service") or role)}
    return Result(host, role, str(check["id"]), name, str(check["probe"]), state, detail, **known, **more)


def _compare(state: State, detail: str, value: float, unit: str, limits: Mapping[str, Any]) -> tuple[State, str]:
    for level, bounds in ((State.CRITICAL, limits), (State.WARNING, limits.get("warn", {}))):
        for side, beyond in (("max", "above"), ("min", "below")):
            bound = bounds.get(side)
            if bound is not None and (value > bound if side == "max" else value < bound):
                said = f"{show(value, unit)} is {beyond} {show(bound, unit)}"
                return worst([state, level]), f"{said}: {detail}" if detail else said
    return state, detail


def _link(state: State, detail: str, ms: float, declared: str | None) -> tuple[State, str]:
    """A latency result: its class against the declared one, and what the link is good for."""
    found = latency.classify(ms)
    good = ", ".join(latency.uses(ms)) or "nothing that waits for an answer"
    detail = f"{detail}: {found.name}, {found.verdict}; good for {good}"
    if found is latency.AVOID:
        return worst([state, State.WARNING]), f"{detail} (above 250 ms: avoid)"
    if declared and latency.worse_than(ms, declared):
        return worst([state, State.WARNING]), f"{detail} (declared as {declared})"
    return state, detail


def clock(event: Mapping[str, Any], earliest: float, latest: float) -> dict[str, Any]:
    """A `clock` event with its offset, for a host that only said what time it has.

    The host read its clock at some time between `earliest` and `latest` of ours (the answer's way back is part of
    that, so half a round trip is inside it). What lies outside is certain, what lies inside is no offset at all.
    """
    theirs = _number(event.get("time"))
    if theirs is None or event.get("ok") is not True:
        return dict(event)
    off = max(0.0, theirs - latest) or min(0.0, theirs - earliest)
    slack = latest - earliest
    words = "agrees with the controller's" if not off else f"is {abs(off):.2f} s {'ahead' if off > 0 else 'behind'}"
    more = f"; {event['detail']}" if event.get("warn") else ""
    return {**event, "value": round(abs(off), 3), "detail": f"the clock {words} (within {slack:.2f} s){more}"}


def show(value: float, unit: str = "") -> str:
    """A value with its unit for people; shares of a whole as per cent."""
    if unit == "ratio":
        return f"{value * 100:.3g} %"
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{text} {unit}".strip()


def _limits(given: Any) -> dict[str, Any]:
    """max, min and warn of a check or of what a host sent, only where they are numbers."""
    if not isinstance(given, Mapping):
        return {}
    found: dict[str, Any] = {k: n for k in ("max", "min") if (n := _number(given.get(k))) is not None}
    warn = given.get("warn")
    inner = _limits({k: warn.get(k) for k in ("max", "min")}) if isinstance(warn, Mapping) else {}
    return {**found, "warn": inner} if inner else found


def _number(value: Any) -> float | None:
    """`value` where it is a finite number: a host may send anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def one_line(text: Any) -> str:
    """Text from a host as one printable line of bounded length (case 61)."""
    words = " ".join(str(text)[: 4 * LINE].split())
    safe = "".join(c if c.isprintable() else "?" for c in words)
    return safe if len(safe) <= LINE else safe[: LINE - 3] + "..."
