"""Make the hosts as declared; -C -D shows what would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from collections.abc import Iterator

    from swarmops.delivery.options import Checks
    from swarmops.model.faults import Faults
    from swarmops.model.project import Project
    from swarmops.model.schema.serial import Serial

FORMATS = click.Choice(["text", "json", "jsonl", "junit"])


@click.command()
@project_options
@limit_option
@click.option("-t", "--tags", multiple=True, metavar="TAGS", help="Only tasks with one of these tags.")
@click.option("-C", "--check", is_flag=True, help="Change nothing; say what would change.")
@click.option("-D", "--diff", is_flag=True, help="Show how files and settings differ.")
@click.option(
    "-f", "--forks", type=click.IntRange(1), default=25, show_default=True, metavar="N", help="Hosts at a time."
)
@click.option("--serial", metavar="SIZE", help="Hosts of a wave to change at a time: 2, 30% or 1,5,100%.")
@extra_option
@click.option("--yes", is_flag=True, help="Do not ask before changing.")
@click.option("--retry", is_flag=True, help="Only the hosts that failed in the last deploy.")
@click.option("--continue", "carry_on", is_flag=True, help="Start later waves and batches although a host failed.")
@click.option("--adopt", is_flag=True, help="Take over hosts recorded as another machine or deployment.")
@click.option("--connect-timeout", default=10.0, show_default=True, metavar="S", help="Seconds to log in to a host.")
@click.option(
    "--confirm",
    type=click.FloatRange(min=1),
    metavar="S",
    help="Seconds until a host undoes what locks us out (default: security.rollback).",
)
@click.option("--detailed-exitcode", is_flag=True, help="With -C: exit 4 when something would change.")
@click.option("--format", "format_", type=FORMATS, default="text", show_default=True, help="How results are told.")
@click.option("--json", "as_json", is_flag=True, help="Same as --format json.")
@click.option("-v", "--verbose", count=True, help="Show unchanged tasks too.")
def command(
    tier: str | None,
    inventory: str | None,
    root: str | None,
    limit: str | None,
    tags: tuple[str, ...],
    check: bool,
    diff: bool,
    forks: int,
    serial: str | None,
    extra: tuple[str, ...],
    yes: bool,
    retry: bool,
    carry_on: bool,
    adopt: bool,
    connect_timeout: float,
    confirm: float | None,
    detailed_exitcode: bool,
    format_: str,
    as_json: bool,
    verbose: int,
) -> int:
    """Make the hosts of TIER as declared. TIER is an inventory under inventory/ (default: deployment.tier).

    Without --yes the changes are shown first, and the same run applies them after your word.

    Exit code: 0 fine, 1 something failed, 2 the input is wrong, 3 a host is unreachable, 4 would change (with
    --check --detailed-exitcode).
    """
    import sys
    from functools import partial

    from swarmops.cli._deploy_printers import printer_for
    from swarmops.delivery.deploy import Deploy
    from swarmops.delivery.options import Options
    from swarmops.model.faults import Faults, Mark

    format_ = "json" if as_json else format_
    ask = not (yes or check)
    faults = Faults()
    if ask and not (sys.stdin.isatty() and format_ == "text"):
        faults.add(Mark(), "", "there is no terminal to ask on", "--yes applies, --check only looks")
    size = _serial(serial, faults)
    project = open_project(tier, inventory, root, faults)
    options = Options(
        limit=limit,
        tags=split_tags(tags),
        extra=extra_vars(extra),
        check=check,
        diff=diff,
        ask=ask,
        forks=forks,
        connect_timeout=connect_timeout,
        confirm=project.distributed.security.rollback if confirm is None else confirm,
        retry=retry,
        adopt=adopt,
        carry_on=carry_on,
        serial=size,
        gate=partial(_gate, project),
    )
    deploy = Deploy(project, options, faults)
    say_warnings(faults)
    again = " ".join(["swarmops deploy", *([tier] if tier else ["-i", inventory] if inventory else [])])
    printer = printer_for(format_, verbose=verbose, diff=diff or ask, again=again)
    for record in deploy.run():
        printer.show(record)
        if record["type"] == "asked":
            would = record["would"]
            deploy.decide(would == 0 or click.confirm(f"Apply {would} change{'s' * (would != 1)}?", err=True))
    printer.close()
    return deploy.exit_code(detailed_exitcode)


def _serial(text: str | None, faults: Faults) -> Serial | None:
    """The value of --serial; a list is written with commas."""
    if text is None:
        return None
    from swarmops.model.faults import Mark
    from swarmops.model.schema.section import Place
    from swarmops.model.schema.serial import Serial, serial

    place = Place(faults, mark=Mark("--serial"))
    read = [place.read(serial, size, None) for size in text.split(",")]
    return Serial(tuple(size for one in read if one for size in one.sizes))


def _gate(project: Project, changed: Checks, coming: Checks) -> Iterator[dict[str, str]]:
    from swarmops.health.gate import unwell  # only a deploy in batches that changes something has use for it

    return unwell(project, changed, coming)
