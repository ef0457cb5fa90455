"""Recovery of interrupted swarms: taken once, from the best source that can be trusted (S3-44 to S3-47, S2-34, F39).

`take` marks the swarm recovering, for one recoverer and for 30 s; then state, checkpoints and snapshots are read until
one has a good checksum; its work in progress is requeued by the caller's hook; `done` makes the swarm active. Both ends
are one script each and carry the leader's token, so a recoverer that died or was deposed changes nothing more.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime.errors import Late, Refused, SwarmError
from swarmops.runtime.flow import Steps, flow
from swarmops.runtime.ids import name as checked
from swarmops.runtime.ids import new_id, number
from swarmops.runtime.op import Arg, Mode, Op, Room, operation
from swarmops.runtime.state.record import label_of, pairs, read_state, regs, seal, term_of, text_of
from swarmops.runtime.state.recovery_plan import ATTEMPTS, Plan, plan_for, strategy_for
from swarmops.runtime.state.snapshots import list_op, read_op

TIMEOUT = 30.0
SWARMS = "swarms swarm_due swarm_ended swarm_archive swarm_archived events stats"
Requeue = Callable[[str, tuple[str, ...]], Any]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A swarm that waits for its recovery. status: interrupted, or recovering when its recoverer did not end."""

    id: str
    status: str
    reason: str
    attempts: int
    escalated: bool
    at: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Taken:
    """What `take` answers. escalated: too many attempts failed, a person has to look."""

    escalated: bool
    attempts: int
    reason: str
    now: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a recovery went. requeued: what the hook said, else 0. tried: why better sources were left out."""

    swarm: str
    recovered: bool
    strategy: str
    reason: str
    attempts: int
    plan: Plan | None = None
    requeued: int = 0
    tried: tuple[str, ...] = ()
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Source:
    """What the state is made of. expected: the version to replace, '' for none; data '' leaves the state alone."""

    kind: str
    id: str
    value: Any
    at: int | None
    data: bytes = b""
    sum: str = ""
    expected: str = ""


class Recoveries(Room[Mode]):
    """recover, recover_all, discover_interrupted, last_recovery."""

    @operation
    def discover_interrupted(self) -> Op[list[Interrupted]]:
        """Swarms that wait for a recovery, by id."""
        return Op(
            "recover_find", regs(self.keys, SWARMS), (), lambda reply: [_interrupted(r) for r in reply], safe=True
        )

    @operation
    def take_recovery(
        self, swarm: str, token: str, *, term: int | None = None, by: str = "", reason: str = "", force: bool = False
    ) -> Op[Taken]:
        """The first half of `recover`, for callers that do the rest themselves. Raises Conflict, Illegal, Stale."""
        keys = regs(self.keys, f"{SWARMS} term leader") + regs(self.keys, "recovery", checked(swarm, "swarm"))
        who: tuple[Arg, ...] = (
            swarm,
            checked(token, "token"),
            label_of(by, "by"),
            term_of(term),
            label_of(reason, "reason", 400),
        )
        return Op("recover_take", keys, who + (int(TIMEOUT * 1000), ATTEMPTS, int(force)), _taken, safe=True)

    @operation
    def end_recovery(
        self, swarm: str, token: str, status: str, strategy: str, plan: Plan | None, source: Source, why: str, term: str
    ) -> Op[bool]:
        """The second half. Raises Late, Conflict, Stale; the swarm then belongs to whoever took it meanwhile."""
        keys = regs(self.keys, f"{SWARMS} term leader") + regs(self.keys, "recovery state", checked(swarm, "swarm"))
        keys += regs(self.keys, "states")
        described = json.dumps(plan.as_dict() if plan else {})
        sure = plan.confidence if plan else 0.0
        args: tuple[Arg, ...] = (
            swarm,
            token,
            term,
            status,
            strategy,
            source.kind,
            sure,
            described,
            why[:400],
            source.expected,
        )
        return Op("recover_done", keys, args + (source.data, source.sum, source.id), bool, safe=True)

    @operation
    def last_recovery(self, swarm: str) -> Op[dict[str, Any]]:
        """What is on record of the last recovery: strategy, source, confidence, plan, attempts, reason; {} if none."""
        key = self.keys.registry("recovery", checked(swarm, "swarm"))
        return Op("", (key,), ("HGETALL", key), _recorded, safe=True)

    @flow
    def recover(
        self,
        swarm: str,
        term: int | None = None,
        *,
        requeue: Requeue | None = None,
        by: str = "",
        reason: str = "",
        force: bool = False,
        timeout: float = TIMEOUT,
    ) -> Steps[Recovery]:
        """Bring one interrupted swarm back: status active, state from the first source that is whole.

        term: the leader's token (None: a person does it). requeue(swarm, ids): puts the work that was in progress back
        (ids: what the state says of it), may be a coroutine function on an AsyncRuntime; a recoverer that died is
        followed by another, so it must be harmless to repeat. force: also after three failed attempts.
        Raises Conflict (another recovers it), Illegal (not interrupted), Stale, Late after `timeout`, and what
        `requeue` raises.
        """
        return (
            yield from self._recover(swarm, term, requeue=requeue, by=by, reason=reason, force=force, timeout=timeout)
        )

    def _recover(
        self,
        swarm: str,
        term: int | None,
        *,
        requeue: Requeue | None,
        by: str,
        reason: str = "",
        force: bool = False,
        timeout: float = TIMEOUT,
    ) -> Steps[Recovery]:
        end, token = time.monotonic() + number(timeout, "timeout", 0.001, TIMEOUT), new_id()
        taken: Taken = yield self.take_recovery.op(swarm, token, term=term, by=by, reason=reason, force=force)
        if taken.escalated:
            return Recovery(swarm, False, "escalate", taken.reason, taken.attempts)
        source, strategy = Source("nothing", "", None, None), "restart"
        plan: Plan | None = None
        try:
            source, tried = yield from self._source(swarm, end)
            # Redis' clock measured `now`, and wrote `at`.
            age = None if source.at is None else max(0.0, (taken.now - source.at) / 1000)
            strategy = strategy_for(taken.reason, 1, source.kind)
            plan = plan_for(source.value, source.kind, source.id, age, strategy)
            requeued = requeue(swarm, plan.requeue) if requeue else 0
            if inspect.isawaitable(requeued):
                requeued = yield requeued
            _in_time(swarm, end)
        except Exception as e:
            with contextlib.suppress(SwarmError):  # if this cannot be said, the 30 s say it
                yield self.end_recovery.op(swarm, token, "interrupted", strategy, plan, source, str(e), term_of(term))
            raise
        yield self.end_recovery.op(swarm, token, "active", strategy, plan, source, "", term_of(term))
        count = requeued if isinstance(requeued, int) else 0
        return Recovery(swarm, True, strategy, taken.reason, taken.attempts, plan, count, tried)

    @flow
    def recover_all(
        self, term: int | None = None, *, requeue: Requeue | None = None, by: str = "", limit: int = 100
    ) -> Steps[builtins.list[Recovery]]:
        """Recover every swarm that waits for it; what fails is in `error` of its Recovery, the others go on.

        Escalated ones are left to people. Raises Stale when the caller no longer leads, and Unavailable.
        """
        found = []
        waiting: list[Interrupted] = yield self.discover_interrupted.op()
        for one in [w for w in waiting if not w.escalated][:limit]:
            try:
                went = yield from self._recover(one.id, term, requeue=requeue, by=by)
            except Exception as e:
                if isinstance(e, SwarmError) and (not isinstance(e, Refused) or e.code == "STALE"):
                    raise
                went = Recovery(one.id, False, "", one.reason, one.attempts + 1, error=str(e))
            found.append(went)
        return found

    def _source(self, swarm: str, end: float) -> Steps[tuple[Source, tuple[str, ...]]]:
        """The best source that is whole, and why better ones were left out."""
        tried: list[str] = []
        key = self.keys.registry("state", swarm)
        try:
            now = yield Op("", (key,), ("HGETALL", key), lambda reply: read_state(swarm, reply), safe=True)
            return Source("state", "", now.value, now.at), ()
        except Refused as e:
            tried.append(str(e))
        for kind in ("checkpoint", "snapshot"):
            try:
                marks = yield list_op(self, kind, swarm)
            except Refused as e:
                tried.append(str(e))
                continue
            for mark in marks:
                _in_time(swarm, end)
                try:
                    kept = yield read_op(self, kind, swarm, mark.id)
                except Refused as e:
                    tried.append(str(e))
                    continue
                version = "" if kept.now is None else str(kept.now)
                found = Source(kind, mark.id, kept.value, kept.mark.at, kept.data, kept.mark.sum, version)
                return found, tuple(tried)
        broken = yield from self._broken(swarm)
        return broken, tuple(tried)

    def _broken(self, swarm: str) -> Steps[Source]:
        """No source: an empty state takes the place of a broken one, or there stays none."""
        key = self.keys.registry("state", swarm)
        there = yield Op("", (key,), ("EXISTS", key), safe=True)
        if not there:
            return Source("nothing", "", None, None)
        try:
            version = yield Op("", (key,), ("HGET", key, "v"), safe=True)
        except Refused:
            version = None
        data, checksum = seal({})
        return Source("nothing", "", None, None, data, checksum, (version or b"").decode("utf-8", "replace"))


def _in_time(swarm: str, end: float) -> None:
    if time.monotonic() > end:
        raise Late(f"the recovery of {swarm} took longer than it may")


def _taken(reply: Any) -> Taken:
    taken, attempts, reason, now = reply
    return Taken(not taken, attempts, reason.decode("utf-8", "replace"), now)


def _interrupted(reply: Any) -> Interrupted:
    id, status, reason, attempts, strategy, at = (part.decode("utf-8", "replace") for part in reply)
    return Interrupted(id, status, reason, int(attempts), strategy == "escalate", int(float(at)))


def _recorded(reply: Any) -> dict[str, Any]:
    found = pairs(reply)
    if not found:
        return {}
    shown = ("strategy", "source", "reason", "by", "error")
    numbers = {"attempts": int(found.get("attempts", b"0")), "at": int(float(found.get("at", b"0")))}
    plan = json.loads(found.get("plan") or b"{}")
    return {**{k: text_of(found, k) for k in shown}, **numbers, "plan": plan}
