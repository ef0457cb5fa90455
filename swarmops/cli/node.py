"""Set a node aside for maintenance, or for good."""

from __future__ import annotations

from collections.abc import Callable

import click

from swarmops.cli._project import json_option, open_project, place_options


def _options(verb: Callable[..., None]) -> Callable[..., None]:
    """What both verbs take: HOST, its place, --why, --off and --json."""
    verb = click.option("--off", is_flag=True, help="It is back in service.")(json_option(verb))
    verb = click.option("--why", default="", metavar="TEXT", help="For whoever asks.")(verb)
    return click.argument("host")(place_options(verb))


@click.group()
def command() -> None:
    """Set nodes aside: reconcile leaves them alone, and status says so."""


@command.command()
@_options
def maintenance(host: str, inventory: str | None, root: str | None, why: str, off: bool, as_json: bool) -> None:
    """Nothing is put right on HOST until it is taken --off."""
    _set(host, inventory, root, "" if off else "maintenance", why, as_json)


@command.command()
@_options
def decommission(host: str, inventory: str | None, root: str | None, why: str, off: bool, as_json: bool) -> None:
    """HOST is not looked at any more, until it is taken --off."""
    _set(host, inventory, root, "" if off else "decommissioned", why, as_json)


def _set(host: str, inventory: str | None, root: str | None, what: str, why: str, as_json: bool) -> None:
    from swarmops.cli._output import echo, emit_json
    from swarmops.model.faults import InputError, closest
    from swarmops.operate.nodes import Book

    project = open_project(None, inventory, root)
    if host not in project.inventory.hosts:
        raise InputError.one(f"no host '{host}' in this inventory", hint=closest(host, project.inventory.hosts))
    node = Book(project.state).by_hand(host, what, why)
    if as_json:
        emit_json({"node": host, **node.as_dict()})
    else:
        echo(f"{host} is {what or 'back in service'}")
