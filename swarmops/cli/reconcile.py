"""Look at the fleet again and again, restart what fails."""

from __future__ import annotations

from typing import Any

import click

from swarmops.cli._project import project_options
from swarmops.cli._publish import publish_option


@click.command()
@project_options
@click.option(
    "--interval", type=click.FloatRange(1), default=60.0, show_default=True, metavar="S", help="Between rounds."
)
@click.option(
    "--most", type=click.IntRange(0), default=3, show_default=True, metavar="N", help="Restarts of a service."
)
@click.option(
    "--cooldown", type=click.FloatRange(0), default=300.0, show_default=True, metavar="S", help="Between two of them."
)
@click.option("--watch-only", is_flag=True, help="Restart nothing.")
@click.option("--once", is_flag=True, help="One round.")
@publish_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
def command(
    tier: str | None,
    inventory: str | None,
    root: str | None,
    interval: float,
    most: int,
    cooldown: float,
    watch_only: bool,
    once: bool,
    publish: str | None,
    as_json: bool,
) -> int:
    """Look at every node of TIER again and again, keep its state, and restart services that fail.

    A node that misses three looks is offline. A service whose check is critical is restarted, at most --most times,
    --cooldown apart; then its node is in error and waits for a hand. `swarmops node maintenance HOST` keeps it away.
    With --once, the exit code is 1 when a node is not online.
    """
    import time

    from swarmops.cli._operate import chosen_units
    from swarmops.cli._publish import publish as tell
    from swarmops.health import collect
    from swarmops.health.formats.json import document
    from swarmops.model.faults import Faults
    from swarmops.operate.nodes import BY_HAND, Book
    from swarmops.operate.reconcile import Policy, Reconciler
    from swarmops.operate.status import services_of, watched

    project, units = chosen_units(inventory, root, ["all"], tier)
    rounds = Reconciler(project, units, Policy(interval, most, cooldown, not watch_only))
    targets = collect.targets(project, None, None, Faults())
    while True:
        began = time.monotonic()
        names = set(watched(project, Book(project.state)))
        found = [t for t in targets if t.name in names]
        verdict = collect.look(found, project.state / "known_hosts", services=services_of(project))
        if publish:
            tell(project, publish, "/api/fleet", document(verdict))
        for record in rounds.round(verdict):
            _say(record, as_json, once)
        if once:
            fine = {"online", *map(str, BY_HAND)}
            return int(bool(set(record["nodes"]) - fine))
        time.sleep(max(0.0, interval - (time.monotonic() - began)))


def _say(record: dict[str, Any], as_json: bool, once: bool) -> None:
    from swarmops.cli._output import echo, emit_json, one_line

    if as_json:
        emit_json(record, line=True)
    elif record["type"] == "node":
        echo(one_line(f"{record['node']}: {record['from']} -> {record['to']}  {record['why']}").rstrip())
    elif record["type"] == "remedy":
        echo(
            one_line(
                f"{record['node']}: restarted {record['unit']} ({record['try']} of {record['of']}): {record['text']}"
            ),
            "red" if record["code"] else "",
        )
    elif once:
        echo(", ".join(f"{n} {status}" for status, n in record["nodes"].items()))
