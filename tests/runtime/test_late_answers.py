"""An answer that comes too late is nobody's: it must not be taken for that of the next operation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.errors import Unavailable
from swarmops.runtime.op import Op, command
from tests.runtime.server import Server


def blocking(*words: str) -> Op[Any]:
    return replace(command("x", *words), block=0.05)


def test_asyncio(own_server: Callable[..., Server]) -> None:
    asyncio.run(_asyncio(own_server()))


async def _asyncio(server: Server) -> None:
    async with AsyncRuntime(server.settings.but(timeout=1, patience=0.0)) as rt:
        assert await rt.run(blocking("ECHO", "here")) == b"here"
        waits = blocking("BLPOP", "nothing", "0.05")
        server.stop()
        with pytest.raises(Unavailable, match="did not answer"):
            await rt.run(waits)
        server.go_on()
        for word in ("one", "two"):
            said = await rt.run(blocking("ECHO", word))
            assert said == word.encode()
        assert await rt.run(waits) is None


def test_sync(own_server: Callable[..., Server]) -> None:
    server = own_server()
    with Runtime(server.settings.but(timeout=1, patience=0.0)) as rt:
        assert rt.run(blocking("ECHO", "here")) == b"here"
        server.stop()
        with pytest.raises(Unavailable, match="did not answer"):
            rt.run(blocking("BLPOP", "nothing", "0.05"))
        server.go_on()
        assert [rt.run(blocking("ECHO", word)) for word in ("one", "two")] == [b"one", b"two"]
        assert rt.run(blocking("BLPOP", "nothing", "0.05")) is None
