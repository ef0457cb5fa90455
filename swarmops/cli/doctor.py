"""Find out why a swarm does not talk, lead or remember."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swarmops.cli._runtime import runtime_options

if TYPE_CHECKING:
    from swarmops.runtime import Runtime

TOPICS = ("messaging", "leader", "state", "memory")
COLOURS = {"ok": "green", "warning": "yellow", "bad": "red", "unknown": "grey"}


@click.command()
@click.argument("topics", nargs=-1, type=click.Choice(TOPICS), metavar="[messaging|leader|state|memory]...")
@runtime_options
def command(rt: Runtime, topics: tuple[str, ...], as_json: bool) -> int:
    """Look at messaging, leadership, state and memory (or only those named) and say what to do.

    Ends with 1 when something is bad, or nothing of a topic could be seen. On a Redis Cluster one node is looked at.
    """
    from dataclasses import asdict

    from swarmops.cli._output import echo, emit_json, paint, plain
    from swarmops.runtime.observe.doctor import examine

    found = examine(rt, topics or TOPICS)
    bad = any(f.state == "bad" for findings in found.values() for f in findings)
    bad |= any(all(f.state == "unknown" for f in findings) for findings in found.values())
    if as_json:
        body = {topic: [asdict(f) for f in findings] for topic, findings in found.items()}
        emit_json({"schema": "swarmops.doctor/1", "ok": not bad, "topics": body})
        return int(bad)
    for topic, findings in found.items():
        echo(topic, "bold")
        for f in findings:
            echo(f"  {paint(f'{f.state:<8}', COLOURS[f.state])} {plain(f.check)}: {plain(f.detail)}")
            if f.advice:
                echo(plain(f"           {f.advice}"))
    return int(bad)
