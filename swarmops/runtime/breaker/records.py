"""Breakers as values: limits, leave to call, what a report did, and how a breaker is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime.errors import Refused
from swarmops.runtime.ids import number

VERBS = {"open": "opened", "closed": "closed"}


class Open(Refused):
    """The target failed too often and is left alone. retry_in: seconds until it may be tried."""

    code = "OPEN"

    def __init__(self, target: str, retry_in: float, failures: int = 0):
        self.target, self.retry_in = target, retry_in
        why = f"failed {failures} times" if failures > 1 else "failed" if failures else "is not to be called"
        super().__init__(f"{target} {why}: its breaker is open for another {retry_in:.3g} s")


@dataclass(frozen=True, slots=True)
class Limits:
    """When a breaker opens and for how long; times are seconds. Those set by `configure` win over a process' own."""

    failures: int = 5
    window: float = 60.0
    open_for: float = 300.0
    probe_lease: float = 30.0

    def __post_init__(self) -> None:
        number(self.failures, "failures", 1, 100)
        for which in ("window", "open_for", "probe_lease"):
            number(getattr(self, which), which, 0.01, 86400 * 30)


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to call. probe: the token of the one probe, '' for an ordinary call. local: Redis was not asked.

    clean: no failure was counted, so that a success need not be reported.
    """

    target: str
    probe: str = ""
    local: bool = False
    clean: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What a report did."""

    state: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Breaker:
    """How a breaker is. left: seconds until it may be tried (open), or until its probe counts as dead (half-open)."""

    target: str
    state: str  # closed, open, half-open
    failures: int
    left: float
    trips: int
    limits: Limits

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
