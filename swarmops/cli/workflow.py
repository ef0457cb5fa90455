"""Submit, watch and cancel workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import print_result, runtime_options, table
from swarmops.cli._task_work import QUEUE

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.tasks.workflows import Workflow


@click.group()
def command() -> None:
    """Submit, watch and cancel workflows: tasks that wait for each other, from a YAML or JSON file."""


@command.command()
@click.argument("file")
@click.option("--id", metavar="NAME", help="The same one again changes nothing (default: a new one).")
@click.option("--queue", metavar="NAME", help="Which queue (default: the file's, else default).")
@click.option("--wait", "seconds", type=float, metavar="S", help="Wait so long for its end and show it.")
@runtime_options
def submit(file: str, id: str | None, queue: str | None, seconds: float | None, rt: Runtime, as_json: bool) -> int:
    """Submit all steps of FILE, or none.

    Prints the workflow's id. With --wait, ends with 0 when all steps are done, else with 1.
    """
    from swarmops.cli._output import progress

    name, steps, found = _read(file)
    where = queue or found or "default"
    done = rt.workflows.submit(name, steps, id=id, queue=where)
    if seconds is not None:
        return _end(rt.workflows.wait(done.id, seconds, where), as_json)
    watch = f"swarmops workflow wait {done.id}" + (f" --queue {where}" if where != "default" else "")
    body = {"schema": "swarmops.submitted/1", "id": done.id, "new": done.new, "queue": where, "watch": watch}
    print_result(body, as_json, lambda: done.id)
    if not as_json:
        known = "accepted" if done.new else "known already, left as it is"
        progress(f"{known}: {len(steps)} steps; watch it: {watch}", "grey")
    return 0


def _read(file: str) -> tuple[str, list[Any], str | None]:
    """The workflow's name, steps and queue. Raises InputError, or Invalid with the field."""
    from pathlib import Path

    from swarmops.model.faults import Faults
    from swarmops.model.yaml import load, plain
    from swarmops.runtime.errors import Invalid

    faults = Faults()
    found = plain(load(Path(file), faults))
    faults.stop_if_any()
    if not isinstance(found, dict):
        raise Invalid(file, "is not a mapping with workflow and steps")
    if unknown := [k for k in found if k not in ("workflow", "queue", "steps")]:
        raise Invalid(file, f"has an unknown field {str(unknown[0])[:60]!r} (known: workflow, queue, steps)")
    steps = found.get("steps")
    if not isinstance(steps, list):
        raise Invalid(file, "steps is not a list")
    return found.get("workflow") or Path(file).stem.lower(), steps, found.get("queue")


@command.command()
@click.argument("workflow")
@QUEUE
@runtime_options
def show(workflow: str, queue: str, rt: Runtime, as_json: bool) -> None:
    """Show each step: its status, and its result or error."""
    _print(rt.workflows.show(workflow, queue=queue), as_json)


@command.command()
@click.argument("workflow")
@click.option("--timeout", type=float, default=60.0, metavar="S", help="Wait so long at most (default: 60).")
@QUEUE
@runtime_options
def wait(workflow: str, timeout: float, queue: str, rt: Runtime, as_json: bool) -> int:
    """Wait for the end and show it.

    Ends with 0 when all steps are done, else with 1.
    """
    return _end(rt.workflows.wait(workflow, timeout, queue), as_json)


@command.command("list")
@click.option("--limit", type=int, default=50, metavar="N", help="How many at most (default: 50).")
@QUEUE
@runtime_options
def list_(limit: int, queue: str, rt: Runtime, as_json: bool) -> None:
    """List workflows, the newest first."""
    found = rt.workflows.list(queue, limit)
    rows = [[w.id, w.name, f"{w.steps - w.open} of {w.steps}"] for w in found]
    body = {"schema": "swarmops.workflows/1", "workflows": [w.as_dict() for w in found]}
    print_result(body, as_json, lambda: table(rows, ["ID", "NAME", "ENDED"]))


@command.command()
@click.argument("workflow")
@QUEUE
@runtime_options
def cancel(workflow: str, queue: str, rt: Runtime, as_json: bool) -> None:
    """End all its open steps as cancelled.

    Results that still come are refused.
    """
    n = rt.workflows.cancel(workflow, queue=queue)
    body = {"schema": "swarmops.cancelled/1", "id": workflow, "steps": n}
    print_result(body, as_json, lambda: f"{n} steps cancelled")


def _end(found: Workflow, as_json: bool) -> int:
    _print(found, as_json)
    return 0 if found.status == "done" else 1


def _print(found: Workflow, as_json: bool) -> None:
    def text() -> str:
        rows = [[s.name, s.status, s.kind, ",".join(s.after), s.worker, _shown(s.result, s.error)] for s in found.steps]
        head = f"{found.id}  {found.name}  {found.status}, {found.open} of {len(found.steps)} steps open"
        return head + "\n" + table(rows, ["STEP", "STATUS", "KIND", "AFTER", "WORKER", "RESULT"])

    print_result({"schema": "swarmops.workflow/1", **found.as_dict()}, as_json, text)


def _shown(result: Any, error: str | None) -> str:
    import json

    text = error if error is not None else "" if result is None else json.dumps(result, ensure_ascii=False)
    return text.replace("\n", " ")[:80]
