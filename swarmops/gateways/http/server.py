"""The process behind `swarmops api`: the application, and beside it the leader's duties."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import Any

from swarmops.gateways.http.app import make_app, settings_for, wrapped
from swarmops.gateways.http.config import Config
from swarmops.gateways.http.tls import served
from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.coordinator.loop import AsyncCoordinator
from swarmops.runtime.ids import new_id
from swarmops.runtime.settings import Settings
from swarmops.web.serving import listening, serve
from swarmops.web.tokens import Tokens

log = logging.getLogger(__name__)


async def run(config: Config, settings: Settings, said: Callable[[str], Any] = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT. said: is given a line once it answers. Raises Invalid, Unavailable (address)."""
    tokens = Tokens.of_file(config.tokens) if config.tokens else Tokens()
    tls = served(config)
    sockets = listening(config.bind, config.port)
    port = sockets[0].getsockname()[1]
    async with contextlib.AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(AsyncRuntime(settings_for(settings)))
        app = make_app(config, runtime, tokens)
        stopping: asyncio.Event = app.state.stopping
        loop = asyncio.get_running_loop()
        for which in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(which, stopping.set)
        if config.duties:
            # Patient, on connections of its own: it outlives an outage, and delays no request.
            own = await stack.enter_async_context(AsyncRuntime(settings))
            name = f"{config.name or 'api'}-{new_id()}"[:63]
            await stack.enter_async_context(AsyncCoordinator(own, name))

        def ready() -> None:
            urls = [_url("https" if tls else "http", bind, port) for bind in config.bind]
            said(f"serving on {', '.join(urls)}, Redis at {settings.place}")

        more: dict[str, Any] = {"sockets": sockets, "tls": tls, "head": config.limits.head}
        await serve(wrapped(app), config.bind, port, stopping=stopping, ready=ready, **more)


def _url(scheme: str, bind: str, port: int) -> str:
    return f"{scheme}://{f'[{bind}]' if ':' in bind else bind}:{port}"
