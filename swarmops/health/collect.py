"""One look at the whole fleet: controller's checks and all hosts at once, everything before one deadline (S4-20)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import swarmops.target.health as probing
from swarmops.health.verdict import HostHealth, Result, State, Verdict, clock, echoes, judge, one_line, result

if TYPE_CHECKING:
    from swarmops.model.inventory import Host
    from swarmops.model.project import Project

DEADLINE = 4.5  # seconds for everything, so that the command ends within 5
LEAVE = 0.3  # seconds kept back from the hosts, for their last words to arrive
REACH = {"id": "reach", "role": "", "name": "reach", "probe": "ssh", "from": "controller"}
DELAY = 1.0  # seconds that a host's first word may have waited for us on a busy controller

Event = Mapping[str, Any]


@dataclass
class Target:
    """One host and what is to be looked at. `access` is delivery's; None: there is nothing to log in to (S0-03)."""

    name: str
    roles: tuple[str, ...]
    checks: list[dict[str, Any]]
    access: Any = None
    latency_class: str | None = None

    def here(self, source: str) -> list[dict[str, Any]]:
        """Its checks that are made from `source`: host or controller."""
        return [c for c in self.checks if (c.get("from") or "host") == source and not self.answered_by_login(c)]

    def answered_by_login(self, check: Mapping[str, Any]) -> bool:
        """A TCP check of the very SSH port that we log in to. It is not made: sshd (9.8 and later) locks out who
        often connects and does not log in, and the login tells more.
        """
        if self.access is None or check["probe"] != "tcp" or check.get("from") != "controller":
            return False
        args = check.get("args") or {}
        port, want = args.get("port"), args.get("expect") or "open"
        return (args.get("host"), port, want) == (self.access.hop.address, self.access.hop.port, "open")


@dataclass
class _Seen:
    """What came in for one host so far."""

    results: dict[str, Result] = field(default_factory=dict)
    hello: float | None = None
    end: Event | None = None


def targets(
    project: Project, limit: str | None, service: str | None, faults: Any, *, latency: bool = False
) -> list[Target]:
    """The hosts of `limit` with their checks, planned as `deploy` plans. Raises InputError with every fault.

    service   only checks of this role or service, on the hosts that have some; an unknown name is a fault
    latency   add a measurement from every host to every Redis host (S0-38)
    """
    from swarmops.planning.plan import make_plans

    plans = make_plans(project, limit=limit, tags=None, extra={}, faults=faults)
    faults.stop_if_any()
    found = []
    for name, plan in plans.items():
        host = project.inventory.hosts[name]
        way, declared = _access(host, project), host.vars.get("latency_class")
        found.append(Target(name, tuple(plan.roles), list(plan.checks), way, declared))
    found = _only(found, service) if service else found
    if latency:
        for t in found:
            t.checks += _ways(t, project) if t.access is not None else []
    return found


def _ways(t: Target, project: Project) -> list[dict[str, Any]]:
    """Checks that measure how far each Redis host is from `t`, through the mesh where there is one."""
    from swarmops.model.addresses import address, mesh_address

    made = []
    for host in project.distributed.hosts_of(project.inventory).get("redis", []):
        port = host.vars.get("redis_port", project.distributed.services.get("redis", {}).get("port", 6379))
        args = {"host": mesh_address(host) or address(host), "port": port, "via": "tcp", "count": 20}
        name = f"to {host.name}"
        check = {"id": f"latency/{name}", "role": "latency", "name": name, "probe": "latency", "args": args}
        made.append({**check, "within": 2.0})
    return made


def _only(found: list[Target], service: str) -> list[Target]:
    from swarmops.model.faults import InputError, closest

    def about(check: dict[str, Any]) -> bool:
        return service in (check["role"], check.get("service"))

    mine = [t for t in found if any(about(c) for c in t.checks)]
    if not mine:
        known = {c["role"] for t in found for c in t.checks}
        said = f"no role '{service}' with checks on these hosts"
        raise InputError.one(said, path="--service", hint=closest(service, known))
    for t in mine:
        t.checks = [c for c in t.checks if about(c)]
        t.access = t.access if t.here("host") else None  # nothing to ask there: no need to log in
    return mine


def _access(host: Host, project: Project) -> Any:
    """How to log in, or None for what is not ours to log in to: a managed service with checks from here only."""
    if host.vars.get("kind") == "managed":
        return None
    from swarmops.delivery.access import access_to

    return access_to(host, project.store)


def look(
    found: list[Target],
    known_hosts: Any,
    *,
    deadline: float = DEADLINE,
    services: Iterable[str] = (),
    on_result: Callable[[Result], None] | None = None,
) -> Verdict:
    """Look at every target at once; return by `deadline` seconds from now, whatever the hosts do.

    known_hosts   file of pinned host keys; on_result is called on this thread for each result as it comes
    """
    began, at = time.monotonic(), time.time()
    events: queue.SimpleQueue[tuple[str, str, Event, float]] = queue.SimpleQueue()
    by_name = {t.name: t for t in found}
    for t in found:
        _spawn(_from_here, t, events, deadline - LEAVE)
    remote = [t for t in found if t.access is not None]
    if remote:
        _spawn(_from_hosts, remote, known_hosts, events, deadline)
    seen = {t.name: _Seen() for t in found}
    waiting = {(t.name, "controller") for t in found} | {(t.name, "host") for t in remote}
    while waiting:
        try:
            left = began + deadline - time.monotonic()
            source, name, event, came = events.get(timeout=max(0.0, left))
        except queue.Empty:
            break
        if event["e"] == "end":
            waiting.discard((name, source))
        for made in _take(by_name[name], seen[name], source, event, came, at):
            if on_result:
                on_result(made)
    hosts = [_close(t, seen[t.name], deadline, on_result) for t in found]
    return echoes(Verdict(tuple(hosts), round(time.monotonic() - began, 3), at, tuple(services)))


def _spawn(run: Callable[..., None], *args: Any) -> None:
    threading.Thread(target=run, args=args, daemon=True).start()


def _from_here(t: Target, events: queue.SimpleQueue, limit: float) -> None:
    """The controller's own checks of one target."""
    checks = t.here("controller")
    try:
        for event in probing.results(checks, probing.Context(checks, local=True), limit):
            events.put(("controller", t.name, event, time.time()))
    finally:
        events.put(("controller", t.name, {"e": "end"}, time.time()))


def _from_hosts(remote: list[Target], known_hosts: Any, events: queue.SimpleQueue, deadline: float) -> None:
    """One SSH exec per host. Runs beside the main thread, so that nothing in it can hold that up."""
    try:
        for name, event in _deliver(remote, known_hosts, deadline):
            events.put(("host", name, event, time.time()))
    except Exception as e:  # a fault of ours must be told, and now, not at the deadline
        for t in remote:
            end = {"e": "end", "status": "broken", "reason": f"{type(e).__name__}: {e}"}
            events.put(("host", t.name, end, time.time()))
        raise


def _deliver(remote: list[Target], known_hosts: Any, deadline: float) -> Iterator[tuple[str, Event]]:
    began = time.monotonic()
    from swarmops.delivery.fleet import Fleet

    envelopes = {}
    for t in remote:
        asked = [{k: c[k] for k in ("id", "probe", "args", "within") if k in c} for c in t.here("host")]
        limit = max(0.5, deadline - 2 * LEAVE)
        envelopes[t.name] = {"mode": "health", "checks": asked, "now": time.time(), "deadline": limit}
    # Every host gets its own place: one that is gone must not keep another waiting.
    login = max(0.5, deadline - 3 * LEAVE)
    fleet = Fleet((t.access for t in remote), known_hosts, forks=len(remote), connect_timeout=login)
    try:
        yield from fleet.run(envelopes, deadline=deadline - LEAVE - (time.monotonic() - began))
    finally:
        fleet.close()


def _take(t: Target, seen: _Seen, source: str, event: Event, came: float, at: float) -> list[Result]:
    """Results that an event makes: none or one."""
    kind = event["e"]
    if kind == "check":
        check = next((c for c in t.here(source) if c["id"] == event.get("id")), None)
        if check is None or check["id"] in seen.results:
            return []
        if check["probe"] == "clock" and "time" in event:
            # It was read after the host began to speak, and certainly after this run began.
            earliest = at if seen.hello is None else max(at, seen.hello - DELAY)
            event = clock(event, earliest, came)
        made = judge(t.name, check, event, t.latency_class)
        seen.results[check["id"]] = made
        return [made]
    if source == "host" and kind == "end":
        seen.end = event
        made = _reach(t, event, seen.hello is not None)
        seen.results["reach"] = made
        return [made]
    if source == "host" and seen.hello is None:
        seen.hello = came
    return []


def _reach(t: Target, end: Event, spoke: bool) -> Result:
    """Could we log in, and did the host say everything? From delivery's closing word.

    A host that answers but is not done in time is UNKNOWN, not CRITICAL: a link that loses packets is slow, and
    slow is not down (F15). One that does not even accept, or accepts and never greets, has its own words from
    delivery, whose patience ends before ours. spoke: it had begun to answer.
    """
    status, kind, reason = end.get("status"), end.get("kind"), one_line(end.get("reason") or "")
    ms = float(end.get("seconds") or 0) * 1000
    where, state = f"{t.access.hop.address}:{t.access.hop.port}", State.CRITICAL
    if status == "done" and t.access.local:
        return result(t.name, REACH, State.OK, t.access.where, value=round(ms, 1), unit="ms", ms=ms)
    if status == "done":
        return result(t.name, REACH, State.OK, f"logged in to {where}", value=round(ms, 1), unit="ms", ms=ms)
    if kind == "banner":
        reason = f"timeout: {where} accepts TCP but SSH says nothing: frozen or overloaded"
    elif kind == "timeout":
        reason = f"timeout: no answer from {where}: off, cut off, or a firewall drops"
    elif kind == "login" and "time" in reason.lower():
        state, reason = State.UNKNOWN, f"slow: {where} answers, but the login was not done in time"
    elif kind == "slow":
        state, reason = State.UNKNOWN, f"slow: {reason}"
    elif status == "timeout":
        state = State.UNKNOWN
        reason = f"timeout: {where} " + ("began to answer and did not end in time" if spoke else "is slow to log in")
    return result(t.name, REACH, state, reason or str(status), ms=ms)


def _close(t: Target, seen: _Seen, deadline: float, on_result: Callable[[Result], None] | None) -> HostHealth:
    """The host's row; checks that never answered are shown as such, never left out."""
    if t.access is not None and "reach" not in seen.results:
        late = {"status": "timeout", "reason": f"nothing came back within {deadline:g} s"}
        _say(seen, _reach(t, late, seen.hello is not None), on_result)
    reached = t.access is None or seen.results["reach"].state is State.OK
    for check in t.checks:
        if t.answered_by_login(check):
            login = seen.results["reach"]
            told = {"value": login.value, "unit": login.unit, "ms": login.ms, "quiet": not reached}
            _say(seen, result(t.name, check, login.state, login.detail, **told), on_result)
        elif check["id"] not in seen.results:
            quiet = not reached and (check.get("from") or "host") == "host"
            said = "not looked at: the host could not be reached" if quiet else "no answer came back"
            _say(seen, result(t.name, check, State.UNKNOWN, said, quiet=quiet), on_result)
    order = {"reach": -1, **{c["id"]: n for n, c in enumerate(t.checks)}}
    return HostHealth(t.name, t.roles, tuple(sorted(seen.results.values(), key=lambda r: order[r.id])))


def _say(seen: _Seen, made: Result, on_result: Callable[[Result], None] | None) -> None:
    seen.results[made.id] = made
    if on_result:
        on_result(made)
