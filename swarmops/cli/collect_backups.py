"""Fetch from every host what its roles declare worth keeping."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swarmops.cli._project import json_option, limit_option, open_project, project_options
from swarmops.cli._publish import publish_option

if TYPE_CHECKING:
    from swarmops.model.project import Project


@click.command()
@project_options
@limit_option
@click.option("--to", metavar="DIR", help="Folder of the backups (default: backup.to).")
@click.option(
    "--encrypt-to",
    "recipients",
    multiple=True,
    metavar="KEY",
    help="Encrypt to this age1... or ssh-ed25519 public key.",
)
@click.option("--max-size", default=100.0, show_default=True, metavar="GIB", help="Most that one host may send.")
@click.option("-f", "--forks", default=25, show_default=True, metavar="N", help="Hosts at a time.")
@publish_option
@json_option
def command(
    tier: str | None,
    inventory: str | None,
    root: str | None,
    limit: str | None,
    to: str | None,
    recipients: tuple[str, ...],
    max_size: float,
    forks: int,
    publish: str | None,
    as_json: bool,
) -> int:
    """Fetch the backups of TIER into a new set, DIR/TIER/TIMESTAMP. Its manifest is written last.

    Exit code: 0 everything declared is there, 1 a host or a backup of it failed (it is named), 2 wrong input.
    """
    from swarmops.backups.collect import collect
    from swarmops.backups.landing import BackupError
    from swarmops.backups.receive import Limits
    from swarmops.cli._output import plain, progress

    project = open_project(tier, inventory, root)
    _must_be_on(project)
    items = declared(project, limit)
    to_folder = _destination(project, to)
    try:
        outcome = collect(
            to_folder,
            project.name,
            project.tier,
            items,
            lambda envelopes: fleet_run(project, list(items), envelopes, forks),
            recipients=recipients or project.distributed.backup.recipients,
            limits=Limits(host_bytes=int(max_size * (1 << 30))),
            say=lambda text: progress(plain(text)),
        )
    except BackupError as e:
        progress(plain(str(e)), "red")
        return 1
    _tell(outcome, as_json)
    told = not publish or _publish(project, publish, to_folder)
    return 0 if outcome.manifest["complete"] and told else 1


def _publish(project: Project, url: str, to: Path) -> bool:
    from swarmops.cli._publish import newest_backups, publish

    return publish(project, url, "/api/backups", {"sets": newest_backups(to, project.tier)})


def _must_be_on(project: Project) -> None:
    from swarmops.model.faults import InputError

    if not project.distributed.backup.enabled:
        mark = project.distributed.mark("backup", "enabled")
        raise InputError.one("backups of this deployment are switched off", mark=mark, path="backup.enabled")


def _destination(project: Project, to: str | None) -> Path:
    """Where the sets go; it is made. Raises InputError, before any host is contacted."""
    import os

    from swarmops.backups.landing import BackupError, Folder, slug
    from swarmops.model.faults import InputError, Mark

    found = folder_of(project, to)
    try:
        with Folder.open(found, make=True) as folder, folder.sub(slug(project.tier), make=True) as home:
            if not os.access(home.path, os.W_OK | os.X_OK):
                raise BackupError(f"{home.path} is not writable")
    except BackupError as e:
        mark, path = (Mark(), "--to") if to else (project.distributed.mark("backup", "to"), "backup.to")
        raise InputError.one(str(e), mark=mark, path=path) from None
    return found


def _tell(outcome: object, as_json: bool) -> None:
    from swarmops.backups.collect import Outcome
    from swarmops.cli._output import echo, emit_json, plain, progress

    assert isinstance(outcome, Outcome)
    if as_json:
        emit_json({"path": str(outcome.path), "failures": outcome.failures, **outcome.manifest})
    else:
        echo(str(outcome.path))
    for failure in outcome.failures:
        progress(f"FAILED {plain(failure)}", "red")
    if outcome.failures:
        whole = sum(h["complete"] for h in outcome.manifest["hosts"].values())
        progress(f"{whole} of {len(outcome.manifest['hosts'])} hosts are whole in this set", "red")


def declared(project: Project, limit: str | None) -> dict[str, list[dict]]:
    """Host -> its declared backups, for hosts that have any. Raises InputError when none has."""
    from swarmops.model.faults import Faults, InputError
    from swarmops.planning.plan import make_plans

    faults = Faults()
    plans = make_plans(project, limit=limit, faults=faults)
    faults.stop_if_any()
    items = {name: plan.backups for name, plan in plans.items() if plan.backups}
    if not items:
        raise InputError.one("no role of these hosts declares a backup", hint="`backups:` in role.yaml")
    return items


def folder_of(project: Project, to: str | None) -> Path:
    """Where the backups lie: --to from here, backup.to from the project's root."""
    return Path(to).expanduser().absolute() if to else project.root / project.distributed.backup.to


def fleet_run(
    project: Project, hosts: list[str], envelopes: dict, forks: int = 25, contents: dict | None = None
) -> Iterator[tuple[str, dict]]:
    """Play envelopes on hosts of the project. Yields (host, event)."""
    from swarmops.delivery.access import access_to
    from swarmops.delivery.fleet import Fleet

    accesses = [access_to(project.inventory.hosts[name], project.store) for name in hosts]
    fleet = Fleet(accesses, project.state / "known_hosts", forks=forks)
    try:
        yield from fleet.run(envelopes, contents)
    finally:
        fleet.close()
