"""Which kinds of tasks somebody here can do: read from the registry of agents, and kept for a moment (case 77)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.errors import Invalid

FRESH = 2.0  # seconds that a reading counts; then it is read again beside the requests
OLD = 30.0  # seconds after which they wait for that
SOONEST = 0.2  # a kind that is not known has it read again, but not more often than this
SHOWN = 50  # kinds named to who asked for another


class Kinds:
    """Kinds of tasks, and how many live agents do each."""

    def __init__(self, runtime: AsyncRuntime):
        self.runtime = runtime
        self.agents: dict[str, int] = {}
        self._capabilities: frozenset[str] = frozenset()
        self._at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def needs(self, kind: str, given: list[str], anyway: bool, path: str = "type") -> list[str]:
        """What a task of this kind needs of its worker. Raises Invalid for a kind that nobody does, unless `anyway`."""
        age = time.monotonic() - self._at
        if age > OLD or (kind not in self.agents and age > SOONEST):
            await self.refresh()
        elif age > FRESH:
            self._begin()  # nobody waits for it: what is known is good enough meanwhile
        if kind not in self.agents and not anyway:
            known = ", ".join(sorted(self.agents)[:SHOWN]) or "none"
            raise Invalid(path, f"no agent does {kind!r} (they do: {known}); with anyway=true it waits for one")
        return [*given, kind] if kind in self._capabilities and kind not in given else given

    def stale(self) -> None:
        """An agent has come in through this process: what is known is not all any more."""
        self._at = float("-inf")

    async def refresh(self) -> None:
        """Read the registry again. Who asks at the same time waits for one reading."""
        await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(lambda t: t.cancelled() or t.exception())  # said to who waits for it
        return self._reading

    async def _read(self) -> None:
        began = time.monotonic()
        agents, able = dict[str, int](), set[str]()
        for agent in await self.runtime.agents.list():
            said: Any = agent.metadata.get("kinds")
            kinds = {k for k in said if isinstance(k, str)} if isinstance(said, list) else set()
            able |= set(agent.capabilities)
            for kind in kinds:
                agents[kind] = agents.get(kind, 0) + 1
        self.agents, self._capabilities, self._at = agents, frozenset(able), began
