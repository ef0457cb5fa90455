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

    hand: maintenance or decommissioned, or "". Of its roles: tried: when they were restarted to put them right, and
    seen: when those were critical last; ill: since when those are that are critical now; left: releases that they went
    back from. gone_back: why they did, "" after a deploy.
    """

    status: Status = Status.PENDING
    why: str = ""
    since: float = 0.0
    missed: int = 0
    hand: str = ""
    tried: Mapping[str, list[float]] = field(default_factory=dict)
    seen: Mapping[str, float] = field(default_factory=dict)
    ill: Mapping[str, float] = field(default_factory=dict)
    left: Mapping[str, list[str]] = field(default_factory=dict)
    gone_back: str = ""
    gone_back_at: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Past:
    """What deploys have left: whether the node was ever deployed, is being deployed now, failed in its last one, and
    when the last one ended (seconds since 1970)."""

    deployed: bool
    deploying: bool
    failed: bool
    at: float = 0.0


def judge(node: Node, past: Past, look: HostHealth | None, now: float, patient: bool = True) -> Node:
    """The node after a look (None: it was not looked at). Pure.

    patient: one miss proves nothing; a node that was well stays as it was until it has missed MISSED looks.
    """
    node = _renewed(node, past)
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


def _renewed(node: Node, past: Past) -> Node:
    """A deploy that went well is a new beginning: what was tried before says nothing of it."""
    if past.failed or past.deploying or not past.at:
        return node
    tried = {role: later for role, times in node.tried.items() if (later := [t for t in times if t > past.at])}
    ill = {role: since for role, since in node.ill.items() if since > past.at}
    node = replace(node, tried=tried, ill=ill)
    if node.gone_back and node.gone_back_at <= past.at:
        node = replace(node, gone_back="", gone_back_at=0.0)
    if node.status is Status.ERROR and node.since <= past.at:
        node = replace(node, status=Status.DEGRADED)
    return node


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
        if patient and node.missed < MISSED and node.status in (Status.ONLINE, Status.DEGRADED, Status.ERROR):
            missed = f"missed {node.missed} of {MISSED} looks"
            return node.status, node.why if node.status is Status.ERROR else missed
        pingable = reach is not None and reach.state is State.UNKNOWN
        return (Status.DEGRADED if pingable else Status.OFFLINE), reach.detail if reach else "not looked at"
    if past.failed:
        return Status.ERROR, "its last deploy failed"
    if node.gone_back:
        return Status.ERROR, node.gone_back
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
        self.nodes = self._read()
        self._hands = {name: node.hand for name, node in self.nodes.items()}

    def _read(self) -> dict[str, Node]:
        found = {}
        for name, told in records.read(self._file).items():
            with contextlib.suppress(KeyError, TypeError, ValueError):  # spoilt: it starts anew
                found[name] = _node(told)
        return found

    def get(self, name: str) -> Node:
        return self.nodes.get(name, Node())

    def past(self, name: str) -> Past:
        ended = records.deployed(self._state)
        return Past(
            deployed=name in ended,
            deploying=name in records.deploying(self._state),
            failed=name in records.broken(self._state),
            at=ended.get(name, 0.0),
        )

    def put(self, name: str, node: Node) -> None:
        self.nodes[name] = node

    def save(self) -> None:
        """What somebody has set by hand since this book was read stays as they set it."""
        for name, node in self._read().items():
            if node.hand != self._hands.get(name, ""):
                self.nodes[name] = node
        self._hands = {name: node.hand for name, node in self.nodes.items()}
        records.write(self._file, {n: v.as_dict() for n, v in self.nodes.items()})

    def by_hand(self, name: str, what: str, why: str = "", now: float | None = None) -> Node:
        """Set maintenance or decommissioned, or take it away (""). Saved at once."""
        before = self.get(name)
        at = time.time() if now is None else now
        status = Status(what) if what else Status.PENDING
        node = replace(before, hand=what, status=status, why=why, since=at, missed=0, tried={}, seen={}, ill={})
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
        seen={str(k): float(v) for k, v in dict(told.get("seen") or {}).items()},
        ill={str(k): float(v) for k, v in dict(told.get("ill") or {}).items()},
        left={str(k): [str(r) for r in v] for k, v in dict(told.get("left") or {}).items()},
        gone_back=str(told.get("gone_back") or ""),
        gone_back_at=float(told.get("gone_back_at") or 0),
    )
