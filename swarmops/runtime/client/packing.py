"""From operations to the bytes that go out, and back to results. Shared by the two executors; nothing here waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import exceptions as rx

from swarmops.runtime import scripts
from swarmops.runtime.client.connect import answered, code_of
from swarmops.runtime.errors import NotReplicated, Unavailable
from swarmops.runtime.op import Op
from swarmops.runtime.settings import Settings


def command(op: Op[Any]) -> tuple[Any, ...]:
    """What goes to Redis for `op`."""
    if not op.script:
        return op.args
    script = scripts.load(op.script)
    assert len(op.keys) == len(script.keys), f"{op.script} wants the keys {script.keys}"
    if op.items:
        flat = [a for item in op.items for a in item]
        return ("EVALSHA", script.sha, len(op.keys), *op.keys, *op.args, len(op.items), *flat)
    return ("EVALSHA", script.sha, len(op.keys), *op.keys, *op.args)


def commands(ops: Sequence[Op[Any]], settings: Settings) -> list[tuple[Any, ...]]:
    """The same for several, with a WAIT behind them where replicas are asked for."""
    found = [command(op) for op in ops]
    if settings.wait_replicas and any(op.durable for op in ops):
        found.append(("WAIT", settings.wait_replicas, int(settings.wait_timeout * 1000)))
    return found


def lacks_script(reply: Any) -> bool:
    return isinstance(reply, rx.ResponseError) and code_of(reply)[0] == "NOSCRIPT"


def loading(ops: Sequence[Op[Any]], lacking: Sequence[int]) -> list[tuple[Any, ...]]:
    """Commands that load the scripts of these operations."""
    names = {ops[i].script for i in lacking if i < len(ops) and ops[i].script}
    return [("SCRIPT", "LOAD", scripts.load(name).source) for name in sorted(names)]


def again(op: Op[Any], result: Any) -> bool:
    """This may be tried again: it did not run, or doing it twice does no harm."""
    return isinstance(result, Unavailable) and (result.unsent or op.safe)


def results(ops: Sequence[Op[Any]], replies: Sequence[Any], settings: Settings) -> list[Any]:
    """A result for each operation; errors are among them, not raised."""
    found: list[Any] = []
    for op, reply in zip(ops, replies):
        if isinstance(reply, Exception):
            found.append(answered(reply, settings) if isinstance(reply, rx.ResponseError) else reply)
            continue
        try:
            found.append(op.read(reply))
        except Exception as e:
            found.append(e)
    if len(replies) > len(ops):
        got = replies[len(ops)]
        if isinstance(got, int) and got < settings.wait_replicas:
            late = NotReplicated(got, settings.wait_replicas)
            found = [late if op.durable and not isinstance(r, Exception) else r for op, r in zip(ops, found)]
    return found
