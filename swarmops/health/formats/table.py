"""For people: one line a host, and under it why it is not well."""

from __future__ import annotations

from collections.abc import Callable

from swarmops.health.verdict import HostHealth, Result, State, Verdict, show

MOST = 4  # reasons of one host that are shown without -v
COLOURS = {State.OK: "green", State.WARNING: "yellow", State.CRITICAL: "red", State.UNKNOWN: "magenta"}

Paint = Callable[[str, State], str]


def text(verdict: Verdict, verbose: bool = False, paint: Paint = lambda words, state: words) -> str:
    """`paint` colours words by a state, where the caller writes to a terminal."""
    names = max([4, *(len(h.name) for h in verdict.hosts)])
    roles = min(40, max([8, *(len(_roles(h, verdict)) for h in verdict.hosts)]))
    indent = " " * (names + 2 + 8 + 2)
    rows = [f"{'host':<{names}}  {'state':<8}  {'services':<{roles}}  why"]
    for host in verdict.hosts:
        state = paint(f"{host.state.name:<8}", host.state)
        reasons = [_reason(r, paint) for r in (host.results if verbose else host.troubles)]
        if not verbose and len(reasons) > MOST:
            reasons = [*reasons[:MOST], f"... and {len(reasons) - MOST} more (-v shows them)"]
        first = reasons.pop(0) if reasons and not verbose else _summary(host)
        rows.append(f"{host.name:<{names}}  {state}  {_roles(host, verdict):<{roles}}  {first}".rstrip())
        more = indent if verbose else f"{indent}{' ' * roles}  "
        rows += [more + reason for reason in reasons]
    return "\n".join([*rows, "", sentence(verdict)])


def sentence(verdict: Verdict) -> str:
    """The verdict in one sentence, naming the hosts that are ill and the services that suffer (S4-39)."""
    total, fine = len(verdict.hosts), verdict.counts["OK"]
    if verdict.state is State.OK:
        checks = sum(len(h.results) for h in verdict.hosts)
        return f"OK: {total} of {total} hosts are well, {checks} checks in {verdict.seconds:.2f} s."
    groups = []
    for state in (State.CRITICAL, State.WARNING, State.UNKNOWN):
        names = [h.name for h in verdict.hosts if h.state is state]
        if names:
            groups.append(f"{state.name} on {', '.join(names[:10])}{' ...' if len(names) > 10 else ''}")
    parts = [f"{verdict.state.name}: {'; '.join(groups)}. {fine} of {total} hosts are well."]
    for service, (bad, of) in verdict.ill().items():
        left = f"{of - len(bad)} of {of} hosts serve it" if of > len(bad) else "no host serves it"
        parts.append(f"{service} is {'degraded' if of > len(bad) else 'down'} ({left}).")
    return " ".join([*parts, f"{verdict.seconds:.2f} s."])


def _roles(host: HostHealth, verdict: Verdict) -> str:
    mine = [r for r in host.roles if r in verdict.services] or list(host.roles)
    joined = ", ".join(mine)
    return joined if len(joined) <= 40 else joined[:37] + "..."


def _summary(host: HostHealth) -> str:
    return f"{sum(r.state is State.OK for r in host.results)} of {len(host.results)} checks OK"


def _reason(r: Result, paint: Paint) -> str:
    mark = paint(f"{r.state.name:<8}", r.state)
    value = f" [{show(r.value, r.unit)}]" if r.value is not None and r.state is State.OK else ""
    name = r.name if not r.role else f"{r.role}/{r.name}"
    return f"{mark} {name}: {r.detail}{value}"
