"""For CI: a test suite a host, a test case a check. CRITICAL fails, UNKNOWN is an error, WARNING passes with a note."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from swarmops.health.verdict import HostHealth, Result, State, Verdict


def text(verdict: Verdict, verbose: bool = False) -> str:
    rows = ['<?xml version="1.0" encoding="UTF-8"?>']
    everything = [r for h in verdict.hosts for r in h.results]
    rows.append(f'<testsuites name="swarmops check-health" {_counts(everything)} time="{verdict.seconds:.3f}">')
    for host in verdict.hosts:
        rows += _suite(host)
    return "\n".join([*rows, "</testsuites>"])


def _suite(host: HostHealth) -> list[str]:
    took = sum(r.ms for r in host.results) / 1000
    rows = [f'  <testsuite name={_attr(host.name)} {_counts(host.results)} time="{took:.3f}">']
    for r in host.results:
        where = f"{r.host}.{r.role}" if r.role else r.host
        head = f'    <testcase classname={_attr(where)} name={_attr(r.name)} time="{r.ms / 1000:.3f}"'
        rows.append(f"{head}>{_body(r)}</testcase>" if r.state is not State.OK else f"{head}/>")
    return [*rows, "  </testsuite>"]


def _body(r: Result) -> str:
    if r.state is State.WARNING:
        return f"<system-out>WARNING: {escape(_clean(r.detail))}</system-out>"
    tag = "failure" if r.state is State.CRITICAL else "error"
    return f'<{tag} type="{r.state.name}" message={_attr(r.detail)}/>'


def _counts(results: list[Result] | tuple[Result, ...]) -> str:
    failed = sum(r.state is State.CRITICAL for r in results)
    errors = sum(r.state is State.UNKNOWN for r in results)
    return f'tests="{len(results)}" failures="{failed}" errors="{errors}"'


def _attr(value: str) -> str:
    return quoteattr(_clean(value))


def _clean(value: str) -> str:
    """Without what XML 1.0 has no way to write."""
    return "".join(c if c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff" else "?" for c in value)
