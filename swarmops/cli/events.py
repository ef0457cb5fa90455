"""Show, follow and export the audit trail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from swarmops.cli._runtime import runtime_options

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.observe.events import Event

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command()
@click.option("--follow", is_flag=True, help="Go on as things happen.")
@click.option("--since", metavar="AGE", default="", help="Not older than that: 90s, 15m, 2h, 7d, or ms since 1970.")
@click.option("--limit", type=int, default=100, show_default=True, help="The newest so many.")
@click.option("--queue", "queues", multiple=True, default=("default",), help="May be repeated. (default)")
@click.option("--what", default="", metavar="PREFIX", help="Only these, as task. or agent.dead.")
@click.option("--export", "file", type=click.Path(dir_okay=False), help="Append JSON lines to FILE instead.")
@click.option("--for", "seconds", type=float, default=0, metavar="SECONDS", help="End --follow after so long.")
@runtime_options
def command(
    follow: bool,
    since: str,
    limit: int,
    queues: tuple[str, ...],
    what: str,
    file: str | None,
    seconds: float,
    rt: Runtime,
    as_json: bool,
) -> None:
    """What happened, the oldest first: registry and queues in one order. --json prints JSON lines.

    Redis keeps about the last 10,000 changes of the registry and of each queue; export them to keep more.
    """
    start = _ms(since, rt) if since else 0
    found: Iterable[Event] = rt.events.read(start, queues, limit) if not (follow and start) else []
    if follow:
        found = _then_follow(rt, list(found), queues, start, seconds)
    chosen = (e for e in found if e.what.startswith(what))
    if file:
        _export(chosen, file)
    else:
        _print(chosen, as_json)


def _then_follow(
    rt: Runtime, first: list[Event], queues: tuple[str, ...], start: int, seconds: float
) -> Iterable[Event]:
    from swarmops.runtime.observe.events import follow

    yield from first
    seen = {(e.queue, e.mark) for e in first}
    for event in follow(rt, queues, start or (first[0].at_ms if first else 0), seconds):
        if (event.queue, event.mark) not in seen:
            yield event


def _ms(text: str, rt: Runtime) -> int:
    """Milliseconds of Redis' clock. Raises Invalid."""
    from swarmops.runtime.errors import Invalid
    from swarmops.runtime.op import Op

    if text.isdigit() and text.isascii():
        return int(text)
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdigit():
        raise Invalid("--since", f"{text[:40]!r} is no age (as in 90s, 15m, 2h, 7d)")
    clock: Op[int] = Op("ping", (rt.keys.registry("probe"),), safe=True)
    return max(1, rt.run(clock) - int(number) * _UNITS[unit] * 1000)


def _export(found: Iterable[Event], file: str) -> None:
    import json

    from swarmops.cli._output import progress
    from swarmops.runtime.errors import Invalid

    many = 0
    try:
        with open(file, "a", encoding="utf-8") as out:
            for many, event in enumerate(found, 1):  # noqa: B007
                out.write(json.dumps(event.to_json()) + "\n")
                out.flush()
    except OSError as e:
        raise Invalid("--export", f"{file}: {e.strerror or e}") from None
    progress(f"{many} events are in {file}")


def _print(found: Iterable[Event], as_json: bool) -> None:
    from datetime import UTC, datetime

    from swarmops.cli._output import echo, emit_json, one_line

    for event in found:
        if as_json:
            emit_json({"schema": "swarmops.event/1", **event.to_json()}, line=True)
            continue
        at = datetime.fromtimestamp(event.at_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")[:-6]
        more = "".join(f"  {k}={v}" for k, v in event.fields.items())
        echo(one_line(f"{at}  {event.queue or '-':<8}  {event.what:<20}  {event.id}{more}"))
