"""Envelopes of messages: addresses, the types that are known and what their payloads hold (S3-18, S3-19, S2-01).

An address is `agent.<id>` or `swarm.<id>` (an inbox); a sender may also be a bare name. As a target that is a channel.
A type of one's own has a dot in it (`acme.reindex`); all others must be known, and their payloads are checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, number
from swarmops.runtime.wire import dumps, loads

VERSION = 1
HEADER = 4096  # bytes
KINDS = ("agent", "swarm")
CHANNELS = ("global", "tasks", "coordination", "events", "agents")
DEAD = "dead"  # the channel of messages that were given up
OWN_TYPE = re.compile(r"[a-z0-9_-]{1,40}(\.[a-z0-9_-]{1,40}){1,4}")

COORDINATION_REQUEST = "coordination_request"
TASK_ASSIGNMENT = "task_assignment"
TASK_COMPLETED = "task_completed"
TASK_RESULT = "task_result"
TASK_SUBMISSION = "task_submission"
RESOURCE_ALLOCATION_REQUEST = "resource_allocation_request"
LEADERSHIP_ANNOUNCEMENT = "leadership_announcement"
CONFLICT_DETECTED = "conflict_detected"
CONFLICT_VOTE_REQUEST = "conflict_vote_request"
COLLABORATION_REQUEST = "collaboration_request"
ANNOUNCEMENT = "announcement"
REQUEST = "request"
RESPONSE = "response"
FAILED = "response.failed"  # {"error": why}
CONFIG_UPDATE = "config_update"
AGENT_HEARTBEAT = "agent_heartbeat"
AGENT_REGISTER = "agent_register"
AGENT_SHUTDOWN = "agent_shutdown"

Check = Callable[[Any, str], object]


def _text(value: Any, path: str) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= 65536:
        raise Invalid(path, "is not a text of 1 to 65,536 characters")


def _object(value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise Invalid(path, "is not an object")


def _texts(value: Any, path: str) -> None:
    if not isinstance(value, list) or len(value) > 1000:
        raise Invalid(path, "is not a list of at most 1,000 texts")
    for i, one in enumerate(value):
        _text(one, f"{path}[{i}]")


def _any(value: Any, path: str) -> None:
    """Any JSON."""


def _between(low: float, high: float, whole: bool = False) -> Check:
    def check(value: Any, path: str) -> None:
        number(value, path, low, high)
        if whole and not isinstance(value, int):
            raise Invalid(path, f"{value!r} is not a whole number")

    return check


_WHOLE = _between(0, 1 << 53, whole=True)
_LEVEL = _between(0, 9, whole=True)
_AMOUNT = _between(0, 1e15)

# type -> field -> check; a field whose name ends in ? may be missing. Other fields are let through.
SCHEMAS: dict[str, dict[str, Check]] = {
    COORDINATION_REQUEST: {"action": _text, "details?": _object},
    TASK_ASSIGNMENT: {"task_id": name, "type?": _text, "args?": _any, "priority?": _LEVEL},
    TASK_COMPLETED: {"task_id": name, "result?": _any},
    TASK_RESULT: {"task_id": name, "status": _text, "result?": _any, "error?": _text},
    TASK_SUBMISSION: {"type": _text, "args?": _object, "priority?": _LEVEL},
    RESOURCE_ALLOCATION_REQUEST: {"resource": name, "amount": _AMOUNT, "priority?": _LEVEL},
    LEADERSHIP_ANNOUNCEMENT: {"leader": name, "term": _WHOLE},
    CONFLICT_DETECTED: {"resource": _text, "parties": _texts},
    CONFLICT_VOTE_REQUEST: {"conflict_id": name, "options": _texts, "deadline?": _AMOUNT},
    COLLABORATION_REQUEST: {"objective": _text, "details?": _object},
    ANNOUNCEMENT: {"text": _text},
    REQUEST: {},
    RESPONSE: {},
    CONFIG_UPDATE: {"version": _WHOLE, "config": _object},
    AGENT_HEARTBEAT: {"load?": _AMOUNT, "status?": _text},
    AGENT_REGISTER: {"capabilities?": _texts, "metadata?": _object},
    AGENT_SHUTDOWN: {"reason?": _text},
}
TYPES = tuple(SCHEMAS)
_ANY_JSON = (REQUEST, RESPONSE)  # what two parties say to each other is theirs


def check_type(value: object, path: str = "type") -> str:
    """`value` if it is a known type or one of somebody's own. Raises Invalid with the list."""
    if isinstance(value, str) and (value in SCHEMAS or OWN_TYPE.fullmatch(value)):
        return value
    shown = "is missing" if value is None else f"{str(value)[:80]!r} is unknown"
    raise Invalid(path, f"{shown} (there are {', '.join(TYPES)}; your own have a dot, as in acme.reindex)")


def check_payload(type: str, payload: Any) -> None:
    """Raises Invalid with the path of the field that is wrong (case 76)."""
    if type not in SCHEMAS or type in _ANY_JSON:
        return
    _object(payload, "payload")
    for field, check in SCHEMAS[type].items():
        key = field.rstrip("?")
        if key in payload:
            check(payload[key], f"payload.{key}")
        elif key == field:
            raise Invalid(f"payload.{key}", f"is missing; a message of type {type} needs it")


def inbox_address(value: object, path: str) -> str:
    """`agent.<id>` or `swarm.<id>`. Raises Invalid."""
    kind, dot, which = value.partition(".") if isinstance(value, str) else ("", "", "")
    if not dot or kind not in KINDS:
        raise Invalid(path, f"{str(value)[:80]!r} is no address (agent.<id> or swarm.<id>)")
    name(which, path)
    return f"{kind}.{which}"


def address(value: object, path: str) -> str:
    """An inbox address or a bare name. Raises Invalid."""
    return inbox_address(value, path) if isinstance(value, str) and "." in value else name(value, path)


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message.

    timestamp: ms, by the clock of Redis. retry_count: how often it was delivered before this. mark: its place in the
    stream, by which it is acknowledged. expires: ms; nobody wants it after that (0: never). asks: an answer is waited
    for. seq: its number in its channel (0 in an inbox).
    """

    id: str
    type: str
    sender: str
    to: str
    payload: Any
    timestamp: int = 0
    version: int = VERSION
    correlation: str = ""
    retry_count: int = 0
    mark: str = ""
    expires: int = 0
    asks: bool = False
    seq: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": self.type,
            "from": self.sender,
            "to": self.to,
            "timestamp": self.timestamp,
            "version": self.version,
            "payload": self.payload,
            "correlation": self.correlation,
            "retry_count": self.retry_count,
            "mark": self.mark,
        }

    @property
    def header(self) -> bytes:
        """What is stored beside the payload."""
        head: dict[str, Any] = {"id": self.id, "type": self.type, "from": self.sender, "to": self.to, "v": self.version}
        if self.correlation:
            head["correlation"] = self.correlation
        if self.asks:
            head["asks"] = True
        return dumps(head, "header", HEADER)


def from_outside(data: bytes | str) -> Envelope:
    """An envelope that somebody wrote: JSON with id, type, from, to, version, payload. Raises Invalid with the path.

    (cases 73 to 76, 78: too large, no JSON, unknown type or version, no id, wrong types, packed bytes)
    """
    said = loads(data, "envelope", limit=(1 << 20) + HEADER)
    _object(said, "envelope")
    if (version := said.get("version", VERSION)) != VERSION or isinstance(version, bool):
        raise Invalid("version", f"{str(version)[:20]!r} is not {VERSION}, the only version there is")
    type = check_type(said.get("type"))
    payload = said.get("payload", {})
    check_payload(type, payload)
    correlation = said.get("correlation") or ""
    return Envelope(
        id=name(said.get("id"), "id"),
        type=type,
        sender=address(said.get("from"), "from"),
        to=address(said.get("to"), "to"),
        payload=payload,
        correlation=correlation and name(correlation, "correlation"),
    )


def from_entry(mark: bytes, fields: list[bytes], tries: int = 1) -> Envelope:
    """An entry of a stream. Raises ValueError for what is no message of ours: anybody may have written it."""
    try:
        held = dict(zip(fields[::2], fields[1::2]))
        head, payload = json.loads(held[b"h"]), json.loads(held[b"p"])
        at = mark.decode()
        return Envelope(
            id=str(head["id"]),
            type=str(head["type"]),
            sender=str(head["from"]),
            to=str(head["to"]),
            payload=payload,
            timestamp=int(at.partition("-")[0]),
            version=int(head["v"]),
            correlation=str(head.get("correlation", "")),
            retry_count=tries - 1,
            mark=at,
            expires=int(held.get(b"x", 0)),
            asks=head.get("asks") is True,
            seq=int(held.get(b"n", 0)),
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as e:
        raise ValueError(f"entry {mark!r} is no message: {type(e).__name__} {str(e)[:80]}") from None
