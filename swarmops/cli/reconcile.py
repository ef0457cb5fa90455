"""Look at the fleet again and again, put right what fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._project import project_options
from swarmops.cli._publish import publish_option

if TYPE_CHECKING:
    from swarmops.health.verdict import Verdict
    from swarmops.operate.window import Policy


@click.command()
@project_options
@click.option(
    "--interval", type=click.FloatRange(1), metavar="S", help="Between rounds (default: monitoring.interval)."
)
@click.option(
    "--most", type=click.IntRange(0), default=3, show_default=True, metavar="N", help="Restarts of a service."
)
@click.option(
    "--cooldown", type=click.FloatRange(0), default=300.0, show_default=True, metavar="S", help="Between two of them."
)
@click.option(
    "--rollback-window",
    "window",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    metavar="S",
    help="Seconds in which a new release may turn ill and gives way to the one before; 0: it never does.",
)
@click.option("--watch-only", is_flag=True, help="Restart nothing, put nothing back: only say so.")
@click.option("--once", is_flag=True, help="One round.")
@publish_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
def command(
    tier: str | None,
    inventory: str | None,
    root: str | None,
    interval: float | None,
    most: int,
    cooldown: float,
    window: float,
    watch_only: bool,
    once: bool,
    publish: str | None,
    as_json: bool,
) -> int:
    """Look at every node of TIER again and again, keep its state, and restart services that fail.

    A node that misses three looks is offline. A service whose check is critical is restarted, at most --most times,
    --cooldown apart; then its node is in error and waits for a hand. One that turns ill within --rollback-window of its
    new release goes back to the release before, once. `swarmops node maintenance HOST` keeps a node away from all that.
    With --once, the exit code is 1 when a node is not online.
    """
    import time

    from swarmops.operate.nodes import BY_HAND
    from swarmops.operate.window import Policy

    fleet = _Fleet(tier, inventory, root, Policy(interval or 0, most, cooldown, not watch_only, window))
    while True:
        began = time.monotonic()
        for record in fleet.round():
            _say(record, as_json, once)
        if publish:
            fleet.publish(publish)
        if once:
            fine = {"online", *map(str, BY_HAND)}
            return int(bool(set(record["nodes"]) - fine))
        time.sleep(max(0.0, fleet.interval - (time.monotonic() - began)))


class _Fleet:
    """What is looked at: the project as it was when the last deploy ended, since that is what runs."""

    def __init__(self, tier: str | None, inventory: str | None, root: str | None, policy: Policy):
        self._place, self._policy = (inventory, root, tier), policy
        self._open()

    def _open(self) -> None:
        from dataclasses import replace

        from swarmops.cli._operate import planned
        from swarmops.delivery import records
        from swarmops.health import collect
        from swarmops.model.faults import Faults
        from swarmops.operate.reconcile import Reconciler

        self.project, plans = planned(*self._place)
        self._deployed = records.deployed(self.project.state)
        self._targets = {t.name: t for t in collect.targets(self.project, None, None, Faults())}
        self.interval = self._policy.interval or max(1.0, self.project.distributed.monitoring.interval)
        policy = replace(self._policy, interval=self.interval)
        self._rounds = Reconciler(self.project, plans, policy, lambda name: self._look([name]).hosts[0])

    def round(self) -> Iterator[dict[str, Any]]:
        from swarmops.cli._output import progress
        from swarmops.delivery import records
        from swarmops.model.faults import InputError
        from swarmops.operate.nodes import Book
        from swarmops.operate.status import watched

        if records.deployed(self.project.state) != self._deployed:
            try:
                self._open()
            except InputError as e:
                for fault in e.faults.errors:
                    progress(str(fault), "yellow")
                progress("going on with the project as it was", "yellow")
        self._verdict = self._look(watched(self.project, Book(self.project.state)))
        yield from self._rounds.round(self._verdict)

    def _look(self, names: Iterable[str]) -> Verdict:
        from swarmops.health import collect
        from swarmops.operate.status import services_of

        found = [self._targets[name] for name in names if name in self._targets]
        return collect.look(found, self.project.state / "known_hosts", services=services_of(self.project))

    def publish(self, url: str) -> None:
        """The last look, with what went back since."""
        from swarmops.cli._publish import publish
        from swarmops.health.formats.json import document
        from swarmops.operate.nodes import Book
        from swarmops.operate.reconcile import with_states

        shown = with_states(self._verdict, Book(self.project.state), self._rounds.again)
        publish(self.project, url, "/api/fleet", document(shown))


def _say(record: dict[str, Any], as_json: bool, once: bool) -> None:
    from swarmops.cli._output import echo, emit_json, one_line

    if as_json:
        emit_json(record, line=True)
    elif record["type"] == "node":
        echo(one_line(f"{record['node']}: {record['from']} -> {record['to']}  {record['why']}").rstrip())
    elif record["type"] == "back":
        way = f"{record['role']} {record['from']} -> {record['to']} ({record['why']})"
        echo(one_line(f"{record['node']}: {way}: {record['text']}"), "red" if record["code"] else "yellow")
    elif record["type"] == "remedy":
        echo(
            one_line(
                f"{record['node']}: restarted {record['unit']} ({record['try']} of {record['of']}): {record['text']}"
            ),
            "red" if record["code"] else "",
        )
    elif once:
        echo(", ".join(f"{n} {status}" for status, n in record["nodes"].items()))
