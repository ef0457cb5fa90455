"""Serve the coordinator's HTTP API, and lead."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--config", "file", metavar="FILE", help="coordinator.json, as the role writes it.")
@click.option("--port", type=int, metavar="N", help="Listen on this port (8002; 0: a free one).")
@click.option("--bind", multiple=True, metavar="ADDRESS", help="Listen on this address (127.0.0.1); may be repeated.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A name that callers may use; may be repeated.")
@click.option("--tokens", metavar="FILE", help="tokens.json, beside the tokens in Redis.")
@click.option("--duties/--no-duties", default=None, help="Also do the leader's work (default: yes).")
@click.option("--redis", "url", metavar="URL", help="Which Redis ($SWARMOPS_RUNTIME, $REDIS_HOST, runtime.json).")
@click.option("--namespace", metavar="NAME", help="What all keys begin with (default: swarm).")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
def command(
    file: str | None,
    port: int | None,
    bind: tuple[str, ...],
    hosts: tuple[str, ...],
    tokens: str | None,
    duties: bool | None,
    url: str | None,
    namespace: str | None,
    verbose: bool,
) -> int:
    """Serve the REST, WebSocket and event-stream API of the coordinator.

    \b
    Until SIGTERM or Ctrl-C; what is under way is answered first. It starts
    without Redis too, answers 503 then, and goes on by itself when it is back.
    Make a token with `swarmops token create`; docs/api.md shows the rest.
    """
    import asyncio
    from dataclasses import replace

    from swarmops.cli._runtime import open_runtime
    from swarmops.gateways.http.config import Config, of, read
    from swarmops.gateways.http.server import run

    _log(verbose)
    found = read(file) if file else Config()
    given: dict[str, Any] = {"bind": [*bind], "hosts": [*hosts], "port": port, "tokens": tokens, "duties": duties}
    said = of({k: v for k, v in given.items() if v not in (None, [])}, Path(), "options")
    changed = {k: getattr(said, k) for k, v in given.items() if v not in (None, [])}
    with open_runtime(url, namespace, patience=None) as rt:
        settings = rt.settings
    asyncio.run(run(replace(found, **changed), settings, lambda line: click.echo(line, err=True)))
    return 0


def _log(verbose: bool) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", level=level)
