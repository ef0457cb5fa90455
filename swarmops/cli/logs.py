"""Show the logs of services or hosts; -f follows them."""

from __future__ import annotations

import click

from swarmops.cli._project import place_options

COUNT = click.IntRange(min=0)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="HOST|ROLE...")
@place_options
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("-n", "--lines", default=100, type=COUNT, show_default=True, metavar="N", help="Of each host at first.")
@click.option("--since", default="", metavar="TIME", help="Nothing older, as journalctl reads it: -1h, today.")
@click.option("--collected", is_flag=True, help="What the collector has of these hosts, also of one that is gone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
def command(
    words: tuple[str, ...],
    inventory: str | None,
    root: str | None,
    follow: bool,
    lines: int,
    since: str,
    collected: bool,
    as_json: bool,
) -> int:
    """Show the logs of services: of a role on all its hosts, or of all services of a host, in the order of time.

    Exit code: 3 when a host could not be reached.
    """
    from swarmops.cli._operate import planned
    from swarmops.cli._output import echo, emit_json, one_line, progress
    from swarmops.model.faults import InputError
    from swarmops.operate import logs
    from swarmops.operate.units import chosen

    project, plans = planned(inventory, root)
    if collected and follow:
        raise InputError.one("what was collected cannot be followed", path="--follow", hint="leave out --collected")
    if collected:
        hosts = [host.name for word in words for host in project.inventory.select(word)]
        stream = logs.collected(project, plans, dict.fromkeys(hosts), lines=lines, since=since)
    else:
        stream = logs.read(project, chosen(project, plans, words), lines=lines, since=since, follow=follow)
    worst = 0
    for found in stream:
        if isinstance(found, logs.Trouble):
            worst = max(worst, 3 if found.code == 3 else 1)
            progress(f"{found.host}: {one_line(found.why)}", "red")
        elif as_json:
            emit_json(found.as_dict(), line=True)
        else:
            echo(one_line(str(found)), "red" if found.priority <= 3 else "")
    return worst
