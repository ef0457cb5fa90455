"""Findings of workers, and syntheses made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import print_result, runtime_options, table

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.context.synthesis import Synthesis


@click.group()
def command() -> None:
    """Findings outlive whoever made them. DATA is JSON, or text, or - for stdin."""


@command.command()
@click.argument("shard")
@click.argument("task_type")
@click.argument("data")
@click.option("--author", default="cli", show_default=True, help="Who has found it.")
@click.option("--id", "own", help="An own id: adding it again changes nothing.")
@runtime_options
def add(shard: str, task_type: str, data: str, author: str, own: str | None, rt: Runtime, as_json: bool) -> None:
    """Keep DATA as a finding of SHARD; prints its id."""
    from swarmops.cli._values import json_or_text

    made = rt.findings.add(shard, task_type, json_or_text(data), author, id=own)
    print_result({"schema": "swarmops.finding-added/1", "id": made}, as_json, lambda: made)


@command.command("list")
@click.argument("shard")
@click.option("--type", "task_type", help="Only of this task type.")
@click.option("--limit", default=100, show_default=True, help="At most so many.")
@click.option("--after", default=0, help="Go on behind this number (the `next` of the page before).")
@runtime_options
def list_(shard: str, task_type: str | None, limit: int, after: int, rt: Runtime, as_json: bool) -> None:
    """Show findings of SHARD in order."""
    import json

    from swarmops.cli._output import progress

    page = rt.findings.list(shard, task_type, limit=limit, after=after)
    if not page.findings:
        rt.shards.get(shard)  # raises NotFound
    if page.next and not as_json:
        progress(f"there are more: --after {page.next}")
    rows = [[str(f.seq), f.id, f.task_type, f.author, _short(json.dumps(f.data))] for f in page.findings]
    shown = {"schema": "swarmops.findings/1", "findings": [f.as_dict() for f in page.findings], "next": page.next}
    print_result(shown, as_json, lambda: table(rows, ["NO", "ID", "TYPE", "AUTHOR", "DATA"]))


@command.command()
@click.argument("id")
@runtime_options
def show(id: str, rt: Runtime, as_json: bool) -> None:
    """Show the finding ID, or the synthesis of that id."""
    import json

    from swarmops.runtime.errors import NotFound

    finding, synthesis = rt.run_many([rt.findings.get.op(id), rt.findings.syntheses.get.op(id)])
    if isinstance(finding, NotFound) and not isinstance(synthesis, Exception):
        _print_synthesis(synthesis, as_json)
        return
    if isinstance(finding, Exception):
        raise finding
    shown = {"schema": "swarmops.finding/1", **finding.as_dict()}
    print_result(shown, as_json, lambda: json.dumps(finding.data, indent=2, ensure_ascii=False))


@command.command()
@click.argument("shard")
@click.argument("pass_name")
@click.option("--source", "sources", multiple=True, help="A finding it is to be made of; as often as you like.")
@click.option("--instructions", default="", help="What is asked.")
@click.option("--answer", help="It is made already: keep this (JSON, text, or - for stdin).")
@click.option("--wait", "seconds", type=float, help="Wait so many seconds for the answer.")
@runtime_options
def synthesize(
    shard: str,
    pass_name: str,
    sources: tuple[str, ...],
    instructions: str,
    answer: str | None,
    seconds: float | None,
    rt: Runtime,
    as_json: bool,
) -> None:
    """Ask SHARD to make one of many findings. Prints its id.

    With --answer it is made already, and is kept.
    """
    from swarmops.cli._values import json_or_text

    room = rt.findings.syntheses
    if answer is not None:
        made = room.put(shard, pass_name, json_or_text(answer), sources, by="cli")
    else:
        made = room.request(shard, pass_name, sources, instructions=instructions, by="cli")
        if seconds is not None:
            _print_synthesis(room.wait(made, seconds), as_json)
            return
    print_result({"schema": "swarmops.synthesis-asked/1", "id": made}, as_json, lambda: made)


@command.command()
@click.argument("shard")
@click.option("--as", "consumer", required=True, metavar="NAME", help="Who takes it.")
@click.option("--lease", default=60.0, show_default=True, help="Seconds it is theirs; then it is open again.")
@click.option("--wait", "seconds", default=0.0, help="Wait so many seconds for a request.")
@runtime_options
def claim(shard: str, consumer: str, lease: float, seconds: float, rt: Runtime, as_json: bool) -> int:
    """Take the oldest open synthesis request of SHARD. Exit code 1: there is none."""
    found = rt.findings.syntheses.next(shard, consumer, seconds, lease)
    if found is None:
        print_result({"schema": "swarmops.synthesis/1", "id": None}, as_json, lambda: "no request is open")
        return 1
    _print_synthesis(found, as_json)
    return 0


@command.command()
@click.argument("id")
@click.argument("data")
@click.option("--as", "consumer", required=True, metavar="NAME", help="Who has claimed it.")
@click.option("--attempt", type=int, required=True, help="The attempt that `claim` said.")
@runtime_options
def answer(id: str, data: str, consumer: str, attempt: int, rt: Runtime, as_json: bool) -> None:
    """Answer the synthesis request ID with DATA."""
    from swarmops.cli._values import json_or_text

    rt.findings.syntheses.answer(id, consumer, attempt, json_or_text(data))
    print_result({"schema": "swarmops.synthesis-answered/1", "id": id}, as_json, lambda: f"{id} is answered")


def _print_synthesis(found: Synthesis, as_json: bool) -> None:
    import json

    def text() -> str:
        if found.status == "answered":
            return found.answer if isinstance(found.answer, str) else json.dumps(found.answer, indent=2)
        lines = [f"{found.id} {found.status}, attempt {found.attempt}, pass {found.pass_name}", found.instructions]
        return "\n".join([line for line in lines if line] + [f"source {s}" for s in found.sources])

    print_result({"schema": "swarmops.synthesis/1", **found.as_dict()}, as_json, text)


def _short(text: Any, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
