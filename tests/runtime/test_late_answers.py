"""An answer that comes too late is nobody's: it must not be taken for that of the next operation."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.errors import Unavailable
from swarmops.runtime.op import Op, command
from tests.runtime.server import Server, modern

pytestmark = modern  # earlier ones cannot be made to sleep


def blocking(*words: str) -> Op[Any]:
    return replace(command("x", *words), block=0.05)


def test_asyncio(own_server: Callable[..., Server]) -> None:
    asyncio.run(_asyncio(own_server("--enable-debug-command", "local")))


async def _asyncio(server: Server) -> None:
    async with AsyncRuntime(server.settings.but(timeout=0.3, patience=0.0)) as rt:
        busy = AsyncRuntime(server.settings.but(timeout=5.0))
        try:
            assert await rt.run(blocking("ECHO", "here")) == b"here"
            asleep = asyncio.create_task(busy.run(command("x", "DEBUG", "SLEEP", "1.2")))
            await asyncio.sleep(0.1)
            waits = blocking("BLPOP", "nothing", "0.05")
            with pytest.raises(Unavailable, match="did not answer"):
                await rt.run(waits)
            await asleep
            for word in ("one", "two"):
                said = await rt.run(blocking("ECHO", word))
                assert said == word.encode()
            assert await rt.run(waits) is None
        finally:
            await busy.close()


def test_sync(own_server: Callable[..., Server]) -> None:
    server = own_server("--enable-debug-command", "local")
    with Runtime(server.settings.but(timeout=0.3, patience=0.0)) as rt, Runtime(server.settings) as busy:
        assert rt.run(blocking("ECHO", "here")) == b"here"
        asleep = threading.Thread(target=busy.run, args=(command("x", "DEBUG", "SLEEP", "1.2"),))
        asleep.start()
        time.sleep(0.1)
        with pytest.raises(Unavailable, match="did not answer"):
            rt.run(blocking("BLPOP", "nothing", "0.05"))
        asleep.join()
        assert [rt.run(blocking("ECHO", word)) for word in ("one", "two")] == [b"one", b"two"]
        assert rt.run(blocking("BLPOP", "nothing", "0.05")) is None
