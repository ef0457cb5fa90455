"""What the user may ask of a deploy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmops.delivery.fleet import FORKS
from swarmops.delivery.transport import TIMEOUT
from swarmops.model.schema.serial import Serial

Checks = Mapping[str, list[dict[str, Any]]]
Gate = Callable[[Checks, Checks], Iterator[dict[str, str]]]
# The checks of hosts just changed, and of those to come -> after each look, host -> what is wrong with it.


@dataclass
class Options:
    limit: str | None = None
    tags: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    check: bool = False
    diff: bool = False
    ask: bool = False
    forks: int = FORKS
    connect_timeout: float = TIMEOUT
    confirm: float = 30
    retry: bool = False
    adopt: bool = False
    carry_on: bool = False
    serial: Serial | None = None  # of all hosts of a wave; None: as roles and distributed.yaml say
    gate: Gate | None = None  # without one, a batch is well when its tasks and handlers went well
