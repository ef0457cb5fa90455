"""The coordination runtime: agents, swarms, tasks, messages, leadership, state and shared context on Redis.

    from swarmops.runtime import Runtime

    with Runtime("redis://127.0.0.1:6379") as rt:
        id = rt.tasks.submit("echo", {"text": "hello"})
        print(rt.tasks.result(id, timeout=5))

`AsyncRuntime` is the same with `await`. Needs a Redis >= 7.0; nothing of provisioning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmops.runtime.client.aio import AsyncRuntime
    from swarmops.runtime.client.sync import Runtime
    from swarmops.runtime.context.faces import SonnetCoordinator, SwarmMemoryShard
    from swarmops.runtime.coordinator.facade import MultiSwarm, createMultiSwarmCoordination
    from swarmops.runtime.settings import Settings

_WHERE = {
    "Runtime": "client.sync",
    "AsyncRuntime": "client.aio",
    "Settings": "settings",
    "SwarmMemoryShard": "context.faces",
    "SonnetCoordinator": "context.faces",
    "MultiSwarm": "coordinator.facade",
    "createMultiSwarmCoordination": "coordinator.facade",
}
__all__ = [
    "AsyncRuntime",
    "MultiSwarm",
    "Runtime",
    "Settings",
    "SonnetCoordinator",
    "SwarmMemoryShard",
    "createMultiSwarmCoordination",
]


def __getattr__(name: str) -> Any:
    """Each name is imported when it is first used: a command need not load what it does not call."""
    if name not in _WHERE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"swarmops.runtime.{_WHERE[name]}"), name)
