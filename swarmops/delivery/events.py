"""What a host may say. A host can be broken or hostile: what does not fit is dropped here, before anything acts on it
(case 61). Strings stay as they came; whoever shows them makes them harmless."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from swarmops.target import wire

Event = dict[str, Any]

MAX_CHUNK = 4 << 20  # bytes behind one `bytes` event
STATES = (wire.OK, wire.CHANGED, wire.WOULD, wire.SKIPPED, wire.FAILED)
OURS = ("end", "unconfirmed")  # said by the controller itself
DEEP = 6  # levels of what a step reports


def parse(line: bytes) -> Event | None:
    """The event of a line, or None for what is none of ours: noise of a program that writes to our channel."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("e"), str) or event["e"] in OURS:
        return None
    return event


def fits(event: Event, envelope: Mapping[str, Any]) -> bool:
    """Whether the event has the shape that the controller relies on."""
    check = _SHAPES.get(event["e"])
    return check is None or check(event, envelope)


def _step(e: Event, envelope: Mapping[str, Any]) -> bool:
    number = e.get("i")
    if type(number) is not int or not 0 <= number < len(envelope.get("steps") or ()) or e.get("s") not in STATES:
        return False
    if not isinstance(e.get("ms"), (int, float)) or not _texts(e, "why", "after", "diff"):
        return False
    if not all(isinstance(e.get(k, {}), dict) for k in ("was", "want", "out")) or not _flat(e, DEEP):
        return False
    commands = e.get("cmds", [])
    return isinstance(commands, list) and all(map(_command, commands))


def _command(c: Any) -> bool:
    """[argv, exit code, what it said]"""
    if not isinstance(c, list) or len(c) != 3 or not isinstance(c[0], list):
        return False
    return all(isinstance(word, str) for word in c[0]) and type(c[1]) is int and isinstance(c[2], str)


def _texts(e: Event, *keys: str) -> bool:
    return all(isinstance(e.get(k, ""), str) for k in keys)


def _flat(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels >= 0 and all(_flat(v, levels - 1) for v in inner)


def _bytes(e: Event, envelope: Mapping[str, Any]) -> bool:
    return type(e.get("n")) is int and 0 <= e["n"] <= MAX_CHUNK


def _need(e: Event, envelope: Mapping[str, Any]) -> bool:
    return isinstance(e.get("contents"), list) and all(isinstance(sha, str) for sha in e["contents"])


def _confirm(e: Event, envelope: Mapping[str, Any]) -> bool:
    token = e.get("token")
    return (
        isinstance(token, str)
        and len(token) == 8
        and not set(token) - set("0123456789abcdef")
        and type(e.get("within")) in (int, float)
        and 0 < e["within"] <= 86400
    )


def _done(e: Event, envelope: Mapping[str, Any]) -> bool:
    return isinstance(e.get("ok"), bool) and _texts(e, "why", "trace")


def _hardware(e: Event) -> bool:
    return all(type(e.get(k, 0)) is int for k in ("cores", "memory_mb"))


def _hello(e: Event, envelope: Mapping[str, Any]) -> bool:
    texts = [e.get(k, "") for k in ("machine", "python", "arch", "libc")]
    return all(isinstance(t, str) and len(t) <= 64 for t in texts) and "machine" in e and _hardware(e)


def _facts(e: Event, envelope: Mapping[str, Any]) -> bool:
    return isinstance(e.get("facts"), dict) and _flat(e, 2)


def _release(e: Event, envelope: Mapping[str, Any]) -> bool:
    names = [e.get(k) or "" for k in ("now", "before")]
    well = all(isinstance(n, str) and len(n) <= 64 and n.isprintable() for n in names)
    return well and e.get("link") in (envelope.get("links") or ()) and type(e.get("age", 0.0)) in (int, float)


_SHAPES = {
    "step": _step,
    "bytes": _bytes,
    "need": _need,
    "confirm": _confirm,
    "done": _done,
    "hello": _hello,
    "facts": _facts,
    "release": _release,
    "asked": lambda e, envelope: bool(envelope.get("ask")),
    "note": lambda e, _: isinstance(e.get("text"), str),
    "stranger": lambda e, _: isinstance(e.get("why"), str),
}
