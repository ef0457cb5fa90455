"""One task run: from a claim's arguments to its outcome. Never raises what a handler raises."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from swarmops.runtime.errors import Invalid
from swarmops.runtime.tasks import Claim, Outcome
from swarmops.runtime.wire import dumps
from swarmops.runtime.worker.handlers import Fatal, Handler, Handlers, Retry

ERROR = 4096  # bytes of an error with its traceback


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


# Args come without white space around them, so that half of what decode() does can be left out.
_scan = json.JSONDecoder(parse_constant=_constant).scan_once  # type: ignore[attr-defined]


def arguments(args: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the function is called with. Raises Invalid."""
    if args == b"null":
        return (), {}
    try:
        text = args.decode()
        value, end = _scan(text, 0)
        if end != len(text):
            raise ValueError(f"something follows at {end}")
    except (ValueError, StopIteration, RecursionError) as e:
        raise Invalid("args", f"is not JSON: {str(e)[:200]}") from None
    if type(value) is dict:
        return (), value
    return (value,), {}


def prepared(handlers: Handlers, claim: Claim) -> tuple[Handler, tuple[Any, ...], dict[str, Any]] | Outcome:
    """What to call, or why it cannot be."""
    handler = handlers.tasks.get(claim.kind)
    if handler is None:
        return Outcome(claim.id, claim.attempt, error=handlers.unknown(claim.kind), unknown=True)
    if claim.fault:
        return Outcome.failed(claim, claim.fault, retry=False)
    try:
        return handler, *arguments(claim.args)
    except Invalid as e:
        return failure(claim, e)


def run(handlers: Handlers, claim: Claim, context: Callable[[], Any]) -> Outcome:
    """Call the handler of `claim`, a plain function. `context` makes the context if it wants one."""
    call = prepared(handlers, claim)
    if isinstance(call, Outcome):
        return call
    handler, positional, named = call
    try:
        if handler.context:
            named[handler.context] = context()
        value = handler.function(*positional, **named)
        return Outcome(claim.id, claim.attempt, b"null" if value is None else dumps(value, "result"))
    except BaseException as e:
        return failure(claim, e)


async def run_coroutine(handlers: Handlers, claim: Claim, context: Callable[[], Any]) -> Outcome:
    """The same for a coroutine function. Raises CancelledError when the worker cancels it."""
    call = prepared(handlers, claim)
    if isinstance(call, Outcome):
        return call
    handler, positional, named = call
    try:
        if handler.context:
            named[handler.context] = context()
        return Outcome(claim.id, claim.attempt, dumps(await handler.function(*positional, **named), "result"))
    except asyncio.CancelledError as e:
        me = asyncio.current_task()
        if me and me.cancelling():
            raise
        return failure(claim, e)
    except BaseException as e:
        return failure(claim, e)


def failure(claim: Claim, e: BaseException) -> Outcome:
    """The outcome of an exception. Bad arguments and results fail for good, for they would again."""
    if isinstance(e, Retry):
        return Outcome.failed(claim, e.reason, after=e.after)
    if isinstance(e, Fatal):
        return Outcome.failed(claim, str(e) or "Fatal", retry=False)
    if isinstance(e, Invalid) and e.path in ("args", "result"):
        return Outcome.failed(claim, str(e), retry=False)
    if isinstance(e, TypeError) and _frames(e) <= 1:  # the call itself: the arguments do not fit the function
        return Outcome.failed(claim, f"TypeError: {e}", retry=False)
    return Outcome.failed(claim, told(e))


def told(e: BaseException) -> str:
    """`ValueError: no such color`, then its traceback below the worker's own frames, together at most 4 KiB."""
    try:
        said = f"{type(e).__name__}: {e}"
    except Exception:  # its __str__ is broken
        said = type(e).__name__
    inner = e.__traceback__.tb_next if e.__traceback__ else None
    lines = traceback.format_list(traceback.extract_tb(inner, limit=-8))
    text = "\n".join([said[: ERROR // 2], *(line.rstrip() for line in lines)])
    return text.encode("utf-8", "replace")[:ERROR].decode("utf-8", "ignore")


def _frames(e: BaseException) -> int:
    n, tb = 0, e.__traceback__
    while tb is not None:
        n, tb = n + 1, tb.tb_next
    return n
