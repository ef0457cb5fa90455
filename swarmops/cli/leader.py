"""See who leads, campaign, or resign."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import print_result, runtime_options

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.registry.leader import Leadership


@click.group()
def command() -> None:
    """Leadership: a lease, and a fencing token (the term) that grows with every new leader."""


@command.command()
@runtime_options
def show(rt: Runtime, as_json: bool) -> int:
    """Who leads now. Ends with 1 if nobody does."""
    who = rt.leader.who()
    body: dict[str, Any] = {"schema": "swarmops.leader/1", "leader": None}
    if who:
        body["leader"] = {k: v for k, v in who.as_dict().items() if k != "leading"}
    print_result(body, as_json, lambda: _sentence(who) if who else "nobody leads")
    return 0 if who else 1


@command.command()
@click.argument("id")
@click.option("--lease", type=float, metavar="SECONDS", help="How long leadership lasts without renewal.")
@click.option("--hold", is_flag=True, help="Stay and campaign until SIGTERM or Ctrl-C, then resign.")
@runtime_options
def campaign(rt: Runtime, as_json: bool, id: str, lease: float | None, hold: bool) -> int:
    """Become leader if nobody leads, renew if ID does. Ends with 1 if another leads.

    With --hold it says on stderr when it leads and when it no more does.
    """
    if hold:
        return _hold(rt, as_json, id, lease)
    found = rt.leader.campaign(id, None if lease is None else round(lease * 1000))
    print_result({"schema": "swarmops.leadership/1", **found.as_dict()}, as_json, lambda: _sentence(found))
    return 0 if found.leading else 1


@command.command()
@click.argument("id")
@click.argument("term", type=int)
@runtime_options
def resign(rt: Runtime, as_json: bool, id: str, term: int) -> int:
    """Give leadership up, so that another may lead at once. Only who leads in this TERM can."""
    rt.leader.resign(id, term)
    print_result({"schema": "swarmops.resigned/1", "id": id, "term": term}, as_json, lambda: f"{id} has resigned")
    return 0


def _hold(rt: Runtime, as_json: bool, id: str, lease: float | None) -> int:
    from swarmops.cli._hold import held
    from swarmops.cli._output import progress
    from swarmops.runtime.registry.candidate import Candidate

    terms: list[int] = []
    lock = threading.Lock()

    def say(text: str) -> None:
        with lock:
            progress(text)

    def lead(term: int) -> None:
        terms.append(term)
        say(f"{id} leads, term {term}")

    rt.connect()
    with held() as wait, Candidate(rt, id, lease, lead, lambda: say(f"{id} leads no more")):
        wait()
    body = {"schema": "swarmops.candidacy/1", "id": id, "terms": terms}
    print_result(body, as_json, lambda: f"{id} led {len(terms)} time{'s' * (len(terms) != 1)}")
    return 0


def _sentence(who: Leadership) -> str:
    return f"{who.holder} leads, term {who.term}, {who.left_ms / 1000:.1f} s left of the lease"
