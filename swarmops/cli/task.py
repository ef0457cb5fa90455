"""Submit, watch, cancel and carry out tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import print_result, print_submitted, runtime_options, table
from swarmops.cli._task_work import QUEUE, beat, claim, complete, fail, progress, release

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.tasks.records import Task


@click.group()
def command() -> None:
    """Submit, watch, cancel and carry out tasks of a queue.

    `claim`, `complete`, `fail`, `release`, `beat` and `progress` make a worker of any program that can run a command.
    """


for _one in (claim, complete, fail, release, beat, progress):
    command.add_command(_one)


@command.command()
@click.argument("kind", required=False)
@click.option("--args", "said", metavar="JSON", help="Arguments: JSON, @file or - for stdin (default: null).")
@click.option("--id", metavar="NAME", help="The task's id: the same one again changes nothing (default: a new one).")
@QUEUE
@click.option("--priority", type=int, default=5, metavar="0..9", help="Higher goes first (default: 5).")
@click.option("--needs", metavar="A,B", help="Capabilities that its worker must have.")
@click.option("--delay", type=float, default=0.0, metavar="S", help="Not before so many seconds.")
@click.option("--expires", type=float, metavar="S", help="Not begun by then, it ends as expired.")
@click.option("--timeout", type=float, metavar="S", help="For one attempt.")
@click.option("--retries", type=int, default=3, metavar="N", help="Attempts after the first (default: 3).")
@click.option("--backoff", type=float, default=1.0, metavar="S", help="Before the first retry, then doubled.")
@click.option("--meta", metavar="JSON", help="An object that goes along with it.")
@click.option("--wait", "seconds", type=float, metavar="S", help="Wait so long for the result and print it.")
@click.option("--lines", "file", metavar="FILE", help="Many instead: JSON lines such as are posted, - for stdin.")
@runtime_options
def submit(
    kind: str | None,
    said: str | None,
    seconds: float | None,
    file: str | None,
    queue: str,
    rt: Runtime,
    as_json: bool,
    **more: Any,
) -> None:
    """Submit a task, or those of a file.

    Prints its id. With --wait, prints the result as JSON, and ends with 1 when there is none.
    """
    from swarmops.cli._task_input import comma_names, json_of
    from swarmops.runtime.errors import Invalid
    from swarmops.runtime.ids import new_id

    if file:
        if kind or seconds is not None:
            raise Invalid("--lines", "goes without KIND and --wait")
        return _submit_lines(rt, file, queue, as_json)
    if not kind:
        raise Invalid("KIND", "is missing (or give --lines)")
    more = {**more, "needs": comma_names(more["needs"], "--needs"), "meta": json_of(more["meta"], "--meta")}
    args, id = json_of(said, "--args"), more.pop("id") or new_id()
    if seconds is not None:
        return _print_result(
            lambda: rt.tasks.submit_and_wait(kind, args, wait=seconds, queue=queue, id=id, **more), id, as_json
        )
    done = rt.tasks.submit(kind, args, queue=queue, id=id, **more)
    print_submitted("task", done, queue, f"; any worker of queue {queue} may take it", as_json)


def _submit_lines(rt: Runtime, file: str, queue: str, as_json: bool) -> None:
    from swarmops.cli._task_input import specs_of

    done = rt.tasks.submit_many(specs_of(file), queue=queue)
    new = sum(d.new for d in done)
    body = {"schema": "swarmops.submitted-many/1", "new": new, "known": len(done) - new, "ids": [d.id for d in done]}
    print_result(body, as_json, lambda: f"{new} accepted, {len(done) - new} known already")


def _print_result(get: Callable[[], Any], id: str, as_json: bool) -> None:
    from swarmops.cli._output import emit_json
    from swarmops.runtime.errors import Refused
    from swarmops.runtime.tasks.records import TaskFailed

    try:
        value = get()
    except TaskFailed as e:
        raise Refused(str(e)) from None  # one of the errors that commands know
    emit_json({"schema": "swarmops.result/1", "id": id, "result": value} if as_json else value, line=not as_json)


@command.command()
@click.argument("task")
@QUEUE
@runtime_options
def get(task: str, queue: str, rt: Runtime, as_json: bool) -> None:
    """Show all that is known of a task."""
    found = rt.tasks.get(task, queue=queue)
    print_result({"schema": "swarmops.task/1", **found.as_dict()}, as_json, lambda: _lines(found))


def _lines(one: Task) -> str:
    import json

    empty: tuple[Any, ...] = (None, "", 0, (), {})
    shown = {k: v for k, v in one.as_dict().items() if v not in empty or k == "status"}
    width = max(map(len, shown))
    texts = {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False, default=str) for k, v in shown.items()}
    return "\n".join(f"{k.replace('_', ' '):<{width}}  {v}" for k, v in texts.items())


@command.command("list")
@click.option("--status", metavar="STATUS", help="Only these: ready, delayed, waiting, running, done, dead, ...")
@click.option("--limit", type=int, default=50, metavar="N", help="How many at most (default: 50).")
@click.option("--offset", type=int, default=0, metavar="N", help="Skip so many.")
@QUEUE
@runtime_options
def list_(status: str | None, limit: int, offset: int, queue: str, rt: Runtime, as_json: bool) -> None:
    """List open tasks, or those of one status."""
    wanted = [status] if status else ["running", "ready", "delayed", "waiting"]
    ops = [rt.tasks.list.op(one, queue=queue, limit=limit, offset=offset) for one in wanted]
    found: list[Task] = []
    for reply in rt.run_many(ops):
        if isinstance(reply, Exception):
            raise reply
        found += reply
    _print_tasks(found[:limit], as_json)


@command.command()
@click.option("--limit", type=int, default=50, metavar="N", help="How many at most (default: 50).")
@QUEUE
@runtime_options
def dead(limit: int, queue: str, rt: Runtime, as_json: bool) -> None:
    """List tasks that were given up."""
    _print_tasks(rt.tasks.dead(queue=queue, limit=limit), as_json)


def _print_tasks(found: list[Task], as_json: bool) -> None:
    rows = [
        [t.id, t.status, t.kind, str(t.priority), str(t.attempt), t.worker, (t.error or "").replace("\n", " ")[:60]]
        for t in found
    ]
    head = ["ID", "STATUS", "KIND", "PRIORITY", "ATTEMPT", "WORKER", "ERROR"]
    body = {"schema": "swarmops.tasks/1", "tasks": [t.as_dict() for t in found]}
    print_result(body, as_json, lambda: table(rows, head))


@command.command()
@click.argument("task")
@click.option("--timeout", type=float, default=60.0, metavar="S", help="Wait so long at most (default: 60).")
@QUEUE
@runtime_options
def wait(task: str, timeout: float, queue: str, rt: Runtime, as_json: bool) -> None:
    """Wait for a task's end and print its result.

    As JSON. Ends with 1 when it has none, or not in time.
    """
    _print_result(lambda: rt.tasks.result(task, timeout=timeout, queue=queue), task, as_json)


@command.command()
@click.argument("task")
@QUEUE
@runtime_options
def cancel(task: str, queue: str, rt: Runtime, as_json: bool) -> None:
    """End an open task, and stop those that need it.

    A result that still comes is refused.
    """
    rt.tasks.cancel(task, queue=queue)
    body = {"schema": "swarmops.cancelled/1", "id": task}
    print_result(body, as_json, lambda: f"{task} cancelled")


@command.command()
@click.argument("task", required=False)
@click.option("--all", "limit", type=int, metavar="N", help="The N oldest dead ones.")
@QUEUE
@runtime_options
def requeue(task: str | None, limit: int | None, queue: str, rt: Runtime, as_json: bool) -> None:
    """Try a dead task again, or the N oldest."""
    from swarmops.runtime.errors import Invalid

    if (task is None) == (limit is None):
        raise Invalid("requeue", "wants either a task or --all N")
    if task is not None:
        rt.tasks.requeue(task, queue=queue)
        ids = [task]
    else:
        ids = list(rt.tasks.requeue_dead(limit or 0, queue=queue))
    print_result({"schema": "swarmops.requeued/1", "ids": ids}, as_json, lambda: "\n".join(ids))


@command.command()
@QUEUE
@runtime_options
def depth(queue: str, rt: Runtime, as_json: bool) -> None:
    """Show how full a queue is."""
    found = rt.tasks.depth(queue)
    body = found.as_dict()
    lanes = body.pop("lanes")

    def text() -> str:
        lines = [f"{k.replace('_', ' '):<10} {v}" for k, v in body.items()]
        return "\n".join([*lines, *(f"needs {lane or '(nothing)'}: {n} ready" for lane, n in lanes.items())])

    print_result({"schema": "swarmops.depth/1", **body, "lanes": lanes}, as_json, text)


@command.command()
@click.option("--limit", type=int, metavar="N", help="Open and dead tasks at most; more are refused as full.")
@click.option("--aging", type=float, metavar="S", help="A level of priority is worth so much waiting; 0: strict.")
@click.option("--keep", type=float, metavar="S", help="Outcomes are kept so long.")
@click.option("--kept", type=int, metavar="N", help="Outcomes kept at most.")
@click.option("--deaths", type=int, metavar="N", help="Workers that may die of a task before it is given up.")
@click.option("--audit/--no-audit", default=None, help="Write every change into the queue's events.")
@QUEUE
@runtime_options
def configure(queue: str, rt: Runtime, as_json: bool, **given: Any) -> None:
    """Change and show a queue's settings.

    Shows all that were ever set.
    """
    found = rt.tasks.configure(queue, **{k: v for k, v in given.items() if v is not None})
    body = {"schema": "swarmops.queue/1", "queue": queue, "settings": found}
    print_result(body, as_json, lambda: "\n".join(f"{k:<8} {v}" for k, v in found.items()))


@command.command()
@click.argument("what", type=click.Choice(["dead", "ended"]))
@click.option("--limit", type=int, default=10_000, metavar="N", help="The N oldest (default: 10000).")
@QUEUE
@runtime_options
def purge(what: str, limit: int, queue: str, rt: Runtime, as_json: bool) -> None:
    """Forget dead tasks, or outcomes, for good."""
    n = rt.tasks.purge(what, limit=limit, queue=queue)
    print_result({"schema": "swarmops.purged/1", "what": what, "purged": n}, as_json, lambda: f"{n} forgotten")
