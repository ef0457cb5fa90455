"""Say whether a Redis is fit for coordination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import runtime_options

if TYPE_CHECKING:
    from swarmops.runtime import Runtime


@click.command()
@runtime_options
def command(rt: Runtime, as_json: bool) -> int:
    """Connect as the runtime would, write, read, run a script and measure. Ends with 0, or 1 and the reason."""
    from swarmops.cli._output import echo, emit_json, plain, progress
    from swarmops.runtime.observe.probe import probe

    report = probe(rt)
    if as_json:
        body = {"schema": "swarmops.redis-test/1", "ok": report.ok, **report.facts}
        emit_json({**body, "faults": report.faults, "warnings": report.warnings})
        return 0 if report.ok else 1
    for name, value in report.facts.items():
        echo(plain(f"{name.replace('_', ' '):<14} {_shown(value)}"))
    for text in report.warnings:
        progress(plain(f"warning: {text}"), "yellow")
    for text in report.faults:
        progress(plain(f"NOT FIT: {text}"), "red")
    if report.ok:
        echo("fit for coordination", "green")
    return 0 if report.ok else 1


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
