"""Keep this site's Redis and a central one in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import open_runtime, print_result, runtime_options

if TYPE_CHECKING:
    from swarmops.runtime import Runtime

SITE = click.option("--site", required=True, envvar="SWARMOPS_SITE", metavar="NAME", help="This site (SWARMOPS_SITE).")


@click.group()
def command() -> None:
    """Push findings to a central Redis, pull tasks from it."""


@command.command()
@SITE
@click.option(
    "--central", metavar="URL", help="The central Redis. With a password: SWARMOPS_CENTRAL_URL, or ?password_file=PATH."
)
@click.option(
    "--queue", "queues", multiple=True, metavar="THERE=HERE", help="Pull this queue (default: site-NAME=default)."
)
@click.option("--every", type=float, metavar="SECONDS", help="Go on, this often, until interrupted.")
@runtime_options
def sync(
    site: str, central: str | None, queues: tuple[str, ...], every: float | None, rt: Runtime, as_json: bool
) -> None:
    """Push findings and results, pull tasks, bring contexts."""
    from swarmops.runtime.context.uplink import EVERY, Uplink

    with _central(central, rt.keys.namespace) as there:
        link = Uplink(rt, there, site, every or EVERY, queues=_queues(queues))
        if every is not None:
            _go_on(link, as_json)
            return
        _print(link.sync_now(), as_json)


@command.command()
@SITE
@runtime_options
def status(site: str, rt: Runtime, as_json: bool) -> None:
    """Show how far the centre is behind. Asks this site only."""
    from swarmops.cli._values import when
    from swarmops.runtime.context.uplink import Uplink

    found = Uplink(rt, rt, site).status()

    def text() -> str:
        lines = [
            f"findings not pushed  {found.behind}, the oldest {found.lag:g} s old",
            f"tasks of the centre  {found.held}",
            f"last success         {when(found.last_ok)}",
            f"since ever           {found.pushed} findings pushed, {found.pulled} tasks pulled, "
            f"{found.returned} results returned, {found.sent} contexts sent, {found.failures} failures",
        ]
        return "\n".join(lines + ([f"last error           {found.error}"] if found.error else []))

    print_result({"schema": "swarmops.uplink/1", **found.as_dict()}, as_json, text)


def _central(url: str | None, namespace: str) -> Runtime:
    import os

    from swarmops.runtime import Runtime, Settings
    from swarmops.runtime.errors import Invalid

    if url:
        return open_runtime(url, namespace)
    told = os.environ.get("SWARMOPS_CENTRAL_URL")
    if not told:
        raise Invalid("--central", "say where the central Redis is (or set SWARMOPS_CENTRAL_URL)")
    return Runtime(Settings.of(told, patience=0, namespace=namespace))


def _queues(pairs: tuple[str, ...]) -> dict[str, str] | None:
    from swarmops.runtime.errors import Invalid

    found = {}
    for pair in pairs:
        there, equals, here = pair.partition("=")
        if not equals:
            raise Invalid("--queue", f"{pair[:80]!r} is not THERE=HERE")
        found[there] = here
    return found or None


def _go_on(link: Any, as_json: bool) -> None:
    """A site's own Redis that is away is no reason to end either."""
    import time

    from swarmops.cli._output import progress
    from swarmops.runtime.errors import SwarmError

    while True:
        try:
            _print(link.sync_now(), as_json, line=True)
        except SwarmError as e:
            progress(str(e))
        time.sleep(link.every)


def _print(did: Any, as_json: bool, line: bool = False) -> None:
    from swarmops.cli._output import emit_json

    shown = {"schema": "swarmops.uplink-sync/1", **did.as_dict()}
    if as_json and line:
        emit_json(shown, line=True)
        return
    said = f"{did.pushed} findings pushed, {did.pulled} tasks pulled, {did.returned} results returned"
    print_result(shown, as_json, lambda: f"{said}, {did.sent} contexts sent")
