"""Submit, watch and cancel workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import print_result, print_submitted, runtime_options, table
from swarmops.cli._task_work import QUEUE

if TYPE_CHECKING:
    from swarmops.model.faults import Faults, Mark
    from swarmops.model.yaml import Map, Seq
    from swarmops.runtime import Runtime
    from swarmops.runtime.tasks.steps import StepFault
    from swarmops.runtime.tasks.workflows import Workflow

FIELDS = ("workflow", "queue", "steps")


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
    name, steps, found = _read(file)
    where = queue or found or "default"
    done = rt.workflows.submit(name, steps, id=id, queue=where)
    if seconds is not None:
        return _end(rt.workflows.wait(done.id, seconds, where), as_json)
    print_submitted("workflow", done, where, f": {len(steps)} steps", as_json)
    return 0


def _read(file: str) -> tuple[str, list[Any], str | None]:
    """The workflow's name, steps and queue. Raises InputError with every fault of the file and its place."""
    from pathlib import Path

    from swarmops.model.faults import Faults, InputError, Mark, closest
    from swarmops.model.yaml import Map, Seq, load, plain
    from swarmops.runtime.tasks.steps import examined

    faults = Faults()
    found = load(Path(file), faults)
    if not isinstance(found, Map):
        faults.stop_if_any()
        raise InputError.one("is not a mapping with workflow and steps", mark=Mark(file))
    for key in found:
        if key not in FIELDS:
            faults.add(found.key_mark(key), "", f"has an unknown field {str(key)[:60]!r}", closest(str(key), FIELDS))
    title, queue = found.get("workflow") or Path(file).stem.lower(), found.get("queue")
    _named(found, {"workflow": title, "queue": queue or "default"}, faults)
    steps = found.get("steps")
    if not isinstance(steps, Seq):
        faults.add(found.value_mark("steps"), "", "steps is not a list")
        raise InputError(faults)
    for fault in examined(plain(steps))[1]:
        faults.add(_place(found, steps, fault), fault.path, fault.sentence, fault.hint)
    faults.stop_if_any()
    return plain(title), plain(steps), queue


def _named(found: Map, names: dict[str, Any], faults: Faults) -> None:
    from swarmops.runtime.errors import Invalid
    from swarmops.runtime.ids import name

    for field, value in names.items():
        try:
            name(value, field)
        except Invalid as e:
            faults.add(found.value_mark(field), field, str(e).removeprefix(f"{field}: "))


def _place(found: Map, steps: Seq, fault: StepFault) -> Mark:
    """Where in the file it is: the item, the field, the step, the steps."""
    from swarmops.model.yaml import Map, Seq

    if fault.step is None:
        return found.key_mark("steps")
    step = steps[fault.step]
    if not isinstance(step, Map) or fault.field not in step:
        return steps.value_mark(fault.step)
    value = step[fault.field]
    if fault.item is not None and isinstance(value, Seq):
        return value.value_mark(fault.item)
    return step.key_mark(fault.field)


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
