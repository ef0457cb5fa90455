"""States of swarms: read, write, snapshot, restore, recover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import print_result, runtime_options, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from swarmops.runtime import Runtime
    from swarmops.runtime.state.record import Mark
    from swarmops.runtime.state.recovery import Recovery


@click.group()
def command() -> None:
    """States of swarms, their snapshots and checkpoints, and recovery from them."""


def _value(text: str | None) -> Any:
    """JSON from the command line, or with - from stdin. Raises Invalid."""
    import sys

    from swarmops.runtime import wire

    data = sys.stdin.buffer.read(wire.LIMIT + 1) if text in (None, "-") else text
    return wire.loads(data or b"", "VALUE")


@command.command()
@click.argument("name")
@runtime_options
def get(name: str, rt: Runtime, as_json: bool) -> None:
    """Show the state NAME.

    The value as JSON on stdout, its version on stderr.
    """
    import json

    from swarmops.cli._output import progress
    from swarmops.cli._values import when

    state = rt.state.load(name)
    if not as_json:
        restored = f", restored from {state.restored_from}" if state.restored_from else ""
        progress(f"{name}: version {state.version}, written {when(state.at)}{restored}")
    shown = {"schema": "swarmops.state/1", **state.as_dict()}
    print_result(shown, as_json, lambda: json.dumps(state.value, indent=2, ensure_ascii=False))


@command.command("set")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--version", type=int, help="Only over this version; 0: only if there is none yet.")
@click.option("--by", default="cli", show_default=True, help="Who writes.")
@runtime_options
def set_(name: str, value: str | None, version: int | None, by: str, rt: Runtime, as_json: bool) -> None:
    """Write VALUE as the state NAME.

    VALUE is JSON; - or nothing: from stdin.
    """
    data = _value(value)
    if version is None:
        new = rt.state.update(name, lambda old: data, by=by)
    else:
        new = rt.state.save(name, data, version or None, by=by)
    shown = {"schema": "swarmops.state-saved/1", "name": name, "version": new}
    print_result(shown, as_json, lambda: f"{name}: version {new}")


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@runtime_options
def list_(limit: int, rt: Runtime, as_json: bool) -> None:
    """List states, the last written first."""
    from swarmops.cli._values import when

    found = rt.state.list(limit)

    def text() -> str:
        rows = [[s.name, str(s.version), when(s.at), str(s.stored), _left(s.left), s.by] for s in found]
        return table(rows, ["NAME", "VERSION", "WRITTEN", "BYTES", "ENDS", "BY"])

    print_result({"schema": "swarmops.states/1", "states": [s.as_dict() for s in found]}, as_json, text)


def _left(seconds: float | None) -> str:
    return "never" if seconds is None else f"in {seconds:.0f} s"


@command.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Only if this is its version.")
@runtime_options
def delete(name: str, version: int | None, rt: Runtime, as_json: bool) -> int:
    """Forget the state NAME, its snapshots and checkpoints. Exit code 1: there was none."""
    gone = rt.state.delete(name, version)
    shown = {"schema": "swarmops.state-deleted/1", "name": name, "deleted": gone}
    print_result(shown, as_json, lambda: f"{name}: {'deleted' if gone else 'there was none'}")
    return 0 if gone else 1


@command.command()
@click.argument("name")
@click.option("--label", default="", help="A word to find it by.")
@click.option("--by", default="cli", show_default=True, help="Who takes it.")
@runtime_options
def snapshot(name: str, label: str, by: str, rt: Runtime, as_json: bool) -> None:
    """Keep the state NAME as it is now.

    Of more than ten snapshots the oldest goes.
    """
    _print_mark("snapshot", name, rt.state.snapshot(name, label, by=by), as_json)


@command.command()
@click.argument("name")
@click.argument("value", required=False)
@click.option("--label", default="", help="A word to find it by.")
@click.option("--by", default="cli", show_default=True, help="Who takes it.")
@runtime_options
def checkpoint(name: str, value: str | None, label: str, by: str, rt: Runtime, as_json: bool) -> None:
    """Keep a checkpoint of the state NAME.

    VALUE (JSON; - is stdin), or the state as it is now. The last twenty are kept.
    """
    if value is None:
        mark = rt.state.checkpoint(name, label=label, by=by)
    else:
        mark = rt.state.checkpoint(name, _value(value), label, by=by)
    _print_mark("checkpoint", name, mark, as_json)


def _print_mark(kind: str, name: str, mark: Mark, as_json: bool) -> None:
    shown = {"schema": f"swarmops.{kind}/1", "name": name, **mark.as_dict()}
    print_result(shown, as_json, lambda: f"{name}: {kind} {mark.id} of version {mark.version}")


@command.command()
@click.argument("name")
@click.option("--checkpoints", is_flag=True, help="List the checkpoints instead.")
@runtime_options
def snapshots(name: str, checkpoints: bool, rt: Runtime, as_json: bool) -> None:
    """List snapshots of the state NAME, newest first."""
    from swarmops.cli._values import when

    found = rt.state.checkpoints(name) if checkpoints else rt.state.snapshots(name)
    if not found:
        rt.state.load(name)  # raises NotFound

    def text() -> str:
        rows = [[m.id, m.label, str(m.version), when(m.at), str(m.stored), m.by] for m in found]
        return table(rows, ["ID", "LABEL", "VERSION", "TAKEN", "BYTES", "BY"])

    kind = "checkpoints" if checkpoints else "snapshots"
    shown = {"schema": f"swarmops.{kind}/1", "name": name, kind: [m.as_dict() for m in found]}
    print_result(shown, as_json, text)


@command.command()
@click.argument("name")
@click.argument("which", required=False, default="")
@click.option("--by", default="cli", show_default=True, help="Who restores.")
@runtime_options
def restore(name: str, which: str, by: str, rt: Runtime, as_json: bool) -> None:
    """Make the state NAME what a snapshot holds.

    WHICH is an id or a label; the newest by default.
    """
    version = rt.state.restore(name, which, by=by)
    shown = {"schema": "swarmops.state-restored/1", "name": name, "version": version, "which": which}
    print_result(shown, as_json, lambda: f"{name}: version {version}, from {which or 'the newest snapshot'}")


@command.command()
@runtime_options
def interrupted(rt: Runtime, as_json: bool) -> None:
    """List swarms that wait for a recovery."""
    found = rt.state.discover_interrupted()

    def text() -> str:
        rows = [[s.id, s.status, str(s.attempts), "a person" if s.escalated else "-", s.reason] for s in found]
        return table(rows, ["SWARM", "STATUS", "ATTEMPTS", "NEEDS", "REASON"])

    print_result({"schema": "swarmops.interrupted/1", "swarms": [s.as_dict() for s in found]}, as_json, text)


@command.command()
@click.argument("swarm", required=False)
@click.option("--all", "everyone", is_flag=True, help="Every swarm that waits for it.")
@click.option("--reason", default="", help="Why it was interrupted; chooses the strategy.")
@click.option("--force", is_flag=True, help="Also after three failed attempts.")
@click.option("--by", default="cli", show_default=True, help="Who recovers.")
@runtime_options
def recover(swarm: str | None, everyone: bool, reason: str, force: bool, by: str, rt: Runtime, as_json: bool) -> int:
    """Bring an interrupted SWARM back.

    From its state, else a checkpoint, else a snapshot.

    Exit code: 0 recovered, 1 not. The leader does this by itself; two never recover the same swarm.
    """
    if (swarm is None) != everyone:
        raise click.UsageError("say which SWARM, or --all")
    if swarm:
        found = [rt.state.recover(swarm, by=by, reason=reason, force=force)]
    else:
        found = rt.state.recover_all(by=by)
    shown = {"schema": "swarmops.recoveries/1", "recoveries": [r.as_dict() for r in found]}
    print_result(shown, as_json, _recoveries(found))
    return 0 if all(r.recovered for r in found) else 1


def _recoveries(found: list[Recovery]) -> Callable[[], str]:
    def text() -> str:
        lines = []
        for r in found:
            if not r.recovered or not r.plan:
                lines.append(f"{r.swarm}: not recovered: {r.error or 'it failed too often, a person has to look'}")
                continue
            sure = f"confidence {r.plan.confidence:g}"
            lines.append(f"{r.swarm}: {r.strategy} from {r.plan.resume_from}, {sure}, {r.plan.progress:.0%} done")
            lines += [f"  left out: {why}" for why in r.tried]
            lines += [f"  next: {action}" for action in r.plan.next_actions]
        return "\n".join(lines) or "no swarm waits for a recovery"

    return text
