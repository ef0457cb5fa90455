"""Show a swarm at work: elect, distribute, kill, lose nothing."""

from __future__ import annotations

import click


@click.command()
@click.option("--tasks", default=300, type=click.IntRange(10, 10_000), help="How many tasks the workers get (300).")
@click.option("--redis", "url", metavar="URL", help="An empty Redis to use (default: one of its own, gone afterwards).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(tasks: int, url: str | None, as_json: bool) -> int:
    """Start a Redis, swarms, coordinators and workers; kill a worker and the leader; end with 0 lost.

    Nothing is left behind. With --redis it works in a namespace of its own, which is emptied afterwards. Its processes
    know of this Redis only, whatever the environment names.
    """
    import tempfile

    from swarmops.cli._output import echo, emit_json, plain, progress
    from swarmops.cli._runtime import open_runtime
    from swarmops.runtime.client.embedded import Embedded, find
    from swarmops.runtime.demo.clean import emptied
    from swarmops.runtime.demo.processes import in_order
    from swarmops.runtime.demo.story import Story
    from swarmops.runtime.ids import new_id

    tell = progress if as_json else echo

    def said(line: str) -> None:
        tell(plain(line))

    if url:
        with in_order(), open_runtime(url, f"demo-{new_id()}", patience=10) as rt:
            rt.connect()
            with emptied(rt):
                found = Story(rt, said, tasks).run()
    else:
        program = find()
        said(f"redis {program.version}, {program.path}" + (f" ({program.note})" if program.note else ""))
        temporary = tempfile.TemporaryDirectory(prefix="swarmops-")
        with in_order(), temporary as folder, Embedded(f"{folder}/r", program) as server:
            from swarmops.runtime import Runtime

            with Runtime(server.settings) as rt:
                found = Story(rt, said, tasks).run()
    if as_json:
        emit_json({"schema": "swarmops.demo-swarm/1", **found})
    else:
        echo(f"{found['lost']} lost, in {found['seconds']} s", "green")
    return 0
