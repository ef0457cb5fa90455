"""The state of a node as one word (S4-49), from what is recorded beside the inventory and one look at it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from swarmops.delivery import records
from swarmops.health.verdict import HostHealth, State

MISSED = 3  # looks in a row that a node must have missed to count as offline (S4-48)


class Status(StrEnum):
    """pending: never deployed. enrolling: being deployed for the first time. error: its last deploy failed, or what
    was tried to put it right did not help. maintenance, decommissioned: set by hand."""

    PENDING = "pending"
    ENROLLING = "enrolling"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"
    ERROR = "error"
    MAINTENANCE = "maintenance"
    DECOMMISSIONED = "decommissioned"


BY_HAND = (Status.MAINTENANCE, Status.DECOMMISSIONED)


@dataclass(frozen=True)
class Node:
    """What is known of a node between two looks. since, tried: seconds since 1970; missed: looks without an answer.

    hand: maintenance or decommissioned, or ""; tried: role -> when it was restarted to put it right.
    """

    status: Status = Status.PENDING
    why: str = ""
    since: float = 0.0
    missed: int = 0
    hand: str = ""
    tried: Mapping[str, list[float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Past:
    """What deploys have left: whether the node was ever deployed, is being deployed now, failed in its last one."""

    deployed: bool
    deploying: bool
    failed: bool


def judge(node: Node, past: Past, look: HostHealth | None, now: float, patient: bool = True) -> Node:
    """The node after a look (None: it was not looked at). Pure.

    patient: one miss proves nothing; a node that was well stays as it was until it has missed MISSED looks.
    """
    if look is None:
        missed = node.missed
    else:
        missed = 0 if _answered(look) else node.missed + 1
    status, why = _status(replace(node, missed=missed), past, look, patient)
    return replace(
        node,
        status=status,
        why=why,
        missed=missed,
        since=node.since if status is node.status and node.since else now,
    )


def _status(node: Node, past: Past, look: HostHealth | None, patient: bool) -> tuple[Status, str]:
    if node.hand:
        return Status(node.hand), node.why if node.status == node.hand else ""
    if past.deploying and not past.deployed:
        return Status.ENROLLING, "its first deploy is at work"
    if not past.deployed:
        return Status.PENDING, "never deployed"
    if look is None:
        return node.status, node.why
    reach = next((r for r in look.results if r.id == "reach"), None)
    if not _answered(look):
        if patient and node.missed < MISSED and node.status in (Status.ONLINE, Status.DEGRADED):
            return node.status, f"missed {node.missed} of {MISSED} looks"
        pingable = reach is not None and reach.state is State.UNKNOWN
        return (Status.DEGRADED if pingable else Status.OFFLINE), reach.detail if reach else "not looked at"
    if past.failed:
        return Status.ERROR, "its last deploy failed"
    trouble = next((r for r in look.troubles if r.state is not State.UNKNOWN), None)
    if trouble is None:
        return Status.ONLINE, ""
    if node.status is Status.ERROR and trouble.state is State.CRITICAL:
        return node.status, node.why
    return Status.DEGRADED, f"{trouble.role}/{trouble.name}: {trouble.detail}"


def _answered(look: HostHealth) -> bool:
    return all(r.state is State.OK for r in look.results if r.id == "reach")


class Book:
    """nodes.json beside the inventory: what is set by hand, and what reconcile knows from one round to the next."""

    def __init__(self, state: Path):
        self._state = state
        self._file = state / "nodes.json"
        self.nodes: dict[str, Node] = {}
        for name, told in records.read(self._file).items():
            with contextlib.suppress(KeyError, TypeError, ValueError):  # spoilt: it starts anew
                self.nodes[name] = _node(told)

    def get(self, name: str) -> Node:
        return self.nodes.get(name, Node())

    def past(self, name: str) -> Past:
        return Past(
            deployed=name in records.deployed(self._state),
            deploying=name in records.deploying(self._state),
            failed=name in records.failed(self._state),
        )

    def put(self, name: str, node: Node) -> None:
        self.nodes[name] = node

    def save(self) -> None:
        records.write(self._file, {n: v.as_dict() for n, v in self.nodes.items()})

    def by_hand(self, name: str, what: str, why: str = "", now: float | None = None) -> Node:
        """Set maintenance or decommissioned, or take it away (""). Saved at once."""
        before = self.get(name)
        at = time.time() if now is None else now
        status = Status(what) if what else Status.PENDING
        node = replace(before, hand=what, status=status, why=why, since=at, missed=0, tried={})
        self.put(name, node)
        self.save()
        return node


def _node(told: Mapping[str, Any]) -> Node:
    return Node(
        status=Status(told["status"]),
        why=str(told.get("why", "")),
        since=float(told.get("since") or 0),
        missed=int(told.get("missed") or 0),
        hand=told["hand"] if told.get("hand") in [s.value for s in BY_HAND] else "",
        tried={str(k): [float(t) for t in v] for k, v in dict(told.get("tried") or {}).items() if v},
    )
