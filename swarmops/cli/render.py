"""Write the files of every host into a folder; contact nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._project import (
    extra_option,
    extra_vars,
    limit_option,
    open_project,
    project_options,
    say_warnings,
    split_tags,
)

if TYPE_CHECKING:
    from swarmops.model.faults import Faults
    from swarmops.model.project import Project
    from swarmops.planning.plan import Plan
    from swarmops.planning.render import Entry


@click.command()
@project_options
@limit_option
@click.option("-t", "--tags", multiple=True, metavar="TAGS", help="Only files of tasks with one of these tags.")
@extra_option
@click.option("-o", "--out", metavar="DIR", help="The folder (default: out/TIER in the project).")
@click.option("-D", "--diff", is_flag=True, help="Show how DIR would change; write nothing.")
@click.option(
    "--validate/--no-validate", default=True, help="Let nft, redis-server, sshd and others judge the files (default)."
)
@click.option("--json", "as_json", is_flag=True, help="The files as JSON on stdout.")
def command(
    tier: str | None,
    inventory: str | None,
    root: str | None,
    limit: str | None,
    tags: tuple[str, ...],
    extra: tuple[str, ...],
    out: str | None,
    diff: bool,
    validate: bool,
    as_json: bool,
) -> int:
    """Write DIR/<host>/<absolute path> for every file that the roles render for the hosts of TIER.

    Files that hold a secret have mode 0600 and are never shown. What an earlier run wrote there and nothing renders
    any more is removed.
    """
    from swarmops.cli._output import progress
    from swarmops.model.faults import Faults
    from swarmops.planning.render import Tree

    faults = Faults()
    project = open_project(tier, inventory, root, faults)
    plans = _plans(project, limit, split_tags(tags), extra_vars(extra), faults)
    tree = Tree.at(Path(out) if out else project.root / "out" / project.tier)
    entries = tree.compare(plans, whole=not tags)
    if not diff:
        tree.write(entries)
    if as_json:
        _print_json(tree.root, plans, entries)
    else:
        _print(entries, diff)
        progress(_summary(tree.root, plans, entries, diff))
    return _validate(plans) if validate and not diff else 0


def _plans(
    project: Project, limit: str | None, tags: list[str], extra: dict[str, Any], faults: Faults
) -> dict[str, Plan]:
    from swarmops.model import declared
    from swarmops.planning.plan import make_plans

    declared.check(project, faults)
    plans = make_plans(project, limit=limit, tags=tags, extra=extra, faults=faults)
    say_warnings(faults)
    faults.stop_if_any()
    return plans


def _print(entries: list[Entry], diff: bool) -> None:
    from swarmops.cli._output import echo, plain
    from swarmops.planning import render

    colours = {"+": "green", "-": "red", "@": "cyan"}
    for entry in entries:
        if entry.state == render.SAME:
            continue
        if not diff:
            secret = " (secret)" if entry.secret else ""
            echo(f"{entry.state:8}{entry.host} {entry.path}{secret}")
            continue
        for line in render.diff(entry).split("\n")[:-1]:
            echo(plain(line), colours.get(line[:1], ""))


def _summary(root: Path, plans: dict[str, Plan], entries: list[Entry], diff: bool) -> str:
    count = {state: sum(e.state == state for e in entries) for state in ("new", "changed", "same", "gone")}
    words = ", ".join(f"{n} {state}" for state, n in count.items() if n) or "nothing"
    would = "would write" if diff else "wrote"
    return f"{would} {root}: {len(plans)} host{'s' * (len(plans) != 1)}, {words}"


def _print_json(root: Path, plans: dict[str, Plan], entries: list[Entry]) -> None:
    from swarmops.cli._output import emit_json

    hosts = {name: [e.as_json() for e in entries if e.host == name] for name in plans}
    emit_json({"schema": "swarmops.render/1", "out": str(root), "hosts": hosts})


def _validate(plans: dict[str, Plan]) -> int:
    """What the real programs say of the files. 2 when one of them refuses."""
    from swarmops.cli._output import progress
    from swarmops.planning.validators import Tools, validate_all

    wrong = 0
    contents = {sha: data for plan in plans.values() for sha, data in plan.contents.items()}
    with Tools(contents) as tools:
        for host, plan in plans.items():
            for file, line, sentence in validate_all(plan.files, tools):
                where = f"{file.template or file.mark}" if file.template else str(file.mark)
                progress(f"{host} {file.path}{f':{line}' if line else ''}: {sentence} (rendered from {where})", "red")
                wrong += 1
        for name, why in sorted(tools.not_run.items()):
            progress(f"not run: {name}, {why}", "yellow")
        ran = ", ".join(f"{name} {n}x" for name, n in sorted(tools.ran.items()))
    progress(f"judged by {ran or 'nobody'}: {wrong or 'no'} fault{'s' * (wrong != 1)}")
    return 2 if wrong else 0
