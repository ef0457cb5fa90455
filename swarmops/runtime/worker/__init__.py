"""Workers: processes that claim tasks and run them.

    from swarmops.runtime.worker import Context, Handlers, Worker

    handlers = Handlers()

    @handlers.task("echo")
    def echo(text: str) -> str:
        return text

    Worker("redis://127.0.0.1:6379", handlers).run()

`AsyncWorker` is the same for coroutines. `swarmops worker --handlers module:name` runs either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmops.runtime.worker.aioloop import AsyncWorker
    from swarmops.runtime.worker.context import AsyncContext, Context
    from swarmops.runtime.worker.handlers import Fatal, Handlers, Retry
    from swarmops.runtime.worker.loop import Worker

_WHERE = {
    "AsyncContext": "context",
    "AsyncWorker": "aioloop",
    "Context": "context",
    "Fatal": "handlers",
    "Handlers": "handlers",
    "Retry": "handlers",
    "Worker": "loop",
}
__all__ = ["AsyncContext", "AsyncWorker", "Context", "Fatal", "Handlers", "Retry", "Worker"]


def __getattr__(name: str) -> Any:
    """Each name is imported when it is first used."""
    if name not in _WHERE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"swarmops.runtime.worker.{_WHERE[name]}"), name)
