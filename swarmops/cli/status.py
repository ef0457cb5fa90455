"""Show every node's state and every service's URL."""

from __future__ import annotations

from typing import Any

import click

from swarmops.cli._project import json_option, open_project, project_options

COLOURS = {"online": "green", "degraded": "yellow", "offline": "red", "error": "red", "down": "red"}


@click.command()
@project_options
@json_option
def command(tier: str | None, inventory: str | None, root: str | None, as_json: bool) -> int:
    """Show every node's state and every service's URL, after one look at the whole fleet.

    \b
    pending        never deployed          online    all is well
    enrolling      its first deploy works  degraded  it answers, and something is not well
    error          it waits for a hand     offline   it does not answer
    maintenance, decommissioned: set by `swarmops node`

    Exit code: 0 all nodes are online or set aside by hand, 1 otherwise.
    """
    from swarmops.cli._output import emit_json
    from swarmops.health import collect
    from swarmops.model.faults import Faults
    from swarmops.operate.nodes import BY_HAND, Book
    from swarmops.operate.status import services_of, survey, watched

    project = open_project(tier, inventory, root)
    book = Book(project.state)
    names = set(watched(project, book))
    found = [t for t in collect.targets(project, None, None, Faults()) if t.name in names]
    verdict = collect.look(found, project.state / "known_hosts", services=services_of(project))
    page = survey(project, verdict, book)
    if as_json:
        emit_json(page)
    else:
        _show(page)
    fine = {"online", *map(str, BY_HAND)}
    return int(any(node["status"] not in fine for node in page["nodes"]))


def _show(page: dict[str, Any]) -> None:
    from swarmops.cli._output import echo, one_line, paint

    wide = max([4, *(len(n["node"]) for n in page["nodes"])])
    echo(f"{page['deployment']}, tier {page['tier']}")
    for node in page["nodes"]:
        status = paint(f"{node['status']:<14}", COLOURS.get(node["status"], ""))
        echo(f"  {node['node']:<{wide}}  {status}  {', '.join(node['roles']):<22}  {one_line(node['why'])}".rstrip())
    if page["services"]:
        echo()
    for row in page["services"]:
        state = paint(f"{row['state']:<8}", COLOURS.get(row["state"], ""))
        more = "  ".join(f"{url.removeprefix(row['url'])}" for url in row["more"].values())
        echo(f"  {row['service']:<12} {state} {row['url']}  {more}".rstrip())
