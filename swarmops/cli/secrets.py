"""Make, list, show and rotate secrets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._project import json_option, place_options

if TYPE_CHECKING:
    from swarmops.model.project import Project


def _open(root: str | None, inventory: str | None) -> Project:
    from swarmops.cli._project import open_project

    return open_project(None, inventory, root)


def _named(name: str) -> str:
    import re

    from swarmops.model.faults import InputError
    from swarmops.model.secrets import NAME

    if not re.fullmatch(NAME, name):
        raise InputError.one(f"'{name}' is not a name of a secret", hint="small words with dots: redis.app")
    return name


def _unknown(error: Any) -> Exception:
    from swarmops.model.faults import InputError

    return InputError.one(error.sentence, hint=error.hint)


@click.group()
def command() -> None:
    """Make, list, show and rotate the secrets of a deployment.

    They live in one file outside git (0600), in an age-encrypted one, or in SWARMOPS_SECRET_* variables. The
    inventory only refers to them: {secret: redis.app}.
    """


@command.command()
@place_options
@click.option("--encrypt", is_flag=True, help="Keep them in the project's secrets.yaml.age (SWARMOPS_AGE_IDENTITY).")
@click.option("--recipient", "recipients", multiple=True, metavar="AGE1...", help="Who else may decrypt it.")
def init(root: str | None, inventory: str | None, encrypt: bool, recipients: tuple[str, ...]) -> None:
    """Make every secret that is referred to and missing.

    Never overwrites one.
    """
    from swarmops.model.secretrefs import wanted

    project = _open(root, inventory)
    if encrypt:
        _move_to_age(project)
    store = project.store
    if recipients:
        store.file.change(lambda entries, make: None, list(recipients))
    missing = [name for name in wanted(project) if not store.source(name)]
    for name in missing:
        made = store.create(_named(name))
        click.echo(f"made {name} {made.tag}")
    if not missing:
        click.echo("nothing is missing", err=True)
    click.echo(f"{len(store.names())} secrets in {store.where}", err=True)


def _move_to_age(project: Project) -> None:
    """Makes the project's store the encrypted file; what a plain store holds is copied into it."""
    from pathlib import Path

    from swarmops.model.secretfile import SecretFile

    old = project.store
    if old.file.encrypted:
        return
    identity = old.file.identity
    new = SecretFile(Path(project.root) / "secrets.yaml.age", identity)
    entries = dict(old.entries)
    new.change(lambda held, make: held.update({k: v for k, v in entries.items() if k not in held}))
    old.file = new
    if entries:
        click.echo(f"copied {len(entries)} secrets; delete the plain file when you have seen that it works", err=True)


@command.command("list")
@place_options
@json_option
def list_(root: str | None, inventory: str | None, as_json: bool) -> None:
    """List names, ages, tags and users; never a value."""
    from swarmops.cli._output import emit_json
    from swarmops.model.secretrefs import wanted

    project = _open(root, inventory)
    store, users = project.store, wanted(project)
    covered = {n for n in store.names() if n in store.entries or n in users}
    rows = [_row(store, name, list(users.get(name, {}))) for name in sorted({*covered, *users})]
    if as_json:
        emit_json(rows)
        return
    table = [("NAME", "AGE", "TAG", "WHERE", "USED BY"), *(_cells(row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    for row in table:
        click.echo("  ".join([*(row[i].ljust(widths[i]) for i in range(4)), row[4]]).rstrip())


def _row(store: Any, name: str, users: list[str]) -> dict[str, Any]:
    source = store.source(name)
    entry = store.entries.get(name) if source == "file" else None
    return {
        "name": name,
        "age_days": entry.age if entry else None,
        "tag": store.get(name).tag if source else None,
        "where": source or "missing",
        "rotating": bool(entry and entry.previous),
        "used_by": users,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    age = "-" if row["age_days"] is None else f"{row['age_days']} d"
    where = row["where"] + (" (rotating)" if row["rotating"] else "")
    return row["name"], age, row["tag"] or "-", where, ", ".join(row["used_by"])


@command.command()
@click.argument("name")
@place_options
@click.option("--yes-print", is_flag=True, help="Also when stdout is not a terminal.")
@click.option("--previous", is_flag=True, help="The value before the rotation that is under way.")
@click.option("--public", is_flag=True, help="Of tls.ca only the certificate, which everybody may have.")
def show(name: str, root: str | None, inventory: str | None, yes_print: bool, previous: bool, public: bool) -> None:
    """Print a value, on a terminal."""
    from swarmops.model.faults import InputError
    from swarmops.model.secrets import UnknownSecret
    from swarmops.planning.certificates import public_part

    if not (yes_print or public or sys.stdout.isatty()):
        raise InputError.one("stdout is not a terminal; nothing is shown", hint="--yes-print shows it anyway")
    store = _open(root, inventory).store
    try:
        found = store.previous(name) if previous else store.get(name)
    except UnknownSecret as e:
        raise _unknown(e)
    if found is None:
        raise InputError.one(f"'{name}' has no previous value: no rotation is under way")
    if public and not public_part(found.open()):
        raise InputError.one(f"'{name}' holds no certificate", hint="tls.ca does")
    click.echo(public_part(found.open()) if public else found.open())


@command.command()
@click.argument("name")
@place_options
@click.option("--finish", is_flag=True, help="Forget the old value, after a deploy with both.")
@click.option("--force", is_flag=True, help="With --finish: although hosts were not deployed with the new value.")
def rotate(name: str, root: str | None, inventory: str | None, finish: bool, force: bool) -> None:
    """Make a new value; the old one holds until --finish.

    In between both are accepted: rotate, deploy, rotate --finish, deploy.
    """
    from swarmops.model.secrets import UnknownSecret

    project = _open(root, inventory)
    store = project.store
    try:
        if finish:
            if not force:
                _deployed_since(project, name)
            done = store.finish(name)
            click.echo(f"{name}: the old value is forgotten" if done else f"{name}: no rotation is under way")
            if done:
                click.echo("next: swarmops deploy (the hosts drop the old value)", err=True)
            return
        made = store.rotate(name)
    except UnknownSecret as e:
        raise _unknown(e)
    click.echo(f"{name}: new value {made.tag}; the old one is accepted until --finish")
    click.echo(f"next: swarmops deploy, then swarmops secrets rotate {name} --finish, then deploy again", err=True)


def _deployed_since(project: Project, name: str) -> None:
    """Raises InputError while a host may only know the old value."""
    from datetime import datetime

    from swarmops.delivery.records import deployed_before
    from swarmops.model.faults import InputError

    entry = project.store.entries.get(name)
    if entry is None or not entry.since:
        return
    here = {host.name for host in project.inventory.hosts.values()}
    late = sorted(here & set(deployed_before(project.state, datetime.fromisoformat(entry.since).timestamp())))
    if late:
        sentence = f"'{name}' keeps its old value: no deploy since the rotation went well on {', '.join(late)}"
        raise InputError.one(sentence, hint="swarmops deploy; --force forgets it all the same")


@command.command("set")
@click.argument("name")
@place_options
def set_(name: str, root: str | None, inventory: str | None) -> None:
    """Store a value that was made elsewhere.

    It is read from stdin or asked for, never taken from the command line.
    """
    from swarmops.model.faults import InputError
    from swarmops.model.secretvalues import weak

    store = _open(root, inventory).store
    _named(name)
    if sys.stdin.isatty():
        value = click.prompt(f"value of {name}", hide_input=True, confirmation_prompt=True, err=True)
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if "\0" in value or not value:
        raise InputError.one(f"the value for '{name}' is empty or holds a NUL")
    if why := weak(value):
        raise InputError.one(f"the value for '{name}' {why}", hint="'swarmops secrets init' makes good ones")
    click.echo(f"{name} {store.set(name, value).tag}")
