"""Say within 5 seconds how every host is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swarmops.cli._project import limit_option, open_project, project_options
from swarmops.cli._publish import publish_option

if TYPE_CHECKING:
    from swarmops.health.verdict import Result, State, Verdict
    from swarmops.model.project import Project

FORMATS = click.Choice(["table", "json", "jsonl", "prometheus", "junit", "nagios"])
NEXT = 0.5  # seconds of monitoring.timeout that are left for Python to start and to end
LEAST_PAUSE = 0.5
LEAST = 2.0  # seconds for a look, however long planning took
COLOURS = ("green", "yellow", "red", "cyan")  # by state


@click.command()
@project_options
@limit_option
@click.option("--service", metavar="ROLE", help="Only this role's checks, on its hosts.")
@click.option("--latency", is_flag=True, help="Also measure the way from every host to Redis.")
@click.option("--format", "format_", type=FORMATS, default="table", show_default=True, help="How the verdict is told.")
@click.option("--json", "as_json", is_flag=True, help="Same as --format json.")
@click.option(
    "--watch",
    metavar="[SECONDS]",
    type=click.FloatRange(min=0),
    is_flag=False,
    flag_value="0",
    help="Look again and again, with this pause (default: monitoring.interval), until Ctrl-C.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(1.0, 300.0),
    metavar="S",
    help="Seconds for one look at everything (default: monitoring.timeout less 0.5).",
)
@click.option("--out", metavar="FILE", help="Write to this file, whole or not at all, instead of stdout.")
@publish_option
@click.option("-v", "--verbose", is_flag=True, help="Show checks that are OK too.")
def command(
    tier: str | None,
    inventory: str | None,
    root: str | None,
    limit: str | None,
    service: str | None,
    latency: bool,
    format_: str,
    as_json: bool,
    watch: float | None,
    deadline: float | None,
    out: str | None,
    publish: str | None,
    verbose: bool,
) -> int:
    """Look at every host of TIER at once, from here and on the host itself.

    Exit code, as Nagios has it: 0 all well, 1 a warning, 2 something is critical or a host is gone, 3 something
    could not be told.
    """
    import time

    from swarmops.health import collect
    from swarmops.model.faults import Faults
    from swarmops.operate.status import services_of

    began, format_ = time.monotonic(), "json" if as_json else format_
    project = open_project(tier, inventory, root)
    if watch is not None:
        watch = max(LEAST_PAUSE, watch or project.distributed.monitoring.interval)
    deadline = deadline or min(300.0, max(1.0, project.distributed.monitoring.timeout - NEXT))
    found = collect.targets(project, limit, service, Faults(), latency=latency)
    while True:
        # The first deadline is that of the command: planning is part of it, as long as enough is left to look.
        planned = time.monotonic() - began
        verdict = collect.look(
            found,
            project.state / "known_hosts",
            deadline=max(min(deadline, LEAST), deadline - planned),
            services=services_of(project),
            on_result=_line if format_ == "jsonl" and not out else None,
        )
        _tell(verdict, format_, out, verbose, again=watch is not None)
        told = not publish or _publish(project, publish, verdict)
        if watch is None:
            return int(verdict.state) or (0 if told else 3)
        time.sleep(max(0.0, watch - (time.monotonic() - began)))
        began = time.monotonic()


def _publish(project: Project, url: str, verdict: Verdict) -> bool:
    from swarmops.cli._publish import publish
    from swarmops.health.formats.json import document

    return publish(project, url, "/api/fleet", document(verdict))


def _line(result: Result) -> None:
    from swarmops.cli._output import echo
    from swarmops.health.formats import jsonl

    echo(jsonl.line(result))


def _tell(verdict: Verdict, format_: str, out: str | None, verbose: bool, again: bool) -> None:
    import sys
    import time

    from swarmops.cli._output import clean, echo, progress
    from swarmops.health import formats
    from swarmops.health.formats import jsonl, table

    if out:
        _write(out, clean(formats.text(format_, verdict, verbose=verbose)) + "\n")
        progress(f"{out}: {table.sentence(verdict)}")
    elif format_ == "table":
        if again:
            clear = "\033[H\033[2J" if sys.stdout.isatty() else ""
            echo(f"{clear}{time.strftime('%H:%M:%S', time.localtime(verdict.at))}")
        echo(table.text(verdict, verbose, _paint))
    elif format_ == "jsonl":
        echo(jsonl.closing(verdict))
    else:
        echo(formats.text(format_, verdict, verbose=verbose))


def _paint(words: str, state: State) -> str:
    from swarmops.cli._output import paint

    return paint(words, COLOURS[state])


def _write(path: str, text: str) -> None:
    """Whole or not at all, so that a collector never reads half a file."""
    import os
    import tempfile
    from pathlib import Path

    from swarmops.model.faults import InputError

    target = Path(path)
    try:
        fd, temp = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as f:
                f.write(text)
                f.flush()
                os.fsync(f.fileno())
                os.fchmod(f.fileno(), 0o644)  # a collector runs as a user of its own
            Path(temp).replace(target)
        except BaseException:
            Path(temp).unlink(missing_ok=True)
            raise
    except OSError as e:
        raise InputError.one(f"cannot write {path}: {e.strerror}", path="--out") from None
