"""The process behind `swarmops dashboard`: the page on its addresses, until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from swarmops.gateways.page.app import make_app
from swarmops.gateways.page.config import Config
from swarmops.web.serving import listening, serve

__all__ = ["run"]
GRACE = 2  # seconds; an answer of ours is a file, which is sent at once


async def run(config: Config, said: Callable[[str], Any] = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT. said: is given a line once it answers. Raises Invalid, Unavailable (address)."""
    app = make_app(config.coordinator)
    sockets = listening(config.bind, config.port)
    port = sockets[0].getsockname()[1]
    stopping = asyncio.Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(which, stopping.set)

    def ready() -> None:
        urls = ", ".join(f"http://{f'[{bind}]' if ':' in bind else bind}:{port}" for bind in config.bind)
        said(f"dashboard on {urls}, coordinator at {config.coordinator}")

    await serve(app, config.bind, port, stopping=stopping, ready=ready, sockets=sockets, grace=GRACE)
