"""What tasks look like to their users. How they lie in Redis: see packing.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from swarmops.runtime import wire
from swarmops.runtime.errors import SwarmError, TooLarge

STATUSES = ("waiting", "delayed", "ready", "running", "done", "dead", "cancelled", "expired", "stopped", "spoilt")
ENDED = STATUSES[4:]


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task to submit. priority 0 to 9, higher first; needs: capabilities a worker must have; times are seconds.

    delay: not before; expires: not begun by then, it ends as expired; timeout: for one attempt; backoff: before the
    first of `retries`, then twice as long each time. The id makes submitting it twice the same as once.
    """

    kind: str
    args: Any = None
    id: str | None = None
    priority: int = 5
    needs: tuple[str, ...] = ()
    delay: float = 0.0
    expires: float | None = None
    timeout: float | None = None
    retries: int = 3
    backoff: float = 1.0
    meta: Mapping[str, Any] | None = None


class Submitted(NamedTuple):
    """new: False when a task of this id was there already, which is left as it is."""

    id: str
    new: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A task to carry out now. args: JSON; attempt: goes with the outcome; parents: results by id.

    fault: what is wrong with a posted task that cannot be read; its args are null then.
    """

    id: str
    attempt: int
    kind: str
    args: bytes
    timeout_ms: int = 0
    workflow: str = ""
    priority: int = 5
    meta: Mapping[str, Any] = field(default_factory=dict)
    parents: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt: a result (JSON), or an error, after which it is tried again unless `retry` is off.

    after: seconds until then, instead of the backoff. unknown: this worker has no handler for it; when another has one
    the task goes there and nothing failed, otherwise the attempt failed with `error`.
    """

    id: str
    attempt: int
    result: bytes = b"null"
    error: str | None = None
    retry: bool = True
    after: float | None = None
    unknown: bool = False

    @classmethod
    def done(cls, claim: Claim, value: Any = None) -> Outcome:
        """Raises Invalid for what JSON cannot hold, TooLarge over 1 MiB."""
        return cls(claim.id, claim.attempt, wire.dumps(value, "result"))

    @classmethod
    def failed(
        cls, claim: Claim, error: BaseException | str, retry: bool = True, after: float | None = None
    ) -> Outcome:
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        return cls(claim.id, claim.attempt, error=text[:10_000], retry=retry, after=after)

    def packed(self) -> tuple[Any, ...]:
        """As step.lua takes it. Raises Invalid."""
        if self.error is None:
            if len(self.result) > wire.LIMIT:
                raise TooLarge("result", f"has {len(self.result):,} bytes, the most is {wire.LIMIT:,}")
            return self.id, self.attempt, "d", self.result
        if self.unknown:
            return self.id, self.attempt, "u", wire.dumps(self.error, "error")
        how = "x" if not self.retry else "f" if self.after is None else f"f{max(0, round(self.after * 1000))}"
        return self.id, self.attempt, how, wire.dumps(self.error, "error")


@dataclass(frozen=True, slots=True)
class Claimed:
    """Answer to a step. refused: (id, why) of outcomes that came too late.

    Where `holding` gave ids: lost is what the worker holds no more, strays what it holds without knowing, because an
    answer was lost on the way (give them back by `released`). next_due_ms: until a timer is due, -1 for none.
    """

    tasks: list[Claim]
    refused: list[tuple[str, str]]
    lost: list[str]
    strays: list[str]
    next_due_ms: int


@dataclass(frozen=True, slots=True)
class Task:
    """All that is known of a task. Times are ms of Redis' clock, 0: not yet. error: of the last attempt."""

    id: str
    status: str
    kind: str
    args: Any = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 5
    needs: tuple[str, ...] = ()
    attempt: int = 0
    failures: int = 0
    deaths: int = 0
    worker: str = ""
    workflow: str = ""
    result: Any = None
    error: str | None = None
    progress: Mapping[str, Any] | None = None
    submitted_ms: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    due_ms: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Depth:
    """How full a queue is. blocked: wait for other tasks; oldest_ms: how long the next ready task has waited."""

    queue: str
    ready: int
    delayed: int
    running: int
    blocked: int
    dead: int
    limit: int
    oldest_ms: int
    workers: int
    posted: int
    lanes: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class TaskFailed(SwarmError):
    """A task that was waited for ended without a result. `status`: dead, cancelled, expired, stopped or spoilt."""

    def __init__(self, id: str, status: str, error: str):
        self.id, self.status, self.error = id, status, error
        super().__init__(f"task {id} is {status}: {error}")
