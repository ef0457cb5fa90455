"""Circuit breakers: which targets are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swarmops.cli._runtime import print_result, runtime_options, table

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.breaker import Breaker

HEAD = ["TARGET", "STATE", "FAILURES", "LEFT", "TRIPS"]


@click.group()
def command() -> None:
    """Circuit breakers: closed, open after failures, half-open for one probe; one a target, shared by all."""


def _row(b: Breaker) -> list[str]:
    return [b.target, b.state, f"{b.failures}/{b.limits.failures}", f"{b.left:.0f} s" if b.left else "-", str(b.trips)]


@command.command()
@click.argument("target")
@runtime_options
def show(target: str, rt: Runtime, as_json: bool) -> None:
    """Show the breaker of TARGET."""
    found = rt.breakers.show(target)
    shown = {"schema": "swarmops.breaker/1", **found.as_dict()}
    print_result(shown, as_json, lambda: table([_row(found)], HEAD))


@command.command("list")
@runtime_options
def list_(rt: Runtime, as_json: bool) -> None:
    """List breakers, the last changed first.

    Those that ever opened or were configured.
    """
    found = rt.breakers.list()
    shown = {"schema": "swarmops.breakers/1", "breakers": [b.as_dict() for b in found]}
    print_result(shown, as_json, lambda: table([_row(b) for b in found], HEAD))


@command.command("open")
@click.argument("target")
@click.option("--seconds", type=float, default=300.0, show_default=True, help="For how long.")
@runtime_options
def open_(target: str, seconds: float, rt: Runtime, as_json: bool) -> None:
    """Have TARGET left alone, as if it had failed."""
    _forced(rt, target, "open", seconds, as_json)


@command.command()
@click.argument("target")
@runtime_options
def close(target: str, rt: Runtime, as_json: bool) -> None:
    """Have TARGET called again, as if it had never failed."""
    _forced(rt, target, "closed", None, as_json)


def _forced(rt: Runtime, target: str, state: str, seconds: float | None, as_json: bool) -> None:
    changed = rt.breakers.force(target, state, seconds)
    shown = {"schema": "swarmops.breaker-forced/1", "target": target, "state": state, "changed": changed}
    print_result(shown, as_json, lambda: f"{target}: {state}{'' if changed else ', as it was'}")
