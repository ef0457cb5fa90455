"""Memory shards: who holds which context, what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swarmops.cli._runtime import print_result, runtime_options, table

if TYPE_CHECKING:
    from swarmops.runtime import Runtime


@click.group()
def command() -> None:
    """Memory shards with their contexts."""


@command.command("list")
@click.option("--all", "everyone", is_flag=True, help="Those that have stopped beating too.")
@runtime_options
def list_(everyone: bool, rt: Runtime, as_json: bool) -> None:
    """Show the shards that live, and how much they hold."""
    from swarmops.cli._values import when

    if not everyone:
        status = rt.shards.status()
        head = ["SHARD", "SPECIALIZATION", "FINDINGS", "PENDING"]
        rows = [[str(v) for v in s.values()] for s in status["shards"]]
        print_result({"schema": "swarmops.shards/1", **status}, as_json, lambda: table(rows, head))
        return
    found = rt.shards.list(everyone=True)
    shown = {"schema": "swarmops.shard-records/1", "shards": [s.as_dict() for s in found]}
    rows = [[s.id, s.specialization, "yes" if s.alive else "no", when(s.registered), s.site or "-"] for s in found]
    print_result(shown, as_json, lambda: table(rows, ["SHARD", "SPECIALIZATION", "ALIVE", "REGISTERED", "SITE"]))


@command.command()
@click.argument("shard")
@click.option("--events", default=10, show_default=True, help="How many of its latest events.")
@runtime_options
def show(shard: str, events: int, rt: Runtime, as_json: bool) -> None:
    """Show what SHARD holds, and what happened to it last."""
    from swarmops.cli._values import when
    from swarmops.runtime.op import good

    state, latest = good(rt.run_many([rt.shards.get.op(shard), rt.shards.events.op(shard, max(1, events))]))

    def text() -> str:
        lines = [
            f"{shard}: {state.specialization}, last beat {when(state.beat)}",
            f"findings {state.findings} ({state.dropped} dropped), synthesis requests {state.requests}",
            *(f"context {v.version}  {v.size:,} bytes  ctx:{v.sha}  {v.source}" for v in state.versions),
            *(f"{when(int(e['at']))}  {e['what']}  {e['id']}" for e in latest),
        ]
        return "\n".join(lines)

    print_result({"schema": "swarmops.shard/1", **state.as_dict(), "events": list(latest)}, as_json, text)


@command.command()
@click.argument("shard")
@click.argument("file", required=False)
@click.option("--source", default="", help="Where it is from (default: the file's name).")
@click.option("--specialization", default="general", show_default=True, help="Of a shard that is new.")
@click.option("--ttl", default=300.0, show_default=True, help="Seconds a new shard lives after a beat.")
@runtime_options
def load(
    shard: str, file: str | None, source: str, specialization: str, ttl: float, rt: Runtime, as_json: bool
) -> None:
    """Make FILE the newest context of SHARD.

    FILE - is stdin; without FILE it is a beat. A SHARD that is new is registered.
    """
    from swarmops.cli._values import read_bytes
    from swarmops.runtime.errors import NotFound

    data = read_bytes(file, rt.contexts.limit) if file else b""
    try:
        rt.shards.beat(shard)
    except NotFound:
        rt.shards.register(shard, specialization, ttl=ttl)
    if not file:
        print_result({"schema": "swarmops.shard-beat/1", "shard": shard}, as_json, lambda: f"{shard} is alive")
        return
    made = rt.shards.load_context(shard, data, source or ("stdin" if file == "-" else file))
    ratio = round(made.size / made.stored, 2) if made.stored else 1.0
    said = f"{ratio}x smaller in Redis" if ratio > 1 else f"{made.stored:,} in Redis"
    shown = {"schema": "swarmops.context/1", "shard": shard, **made.as_dict(), "ratio": ratio}
    print_result(
        shown,
        as_json,
        lambda: f"ctx:{made.sha}\nversion {made.version}, {made.size:,} bytes, {said}",
    )


@command.command()
@click.argument("shard")
@click.option("--full", is_flag=True, help="All of it, byte for byte, on stdout.")
@click.option("--version", type=int, help="With --full: an older version.")
@runtime_options
def context(shard: str, full: bool, version: int | None, rt: Runtime, as_json: bool) -> None:
    """Show how SHARD's context begins, and its reference."""
    import sys

    from swarmops.cli._output import progress

    if full and not as_json:
        sys.stdout.buffer.write(rt.shards.context(shard, version))
        sys.stdout.buffer.flush()
        return
    found = rt.shards.context_for_worker(shard)
    if not as_json and found.reference:
        progress(f"{found.reference['id']} version {found.reference['version']}, {found.reference['size']:,} bytes")
    print_result({"schema": "swarmops.worker-context/1", **found.as_dict()}, as_json, lambda: found.preview)


@command.command()
@click.argument("shard")
@runtime_options
def remove(shard: str, rt: Runtime, as_json: bool) -> int:
    """Forget SHARD with its findings and syntheses.

    Its contexts expire when nobody else uses them.
    """
    was = rt.shards.remove(shard)
    print_result(
        {"schema": "swarmops.shard-removed/1", "shard": shard, "removed": was},
        as_json,
        lambda: f"{shard} is removed" if was else f"there was no shard {shard}",
    )
    return 0 if was else 1
