"""Claim tasks and run them: a role's, or functions of yours."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._output import plain

if TYPE_CHECKING:
    from swarmops.runtime.settings import Settings


OF_ROLES = ("port", "bind", "queue", "concurrency", "name", "lease", "drain")


@click.command()
@click.option(
    "--handlers",
    "specs",
    metavar="MODULE:NAME",
    multiple=True,
    help="Handlers, a dict of functions or a function; may be repeated (default: entry points swarmops.tasks).",
)
@click.option("--role", "roles", metavar="ROLE", multiple=True, help="Do a role's work: ai, browser, npu, shell.")
@click.option("--config", metavar="FILE", help="How the role's worker is to be, as JSON (default: on loopback).")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="Of a role: where it answers HTTP.")
@click.option("--bind", multiple=True, metavar="ADDRESS", help="Of a role: where it listens.")
@click.option("--queue", metavar="NAME", help="Which queue (default: default).")
@click.option("--caps", default="", metavar="A,B", help="What this worker can do: it gets tasks that need no more.")
@click.option("--threads", default=1, show_default=True, metavar="N", help="Plain functions at the same time.")
@click.option("--concurrency", type=int, metavar="N", help="Coroutines at the same time (100; a role: 16).")
@click.option("--name", metavar="NAME", help="What it is called (default: host and process; a role: host and role).")
@click.option("--lease", type=float, metavar="S", help="Silent so long, its tasks go to others (30).")
@click.option("--batch", default="auto", show_default=True, metavar="N", help="Tasks claimed at once.")
@click.option("--drain", type=float, metavar="S", help="On SIGTERM, what runs may take so long (30).")
@click.option("--redis", "url", metavar="URL", help="Which Redis ($SWARMOPS_RUNTIME, $REDIS_HOST, runtime.json).")
@click.option("--namespace", metavar="NAME", help="What all keys begin with (default: swarm).")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
def command(
    specs: tuple[str, ...],
    roles: tuple[str, ...],
    config: str | None,
    url: str | None,
    namespace: str | None,
    verbose: bool,
    **how: Any,
) -> int:
    """Claim tasks and run them: those of a role, or with functions of yours.

    \b
    Ends on SIGTERM or Ctrl-C, when what runs is done; on a second one it hands
    that back and ends at once. It waits for a Redis that is away. In a module
    my_tasks.py here, `def echo(text): return text` handles tasks "echo" with:
        swarmops worker --handlers my_tasks:echo
    A role also serves /health and /metrics:
        swarmops worker --role browser
    """
    logging.basicConfig(
        stream=sys.stderr, format="%(asctime)s %(message)s", level=logging.INFO if verbose else logging.WARNING
    )
    if roles or config:
        if faults := _not_of_a_role(specs, how):
            return _wrong(faults)
        return _role(roles, config, url, namespace, how)
    if faults := [f"--{option}: goes with --role" for option in ("port", "bind") if how[option]]:
        return _wrong(faults)
    return _handlers(specs, _settings(url, namespace), **{k: v for k, v in how.items() if k not in ("port", "bind")})


# -- a role


def _not_of_a_role(specs: tuple[str, ...], how: dict[str, Any]) -> list[str]:
    said = {
        "handlers": bool(specs),
        "caps": how["caps"],
        "threads": how["threads"] != 1,
        "batch": how["batch"] != "auto",
    }
    return [
        f"--{option}: goes with functions of yours, not with --role or --config" for option, is_ in said.items() if is_
    ]


def _role(roles: tuple[str, ...], file: str | None, url: str | None, namespace: str | None, how: dict[str, Any]) -> int:
    from swarmops.cli._runtime import open_runtime
    from swarmops.runtime import Settings
    from swarmops.workers.config import BadConfig, default, read, with_options
    from swarmops.workers.process import WorkerProcess

    try:
        config = read(file, roles) if file else default(roles)
        config = with_options(config, **{k: how[k] for k in OF_ROLES})
        with open_runtime(url, namespace):  # says what is wrong with them
            settings = Settings.find(url, namespace=namespace)
        process = WorkerProcess(config, settings)
        where = f", {config.url}" if config.url else ""
        click.echo(f"{config.name} works on queue {config.queue} as {', '.join(config.roles)}{where}", err=True)
        return asyncio.run(process.run())
    except BadConfig as e:
        return _wrong(e.faults)


def _wrong(faults: list[str]) -> int:
    for fault in faults:
        click.echo(plain(fault), err=True)
    return 2


# -- functions


def _handlers(
    specs: tuple[str, ...],
    settings: Settings,
    queue: str | None,
    name: str | None,
    caps: str,
    threads: int,
    concurrency: int | None,
    lease: float | None,
    batch: str,
    drain: float | None,
) -> int:
    from swarmops.runtime.worker.handlers import Handlers
    from swarmops.runtime.worker.member import as_agent, as_agent_async

    handlers, queue = Handlers.find(*specs), queue or "default"
    can = [c.strip() for c in caps.split(",") if c.strip()]
    lease, drain = 30.0 if lease is None else lease, 30.0 if drain is None else drain
    click.echo(f"working on queue {queue}: {', '.join(sorted(handlers.tasks))}", err=True)
    if handlers.coroutines:
        from swarmops.runtime.worker.aioloop import AsyncWorker

        async def work() -> int:
            worker = AsyncWorker(settings, handlers, queue, name, can, concurrency or 100, threads, lease, drain)
            async with as_agent_async(worker):
                return await worker.run()

        return asyncio.run(work())
    from swarmops.runtime.worker.loop import Worker

    size = int(batch) if batch.isdigit() else batch
    worker = Worker(settings, handlers, queue, name, can, threads, lease, size, drain)
    with as_agent(worker):
        return worker.run()


def _settings(url: str | None, namespace: str | None) -> Settings:
    from swarmops.cli._runtime import open_runtime

    with open_runtime(url, namespace) as rt:
        return rt.settings
