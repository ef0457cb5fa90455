"""Claim tasks and run them with functions of yours."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from swarmops.runtime.settings import Settings


@click.command()
@click.option(
    "--handlers",
    "specs",
    metavar="MODULE:NAME",
    multiple=True,
    help="Handlers, a dict of functions or a function; may be repeated (default: entry points swarmops.tasks).",
)
@click.option("--queue", default="default", show_default=True, metavar="NAME", help="Which queue.")
@click.option("--caps", default="", metavar="A,B", help="What this worker can do: it gets tasks that need no more.")
@click.option("--threads", default=1, show_default=True, metavar="N", help="Plain functions at the same time.")
@click.option("--concurrency", default=100, show_default=True, metavar="N", help="Coroutines at the same time.")
@click.option("--name", metavar="NAME", help="What it is called (default: host and process).")
@click.option("--lease", default=30.0, show_default=True, metavar="S", help="Silent so long, its tasks go to others.")
@click.option("--batch", default="auto", show_default=True, metavar="N", help="Tasks claimed at once.")
@click.option("--drain", default=30.0, show_default=True, metavar="S", help="On SIGTERM, what runs may take so long.")
@click.option("--redis", "url", metavar="URL", help="Which Redis (default: the environment, then runtime.json).")
@click.option("--namespace", metavar="NAME", help="What all keys begin with (default: swarm).")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
def command(
    specs: tuple[str, ...],
    queue: str,
    caps: str,
    threads: int,
    concurrency: int,
    name: str | None,
    lease: float,
    batch: str,
    drain: float,
    url: str | None,
    namespace: str | None,
    verbose: bool,
) -> int:
    """Claim tasks and run them with functions of yours.

    \b
    Ends on SIGTERM or Ctrl-C, when what runs is done; on a second one it hands
    that back and ends at once. It waits for a Redis that is away. In a module
    my_tasks.py here, `def echo(text): return text` handles tasks "echo" with:
        swarmops worker --handlers my_tasks:echo
    """
    from swarmops.runtime.worker.handlers import Handlers

    logging.basicConfig(
        stream=sys.stderr, format="%(asctime)s %(message)s", level=logging.INFO if verbose else logging.WARNING
    )
    handlers, settings = Handlers.find(*specs), _settings(url, namespace)
    can = [c.strip() for c in caps.split(",") if c.strip()]
    click.echo(f"working on queue {queue}: {', '.join(sorted(handlers.tasks))}", err=True)
    if handlers.coroutines:
        from swarmops.runtime.worker.aioloop import AsyncWorker

        return asyncio.run(AsyncWorker(settings, handlers, queue, name, can, concurrency, threads, lease, drain).run())
    from swarmops.runtime.worker.loop import Worker

    size = int(batch) if batch.isdigit() else batch
    return Worker(settings, handlers, queue, name, can, threads, lease, size, drain).run()


def _settings(url: str | None, namespace: str | None) -> Settings:
    from swarmops.cli._runtime import open_runtime

    with open_runtime(url, namespace) as rt:
        return rt.settings
