"""Handlers for `swarmops worker` started as a process by the tests."""

from __future__ import annotations

import asyncio
import sys
import time

from swarmops.runtime.worker import Context, Handlers

handlers = Handlers()
coroutines = Handlers()


@handlers.init
def ready() -> None:
    print("ready", flush=True)


@handlers.cleanup
def bye() -> None:
    print("cleaned up", flush=True)


@handlers.task
def echo(text: str) -> str:
    return text


@handlers.task
def nap(seconds: float, context: Context) -> str:
    time.sleep(seconds)
    return context.key


@coroutines.task("nap")
async def async_nap(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "rested"


coroutines.init(ready)
coroutines.cleanup(bye)
print("imported", file=sys.stderr)
