"""What the worker process asks of an executor. A new kind of work is one file in `executors/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.worker import Handlers


@dataclass(frozen=True, slots=True)
class Setting:
    """Where an executor works. home: a folder of its own that outlives it; options: its part of the configuration."""

    role: str
    home: Path
    options: Mapping[str, Any]
    runtime: AsyncRuntime


@dataclass(frozen=True, slots=True)
class Found:
    """What this host can do, as detected. capabilities: names by which tasks ask for it, the kinds of tasks among them.

    facts: for people and for the registry (JSON). lacking: what would be here if the host had it, each with a sentence
    why not; a lack is reported and is no failure (S4-25).
    """

    capabilities: frozenset[str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)


class Executor(ABC):
    """One kind of work. Made once, started before the first task, closed after the last one."""

    def __init__(self, setting: Setting):
        self.setting = setting

    @abstractmethod
    async def start(self) -> Found:
        """Load what is needed and look at what there is. Raises Invalid for options that are wrong."""

    @abstractmethod
    def handlers(self) -> Handlers:
        """Its tasks, asked for after `start`: only those that this host can do."""

    def routes(self) -> Sequence[Any]:
        """Starlette routes of its own beside /health and /metrics. They need a token with the scope `submit`."""
        return ()

    async def health(self) -> str:
        """Why it is not well, in a sentence; "" when it is. Cheap: asked at every /health."""
        return ""

    def metrics(self) -> Mapping[str, float]:
        """Gauges and counters by Prometheus name (labels inside, `npu_infer_ms{device="CPU"}`)."""
        return {}

    async def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of everything."""
