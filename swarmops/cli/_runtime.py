"""Options and first steps of the verbs that speak to the coordination Redis."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.tasks.records import Submitted


def runtime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--redis, --namespace and --json; the command is given an open `rt` and `as_json`.

    A command ends with the exit code of the error it meets (see swarmops.runtime.errors).
    """

    @click.option("--redis", "url", metavar="URL", help="Which Redis ($SWARMOPS_RUNTIME, $REDIS_HOST, runtime.json).")
    @click.option("--namespace", metavar="NAME", help="What all keys begin with (default: swarm).")
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @functools.wraps(command)
    def opened(*args: Any, url: str | None, namespace: str | None, as_json: bool, **kwargs: Any) -> Any:
        with open_runtime(url, namespace) as rt:
            return command(*args, rt=rt, as_json=as_json, **kwargs)

    return opened


def open_runtime(url: str | None, namespace: str | None, **more: Any) -> Runtime:
    """A runtime that does not wait for a Redis that is away, unless $SWARMOPS_PATIENCE or `patience` say so. Raises
    Invalid."""
    import os

    from swarmops.runtime import Runtime, Settings
    from swarmops.runtime.errors import Invalid

    if url and urlsplit(url).password:
        raise Invalid(
            "--redis", "a password on the command line is seen by all (use SWARMOPS_REDIS_URL, or ?password_file=)"
        )
    patience = None if os.environ.get("SWARMOPS_PATIENCE") else 0
    return Runtime(Settings.find(url, **{"patience": patience, "namespace": namespace, **more}))


def print_result(value: Any, as_json: bool, text: Callable[[], str]) -> None:
    """`value` as JSON, or what `text` makes of it with control characters made visible."""
    from swarmops.cli._output import echo, emit_json, plain

    if as_json:
        emit_json(value)
    elif said := text():
        echo(plain(said))


def print_submitted(what: str, done: Submitted, queue: str, more: str, as_json: bool) -> None:
    """The id of a task or workflow that was accepted, and how to watch it. `more`: what else is said of it."""
    from swarmops.cli._output import progress

    watch = f"swarmops {what} wait {done.id}" + (f" --queue {queue}" if queue != "default" else "")
    body = {"schema": "swarmops.submitted/1", "id": done.id, "new": done.new, "queue": queue, "watch": watch}
    print_result(body, as_json, lambda: done.id)
    if not as_json:
        known = "accepted" if done.new else "known already, left as it is"
        progress(f"{known}{more}; watch it: {watch}", "grey")


def table(rows: list[list[str]], head: list[str]) -> str:
    """Columns as wide as they must be; nothing but the head when there are no rows."""
    lines = [head, *rows]
    wide = [max(len(row[i]) for row in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, wide)).rstrip() for row in lines)
