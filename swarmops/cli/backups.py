"""List, verify, restore and prune backups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._project import json_option, open_project, place_options

if TYPE_CHECKING:
    from swarmops.backups.sets import Set
    from swarmops.backups.verify import Report
    from swarmops.model.project import Project

MARKS = {True: ("ok", "green"), False: ("BAD", "red"), None: ("not run", "yellow")}


def where_options(command: Callable) -> Callable:
    """-i, --project and --to: which backups are meant."""
    words = "Folder of the backups (default: backup.to)."
    return click.option("--to", "home", metavar="DIR", help=words)(place_options(command))


@click.group()
def command() -> None:
    """List, verify, restore and prune what collect-backups fetched.

    A SET is named by its timestamp or as `latest`.
    """


@command.command("list")
@where_options
@click.option("--all", "everything", is_flag=True, help="Also what is no backup: no manifest, or a damaged one.")
@json_option
def list_(inventory: str | None, root: str | None, home: str | None, everything: bool, as_json: bool) -> int:
    """List the sets, oldest first: when, how large, which hosts.

    In a set that is `incomplete` some hosts or backups failed; the rest is good.
    """
    from swarmops.cli._output import echo, emit_json, plain

    rows = [_row(s) for s in _sets(inventory, root, home) if everything or s.manifest]
    if as_json:
        emit_json(rows)
        return 0
    for row in rows:
        state = "complete" if row["complete"] else row["problem"] or "incomplete"
        hosts = " ".join(n if ok else f"{n}(failed)" for n, ok in row["hosts"].items())
        key = "encrypted  " if row["encrypted"] else ""
        echo(plain(f"{row['set']}  {state:<10}  {row['bytes']:>12} bytes  {key}{hosts}".rstrip()))
    return 0


def _sets(inventory: str | None, root: str | None, home: str | None) -> list[Set]:
    from swarmops.backups import sets
    from swarmops.backups.landing import BackupError, slug
    from swarmops.model.faults import InputError

    folder, tier = _place(inventory, root, home)
    try:
        return sets.find(folder, slug(tier) if tier else None)
    except BackupError as e:
        raise InputError.one(str(e)) from None


def _place(inventory: str | None, root: str | None, home: str | None) -> tuple[Path, str | None]:
    """Folder of the backups and the tier that is meant. With --to alone no project is needed."""
    if home and not inventory:
        return Path(home).expanduser().absolute(), None
    from swarmops.cli.collect_backups import folder_of

    project = open_project(None, inventory, root)
    return folder_of(project, home), project.tier if inventory else None


def _row(one: Set) -> dict[str, Any]:
    from swarmops.backups.manifest import encode

    m = one.manifest or {}
    hosts = {name: h["complete"] for name, h in m.get("hosts", {}).items()}
    return {
        "set": one.name,
        "path": str(one.path),
        "complete": one.complete,
        "problem": one.problem,
        "started": m.get("started"),
        "ended": m.get("ended"),
        "bytes": one.size,
        "encrypted": bool(m.get("recipients")),
        "hosts": hosts,
        "sha256": m and encode(m) and m["sha256"],
    }


@command.command()
@where_options
@click.argument("set_", metavar="[SET]", default="latest")
@click.option("--identity", metavar="FILE", help="Secret key, for an encrypted set.")
@click.option("--checksums-only", is_flag=True, help="Do not boot a scratch Redis on the dumps.")
@json_option
def verify(
    inventory: str | None,
    root: str | None,
    home: str | None,
    set_: str,
    identity: str | None,
    checksums_only: bool,
    as_json: bool,
) -> int:
    """Read every byte; boot a scratch Redis on dumps.

    SET is `latest` unless named.

    Exit code: 0 all of it is good, 1 something is bad or could not be looked at.
    """
    from swarmops.backups import sets
    from swarmops.backups.verify import verify as look

    folder, tier = _place(inventory, root, home)
    report = look(sets.choose(folder, set_, tier), keys=_keys(identity), checksums_only=checksums_only)
    _show(report, as_json)
    return 0 if report.good else 1


def _keys(identity: str | None) -> list[Any] | None:
    if identity is None:
        return None
    from swarmops.backups.encrypt import identities

    return identities(Path(identity).expanduser())


def _show(report: Report, as_json: bool) -> None:
    from dataclasses import asdict

    from swarmops.cli._output import echo, emit_json, paint, plain

    if as_json:
        emit_json({"good": report.good, **asdict(report)})
        return
    for f in report.findings:
        word, colour = MARKS[f.ok]
        where = " ".join(x for x in (f.host, f.backup) if x)
        echo(f"{paint(f'{word:<7}', colour)}  {plain(f'{where:<32}  {f.what}: {f.detail}'.rstrip(': '))}")
    words = "good" if report.good else "NOT GOOD" if report.bad else "not fully verified"
    echo(f"{report.set}: {words}", "green" if report.good else "red")


@command.command()
@where_options
@click.argument("set_", metavar="SET")
@click.option("--host", required=True, help="The host whose backup it is.")
@click.option("--onto", metavar="HOST", help="Restore to another host (needs --force).")
@click.option("--to-dir", metavar="DIR", help="Write plain files here and boot a scratch Redis; no host is touched.")
@click.option("--backup", "only", metavar="ID", multiple=True, help="Only this, as 'redis/redis dump' (repeatable).")
@click.option("--identity", metavar="FILE", help="Secret key, for an encrypted set.")
@click.option("-C", "--check", is_flag=True, help="Say what would be done.")
@click.option("--force", is_flag=True, help="Also a backup of another machine or deployment.")
@click.option("--replace", is_flag=True, help="Also when the target holds data.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(
    inventory: str | None,
    root: str | None,
    home: str | None,
    set_: str,
    host: str,
    onto: str | None,
    to_dir: str | None,
    only: tuple[str, ...],
    identity: str | None,
    check: bool,
    force: bool,
    replace: bool,
    yes: bool,
) -> int:
    """Put the backup of a host back, verified first.

    SET `latest` is the newest in which HOST is whole. Without --yes what would be
    done is shown first, and done after your word.
    """
    from swarmops.backups import sets
    from swarmops.backups.landing import BackupError
    from swarmops.backups.restore import Options, to_folder
    from swarmops.cli._output import plain, progress

    folder, tier = _place(inventory, root, home)
    one, keys = sets.choose(folder, set_, tier, host, only), _keys(identity)
    if set_ == "latest" and one.path != (newest := sets.choose(folder, set_, tier)).path:
        progress(plain(f"latest is {one.name}: {newest.name} is newer, but lacks something of {host}"), "yellow")
    try:
        if to_dir:
            target = Path(to_dir).expanduser().absolute()
            report = to_folder(one, host, target, keys=keys, only=only)
            _show(report, False)
            return 0 if report.good else 1
        project = open_project(None, inventory or one.path.parent.name, root)
        options = Options(check=check, force=force, replace=replace)
        return _onto_host(project, one, host, onto or host, keys, options, only, yes)
    except BackupError as e:
        progress(plain(str(e)), "red")
        return 1


def _onto_host(
    project: Project, one: Set, host: str, target: str, keys: Any, options: Any, only: tuple[str, ...], yes: bool
) -> int:
    import sys
    from dataclasses import replace as with_

    from swarmops.backups.restore import Restore
    from swarmops.cli._output import progress
    from swarmops.cli.collect_backups import declared, fleet_run
    from swarmops.model.faults import InputError

    ask = not (yes or options.check)
    if ask and not sys.stdin.isatty():
        raise InputError.one("there is no terminal to ask on", hint="--yes restores, --check only looks")
    with Restore(one, host, target, declared(project, target).get(target, []), project.name) as work:
        report = work.prepare(keys, options, only)
        for finding in report.not_run:
            progress(f"not run: {finding.what}: {finding.detail}", "yellow")
        for id_ in work.since() if not only else ():
            progress(f"not in this set, declared later: {target} {id_}", "yellow")

        def run(envelopes: dict, contents: dict) -> Any:
            return fleet_run(project, [target], envelopes, contents=contents)

        would = work.play(run, with_(options, check=True))
        _say(would, target)
        if options.check or not all(r["ok"] for r in would):
            return 0 if all(r["ok"] for r in would) else 1
        if ask and not click.confirm(f"Restore this onto {target}?", err=True):
            return 1
        results = work.play(run, options)
        _say(results, target)
        return 0 if all(r["ok"] for r in results) else 1


def _say(results: list[dict], target: str) -> None:
    from swarmops.cli._output import echo, plain

    for r in results:
        facts = r.get("facts") or {}
        told = ", ".join(f"{k} {v}" for k, v in facts.items() if v not in ("", [], None))
        text = f"{r['status']:<8}  {target} {r['id']}: {r.get('reason') or told}"
        echo(plain(text), "green" if r["ok"] else "red")


@command.command()
@where_options
@click.option("--keep", type=click.IntRange(0), metavar="N", help="The N newest (0: only the last good ones).")
@click.option("--keep-days", type=click.IntRange(0), metavar="N", help="All younger than N days.")
@click.option("--keep-daily", type=click.IntRange(0), metavar="N", help="The newest of N days.")
@click.option("--keep-weekly", type=click.IntRange(0), metavar="N", help="The newest of N weeks.")
@click.option("--keep-monthly", type=click.IntRange(0), metavar="N", help="The newest of N months.")
@click.option("--dry-run", is_flag=True, help="Remove nothing, say what would go and what stays.")
@json_option
def prune(
    inventory: str | None,
    root: str | None,
    home: str | None,
    keep: int | None,
    keep_days: int | None,
    keep_daily: int | None,
    keep_weekly: int | None,
    keep_monthly: int | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Remove old sets. A set stays when any rule keeps it; without a rule, the backup.keep newest stay.

    The last good backup of a host never goes, whatever the rules: its checksums are read before anything
    older is removed.
    """
    from datetime import UTC, datetime

    from swarmops.backups.landing import BackupError
    from swarmops.backups.prune import Policy
    from swarmops.backups.prune import prune as remove
    from swarmops.cli._output import echo, emit_json, plain, progress

    policy = Policy(keep, keep_days, keep_daily, keep_weekly, keep_monthly)
    if not policy:
        policy = Policy(last=open_project(None, inventory, root).distributed.backup.keep)
    try:
        decisions = remove(_sets(inventory, root, home), policy, datetime.now(UTC), dry_run=dry_run)
    except BackupError as e:
        progress(plain(str(e)), "red")
        return 1
    if as_json:
        emit_json([{"set": d.set.name, "keep": d.keep, "reasons": d.reasons} for d in decisions])
        return 0
    gone = "would remove" if dry_run else "removed"
    for d in decisions:
        echo(plain(f"{'keep' if d.keep else gone:<12}  {d.set.name}  {', '.join(d.reasons)}".rstrip()))
    return 0
