"""`swarmops task claim|complete|fail|beat|release|progress`: a worker made of shell commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import print_result, runtime_options

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.tasks.records import Claim, Claimed, Outcome

QUEUE = click.option("--queue", default="default", metavar="NAME", help="Which queue (default: default).")
ATTEMPT = click.option("--attempt", type=int, required=True, metavar="N", help="The attempt, as `task claim` said.")


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--worker", required=True, metavar="NAME", help="Who works: a name of your own.")(command)
    return click.option(
        "--lease",
        type=float,
        default=300.0,
        metavar="S",
        help="Seconds until what this worker holds goes to others, unless it calls again (default: 300).",
    )(QUEUE(command))


@click.command()
@worker_options
@click.option("--caps", metavar="A,B", help="What it can do.")
@click.option("--want", type=int, default=1, metavar="N", help="How many tasks at most (default: 1).")
@click.option(
    "--wait", "seconds", type=float, default=0.0, metavar="S", help="Wait so long for the first (default: 0)."
)
@runtime_options
def claim(
    worker: str, caps: str | None, want: int, lease: float, seconds: float, queue: str, rt: Runtime, as_json: bool
) -> int:
    """Take tasks to carry out.

    A JSON line each: id, attempt, kind, args and what its parents gave. No line, and the exit code is 0 all the same,
    when there is nothing to do. The tasks are this worker's until its lease ends: every claim, complete, fail, release
    and beat renews it.
    """
    import time

    from swarmops.cli._output import emit_json
    from swarmops.cli._task_input import comma_names

    has, end = comma_names(caps, "--caps"), time.monotonic() + seconds
    while True:
        found = rt.tasks.step(worker, want=want, caps=has, lease_ms=_ms(lease), queue=queue)
        left = end - time.monotonic()
        if found.tasks or left <= 0:
            break
        due = found.next_due_ms / 1000 if found.next_due_ms >= 0 else 1.0
        rt.tasks.idle(has, seconds=max(0.01, min(left, 1.0, due)), queue=queue)
    rows = [_row(c) for c in found.tasks]
    if as_json:
        emit_json({"schema": "swarmops.claim/1", "tasks": rows})
    else:
        for row in rows:
            emit_json(row, line=True)
    return 0


def _row(one: Claim) -> dict[str, Any]:
    import json

    row: dict[str, Any] = {"id": one.id, "attempt": one.attempt, "kind": one.kind, "args": json.loads(one.args)}
    if one.timeout_ms:
        row["timeout"] = one.timeout_ms / 1000
    if one.parents:
        row["parents"] = dict(one.parents)
    for name in ("workflow", "meta", "fault"):
        if value := getattr(one, name):
            row[name] = value
    return row


@click.command()
@click.argument("task")
@ATTEMPT
@click.option("--result", default="null", metavar="JSON", help="JSON, @file or - for stdin (default: null).")
@worker_options
@runtime_options
def complete(
    task: str, attempt: int, result: str, worker: str, lease: float, queue: str, rt: Runtime, as_json: bool
) -> int:
    """Report that a task is done.

    Ends with 1 when the result is refused, for instance because it came too late.
    """
    from swarmops.cli._task_input import json_bytes
    from swarmops.runtime.tasks.records import Outcome

    outcome = Outcome(_task(task), attempt, json_bytes(result, "--result"))
    return _report(rt, as_json, worker, queue, lease, outcome, "done")


@click.command()
@click.argument("task")
@ATTEMPT
@click.option("--error", required=True, metavar="TEXT", help="What went wrong.")
@click.option("--no-retry", is_flag=True, help="Give it up at once.")
@worker_options
@runtime_options
def fail(
    task: str,
    attempt: int,
    error: str,
    no_retry: bool,
    worker: str,
    lease: float,
    queue: str,
    rt: Runtime,
    as_json: bool,
) -> int:
    """Report that an attempt failed.

    The task is tried again later, or is dead after its last retry.
    """
    from swarmops.runtime.tasks.records import Outcome

    outcome = Outcome(_task(task), attempt, error=error[:10_000], retry=not no_retry)
    return _report(rt, as_json, worker, queue, lease, outcome, "failed")


@click.command()
@click.argument("tasks", nargs=-1, required=True)
@worker_options
@runtime_options
def release(tasks: tuple[str, ...], worker: str, lease: float, queue: str, rt: Runtime, as_json: bool) -> None:
    """Give tasks back without a result.

    They stand where they stood, and no retry is spent.
    """
    ids = [_task(t) for t in tasks]
    rt.tasks.step(worker, lease_ms=_ms(lease), queue=queue, released=ids)
    print_result({"schema": "swarmops.release/1", "tasks": ids}, as_json, lambda: "")


@click.command()
@click.option("--holds", multiple=True, metavar="TASK", help="A task you think you hold; may be repeated.")
@worker_options
@runtime_options
def beat(holds: tuple[str, ...], worker: str, lease: float, queue: str, rt: Runtime, as_json: bool) -> int:
    """Renew the lease of all that a worker holds.

    With --holds, names what it has lost, and ends with 1 then.
    """
    told = [_task(t) for t in holds] if holds else None
    found: Claimed = rt.tasks.beat(worker, lease_ms=_ms(lease), queue=queue, holding=told)
    lost = found.lost
    print_result({"schema": "swarmops.beat/1", "lost": lost}, as_json, lambda: "\n".join(f"lost {t}" for t in lost))
    return 1 if lost else 0


@click.command()
@click.argument("task")
@ATTEMPT
@click.option("--fraction", type=float, default=0.0, metavar="0..1", help="How much is done (default: 0).")
@click.option("--text", default="", metavar="TEXT", help="What it is at.")
@QUEUE
@runtime_options
def progress(task: str, attempt: int, fraction: float, text: str, queue: str, rt: Runtime, as_json: bool) -> None:
    """Say how far a task is that you hold."""
    rt.tasks.progress(_task(task), attempt, fraction, text, queue=queue)
    print_result({"schema": "swarmops.progress/1", "task": task}, as_json, lambda: "")


def _report(rt: Runtime, as_json: bool, worker: str, queue: str, lease: float, outcome: Outcome, verb: str) -> int:
    from swarmops.runtime.errors import LeaseLost

    found = rt.tasks.step(worker, [outcome], lease_ms=_ms(lease), queue=queue)
    if found.refused:
        raise LeaseLost(f"task {outcome.id} attempt {outcome.attempt}: {found.refused[0][1]}")
    print_result(
        {"schema": "swarmops.report/1", "task": outcome.id, "reported": verb}, as_json, lambda: f"{outcome.id} {verb}"
    )
    return 0


def _task(value: str) -> str:
    from swarmops.runtime.ids import name

    return name(value, "TASK")


def _ms(seconds: float) -> int:
    from swarmops.runtime.ids import number

    return int(number(seconds, "--lease", 0.001, 86400) * 1000)
