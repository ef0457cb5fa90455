"""Create swarms, follow their status, and read the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import print_result, runtime_options, table

if TYPE_CHECKING:
    from swarmops.runtime import Runtime


@click.group()
def command() -> None:
    """Swarms: an objective, a strategy, a status; archived for seven days when they end."""


@command.command()
@click.argument("objective")
@click.option("--strategy", default="development", show_default=True, help="development, research or devops.")
@click.option("--mode", default="mesh", show_default=True, help="mesh or hierarchical.")
@click.option("--max-agents", type=int, default=5, show_default=True, help="At work for it at once.")
@click.option("--phase", help="Free text.")
@click.option("--priority", default="normal", show_default=True, help="high, normal or low.")
@click.option("-c", "--capability", "capabilities", multiple=True, help="What its agents must be able to do.")
@click.option("--tag", "tags", multiple=True, help="Free text (repeat for more).")
@click.option("--metadata", metavar="JSON", help="An object with more.")
@click.option("--id", help="Default: a new one.")
@runtime_options
def create(rt: Runtime, as_json: bool, objective: str, metadata: str | None, **said: Any) -> int:
    """A new swarm. It must beat, or it is interrupted after three missed beats."""
    from swarmops.runtime import wire
    from swarmops.runtime.errors import Invalid

    more = wire.loads(metadata, "--metadata") if metadata is not None else {}
    if not isinstance(more, dict):
        raise Invalid("--metadata", "is not an object")
    for field in ("phase", "priority", "capabilities", "tags"):
        if value := said.pop(field):
            more[field] = value if isinstance(value, str) else list(value)
    made = rt.swarms.create(objective, metadata=more, **said)
    print_result({"schema": "swarmops.swarm/1", **made.as_dict()}, as_json, lambda: made.id)
    return 0


@command.command("list")
@click.option("--status", help="initializing, active, recovering, interrupted, completed or failed.")
@click.option("--strategy", help="development, research or devops.")
@click.option("--mode", help="mesh or hierarchical.")
@click.option("--phase", help="As it was created with.")
@click.option("--objective", help="A part of it, capital or small.")
@click.option("--limit", type=int, default=100, show_default=True, help="How many at most.")
@click.option("--offset", type=int, default=0, show_default=True, help="How many of them to leave out.")
@runtime_options
def list_(rt: Runtime, as_json: bool, **filters: Any) -> int:
    """Swarms that fit all options, newest first."""
    found = rt.swarms.list(**filters)

    def text() -> str:
        head = ["id", "status", "strategy", "mode", "priority", "load", "objective"]
        rows = [[s.id, s.status, s.strategy, s.mode, s.priority, str(s.load), _short(s.objective)] for s in found]
        return table(rows, head) if rows else ""

    print_result({"schema": "swarmops.swarms/1", "swarms": [s.as_dict() for s in found]}, as_json, text)
    return 0


@command.command()
@click.argument("id")
@runtime_options
def show(rt: Runtime, as_json: bool, id: str) -> int:
    """One swarm, or what the archive holds of it."""
    from swarmops.cli._hold import pairs
    from swarmops.runtime.errors import NotFound

    live, kept = rt.run_many([rt.swarms.get.op(id), rt.swarms.archived.op(id)])
    found = kept if isinstance(live, NotFound) and not isinstance(kept, Exception) else live
    if isinstance(found, Exception):
        raise found
    print_result({"schema": "swarmops.swarm/1", **found.as_dict()}, as_json, lambda: pairs(found.as_dict()))
    return 0


@command.command()
@click.argument("id")
@click.argument("to", required=False)
@click.option("--why", default="", help="Kept with the swarm.")
@runtime_options
def status(rt: Runtime, as_json: bool, id: str, to: str | None, why: str) -> int:
    """Show its status, or take one step.

    TO is active, completed, failed, interrupted or recovering. A step that is not legal is refused.
    """
    before = rt.swarms.status(id, to, why) if to else rt.swarms.get(id).status
    body = {"schema": "swarmops.swarm-status/1", "id": id, "status": to or before, "before": before}
    print_result(body, as_json, lambda: f"{before} -> {to}" if to else before)
    return 0


@command.command()
@click.option("--limit", type=int, default=100, show_default=True, help="How many at most.")
@click.option("--offset", type=int, default=0, show_default=True, help="How many of them to leave out.")
@runtime_options
def archive(rt: Runtime, as_json: bool, limit: int, offset: int) -> int:
    """Swarms that were removed or have expired.

    Newest first, of the last seven days.
    """
    found = rt.swarms.archive(limit, offset)

    def text() -> str:
        head = ["id", "status", "strategy", "reason", "objective"]
        rows = [[s.id, s.status, s.strategy, _short(s.reason), _short(s.objective)] for s in found]
        return table(rows, head) if rows else ""

    print_result({"schema": "swarmops.swarm-archive/1", "swarms": [s.as_dict() for s in found]}, as_json, text)
    return 0


@command.command()
@click.argument("id")
@click.option("--reason", default="removed", show_default=True, help="Kept in the archive.")
@runtime_options
def remove(rt: Runtime, as_json: bool, id: str, reason: str) -> int:
    """End a swarm; the archive keeps it for seven days."""
    kept = rt.swarms.remove(id, reason)
    print_result({"schema": "swarmops.swarm/1", **kept.as_dict()}, as_json, lambda: f"{id} is archived")
    return 0


@command.command()
@click.argument("new", type=int, required=False)
@runtime_options
def limit(rt: Runtime, as_json: bool, new: int | None) -> int:
    """Show or set how many there may be at once.

    NEW holds for all who use this Redis; 0 puts the usual limit back.
    """
    found = rt.swarms.limit(new)
    body = {"schema": "swarmops.swarm-limit/1", "limit": found.limit, "live": found.live}
    print_result(body, as_json, lambda: f"{found.live} of at most {found.limit}")
    return 0


def _short(text: str) -> str:
    from swarmops.cli._output import one_line

    line = one_line(text)
    return line if len(line) <= 60 else line[:57] + "..."
