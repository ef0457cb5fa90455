"""The asyncio executor: patience, and which node an operation goes to. The talking is done in aionode.py."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from swarmops.runtime.client.aionode import AsyncNode
from swarmops.runtime.client.cluster import Place, Slots
from swarmops.runtime.client.packing import again
from swarmops.runtime.client.sync import HOPELESS
from swarmops.runtime.errors import SwarmError, Unavailable
from swarmops.runtime.keys import Keys
from swarmops.runtime.op import Async, Op, command
from swarmops.runtime.rooms import Rooms
from swarmops.runtime.settings import Settings

T = TypeVar("T")


class AsyncRuntime(Rooms[Async]):
    """The coordination runtime for asyncio: the same rooms as Runtime, each call awaited. One event loop."""

    def __init__(self, settings: Settings | str | None = None, **more: Any):
        if isinstance(settings, Settings):
            self.settings = settings.but(**more) if more else settings
        else:
            self.settings = Settings.find(settings, **more)
        self.keys = Keys(self.settings.namespace)
        self._closed = False
        self._slots = Slots(self.settings) if self.settings.kind == "cluster" else None
        self._nodes: dict[Place, AsyncNode] = {}
        self._node = None if self._slots else AsyncNode(self.settings)

    async def run(self, op: Op[T]) -> T:
        """Carry `op` out. Raises what went wrong as a SwarmError."""
        result: Any = None
        if self._node is not None and not op.block:  # the way that nearly all go, as short as it can be
            result = await self._node.put(op)
            if not isinstance(result, Exception):
                return result
        if result is None or again(op, result):
            result = (await self._persist([op], self.settings.patience))[0]
        if isinstance(result, Exception):
            raise result
        return result

    async def run_many(self, ops: Sequence[Op[Any]], patience: float | None = None) -> list[Any]:
        """Carry several out in one flush. Errors are among the results; raises only if nothing can be said of any."""
        return await self._persist(ops, self.settings.patience if patience is None else patience) if ops else []

    async def connect(self) -> AsyncRuntime:
        """Make sure that Redis answers now. Raises Unavailable or Misconfigured, within the connect timeout."""
        result = (await self._persist([command(self.keys.registry(), "PING")], 0))[0]
        if isinstance(result, Exception):
            raise result
        return self

    async def close(self) -> None:
        self._closed = True
        for node in [self._node, *self._nodes.values()]:
            if node:
                await node.close()

    async def __aenter__(self) -> AsyncRuntime:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- patience

    async def _persist(self, ops: Sequence[Op[Any]], patience: float) -> list[Any]:
        end, pause = time.monotonic() + patience, 0.02
        while True:
            try:
                found = await self._once(ops)
                worst = next((r for r in found if isinstance(r, Unavailable)), None)
                if worst is None or not all(again(op, r) for op, r in zip(ops, found)):
                    return found
            except Unavailable as e:
                if not e.unsent and not all(op.safe for op in ops):
                    raise
                worst, found = e, []
            if worst.kind in HOPELESS or time.monotonic() + pause > end or self._closed:
                if found:
                    return found
                raise worst
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 0.25)

    async def _once(self, ops: Sequence[Op[Any]]) -> list[Any]:
        if self._node is not None:
            if any(op.block for op in ops):  # what waits has a connection to itself, all else shares one
                return await self._node.results(ops)
            return [await outcome for outcome in [self._node.put(op) for op in ops]]
        assert self._slots is not None
        found: list[Any] = [None] * len(ops)
        if self._slots.empty:
            await self._learn()
        groups: dict[Place, list[int]] = {}
        for i, op in enumerate(ops):
            groups.setdefault(self._slots.known(op.keys[0]), []).append(i)
        for place, which in groups.items():
            for i, result in zip(which, await self._at(place).results([ops[i] for i in which])):
                found[i] = self._moved(result)
        return found

    # -- cluster

    def _at(self, place: Place) -> AsyncNode:
        if place not in self._nodes:
            one = self.settings.but(kind="single", nodes=(), host=place[0], port=place[1])
            self._nodes[place] = AsyncNode(one)
        return self._nodes[place]

    async def _learn(self) -> None:
        assert self._slots is not None
        why: SwarmError | None = None
        for place in self.settings.nodes:
            try:
                self._slots.take((await self._at(place).exchange([("CLUSTER", "SLOTS")]))[0], place)
                return
            except Unavailable as e:
                why = e
        raise why or Unavailable("cluster", f"{self.settings.place} is no cluster", unsent=True)

    def _moved(self, result: Any) -> Any:
        if isinstance(result, Unavailable) and result.kind == "moved":
            assert self._slots is not None
            self._slots.forget()
        return result
