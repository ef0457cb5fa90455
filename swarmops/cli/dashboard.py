"""Serve the web page that shows the fleet and the swarm."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="JSON: bind, port, coordinator.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="Where to listen (default: 5173).")
@click.option("--bind", multiple=True, metavar="A", help="Which address; may be repeated (default: 127.0.0.1).")
@click.option("--coordinator", metavar="URL", help="As browsers reach it (default: http://127.0.0.1:8002).")
def command(config: Path | None, port: int | None, bind: tuple[str, ...], coordinator: str | None) -> int:
    """Serve the dashboard until SIGTERM or Ctrl-C.

    \b
    The page asks for a token (`swarmops token create`) and talks to the coordinator
    itself; this process sends its files and knows no secret. The coordinator's
    `origins` must name this page's address.
    """
    import asyncio
    import dataclasses
    import importlib.util

    from swarmops.gateways.page.config import Config
    from swarmops.runtime.errors import Invalid

    found = Config.read(config) if config else Config()
    given = {"port": port, "bind": list(bind) or None, "coordinator": coordinator}
    said = {key: value for key, value in given.items() if value is not None}
    found = Config.of({**dataclasses.asdict(found), **said})
    if not all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn")):
        raise Invalid("", "the dashboard needs more packages: pip install 'swarmops[page]'")
    from swarmops.gateways.page.process import run

    asyncio.run(run(found, lambda line: click.echo(line, err=True)))
    return 0
