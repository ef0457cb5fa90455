"""Check everything that was declared; contact nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._project import place_options

if TYPE_CHECKING:
    from swarmops.model.faults import Fault, Faults
    from swarmops.model.project import Project


@click.command()
@place_options
@click.option("--json", "as_json", is_flag=True, help="Faults and counts as JSON on stdout.")
def command(inventory: str | None, root: str | None, as_json: bool) -> int:
    """Check inventory, distributed.yaml, secrets, roles and templates: every fault in one run, with its line.

    Exit code 0 when all is fine (warnings allowed), 2 when something is wrong.
    """
    from swarmops.cli._output import redact_with
    from swarmops.model.faults import Faults
    from swarmops.model.project import Project
    from swarmops.model.redactor import Redactor

    faults = Faults()
    project = Project.open(root, inventory, faults)
    redact_with(Redactor(project.store.values()))
    counts = _check(project, faults)
    if as_json:
        _print_json(faults, counts)
    else:
        _print(faults, counts)
    return 2 if faults else 0


def _check(project: Project, faults: Faults) -> dict[str, int]:
    """Runs every check; returns how much was seen."""
    from swarmops.model import declared
    from swarmops.model.secrets import StandIns
    from swarmops.planning.plan import make_plans

    declared.check(project, faults)
    project.store = StandIns.of(project.store)
    plans = make_plans(project, extra={}, faults=faults) if project.inventory.hosts else {}
    return {
        "hosts": len(project.inventory.hosts),
        "roles": len(project.distributed.infrastructure),
        "files": sum(len(plan.files) for plan in plans.values()),
    }


def _print(faults: Faults, counts: dict[str, int]) -> None:
    from swarmops.cli._output import echo, progress
    from swarmops.model.faults import InputError

    for warning in sorted(faults.warnings):
        progress(str(warning), "yellow")
    for line in InputError(faults).lines() if faults else []:
        progress(line)
    if not faults:
        words = [f"{n} {what[:-1] if n == 1 else what}" for what, n in counts.items()]
        echo(", ".join(words) + ": fine")


def _print_json(faults: Faults, counts: dict[str, int]) -> None:
    from swarmops.cli._output import emit_json

    emit_json({"fine": not faults, **counts, "faults": [_row(f) for f in sorted(faults)]})


def _row(fault: Fault) -> dict[str, Any]:
    return {
        "level": "warning" if fault.warning else "error",
        "file": fault.mark.file,
        "line": fault.mark.line,
        "column": fault.mark.column,
        "path": fault.path,
        "sentence": fault.sentence,
        "hint": fault.hint,
    }
