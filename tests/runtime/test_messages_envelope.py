"""Envelopes: every type and its fields, limits, addresses, and who may send as whom."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Forbidden, Invalid, TooLarge
from swarmops.runtime.messages.envelope import SCHEMAS, TYPES, Envelope, from_outside
from swarmops.runtime.wire import LIMIT
from tests.runtime.collecting import HELLO

GOOD: dict[str, Any] = {
    "coordination_request": {"action": "rebalance"},
    "task_assignment": {"task_id": "t1", "priority": 5},
    "task_completed": {"task_id": "t1", "result": [1]},
    "task_result": {"task_id": "t1", "status": "done"},
    "task_submission": {"type": "echo", "args": {"a": 1}},
    "resource_allocation_request": {"resource": "gpu", "amount": 2},
    "leadership_announcement": {"leader": "a", "term": 3},
    "conflict_detected": {"resource": "file", "parties": ["a", "b"]},
    "conflict_vote_request": {"conflict_id": "c1", "options": ["a", "b"]},
    "collaboration_request": {"objective": "review"},
    "announcement": HELLO,
    "request": [1, "any"],
    "response": None,
    "config_update": {"version": 1, "config": {}},
    "agent_heartbeat": {"load": 0.5},
    "agent_register": {"capabilities": ["npu"]},
    "agent_shutdown": {},
    "acme.reindex": "my own",
}


def test_every_type_round_trips(rt: Runtime) -> None:
    """S3-19, S2-01, S1-06."""
    assert set(GOOD) - {"acme.reindex"} == set(TYPES)
    rt.messages.take("agent.a")
    for type, payload in GOOD.items():
        rt.messages.send("agent.a", type, payload)
    got = {e.type: e.payload for e in rt.messages.take("agent.a")}
    assert got == {**GOOD, "response": {}}


@pytest.mark.parametrize("type", [t for t, schema in SCHEMAS.items() if schema])
def test_a_field_of_the_wrong_type_is_named(rt: Runtime, type: str) -> None:
    """Case 76."""
    for field in SCHEMAS[type]:
        key = field.rstrip("?")
        if key in ("args", "result") and type != "task_submission":
            continue  # any JSON
        with pytest.raises(Invalid) as e:
            rt.messages.send.op(
                "agent.a",
                type,
                {**GOOD[type], key: {"no": ()} if key not in ("config", "details", "metadata", "args") else 7},
            )
        assert e.value.path == f"payload.{key}", e.value
        if field == key:
            with pytest.raises(Invalid, match=f"payload.{key}: is missing"):
                rt.messages.send.op("agent.a", type, {k: v for k, v in GOOD[type].items() if k != key})


def test_the_limit_is_in_bytes_and_checked_before_sending(rt: Runtime) -> None:
    """S3-17, case 73: 1 MiB is taken, a byte more not, and a letter may have two bytes."""
    rt.messages.take("agent.a")
    room = LIMIT - len(json.dumps({"text": ""}, separators=(",", ":")))
    fits = "ä" * (room // 2) + "x" * (room % 2)
    rt.messages.send("agent.a", "acme.big", {"text": fits})
    assert rt.messages.take("agent.a")[0].payload["text"] == fits
    with pytest.raises(TooLarge, match=r"payload: has 1,048,577 bytes, the most is 1,048,576"):
        rt.messages.send.op("agent.a", "acme.big", {"text": fits + "x"})
    assert rt.messages.undelivered("agent.a") == 1


WRONG = {
    "no JSON": (b"{", "envelope"),
    "NaN": (b'{"type":NaN}', "envelope"),
    "a key twice": (b'{"type":"announcement","type":"request"}', "envelope"),
    "too deep": (b"[" * 10_000, "envelope"),
    "a lone surrogate": (b'{"type":"\\ud800"}', "envelope"),
    "a pickle": (b"\x80\x04\x95\x0b\x00", "envelope"),
    "gzip": (zlib.compress(b"x" * 100), "envelope"),
    "no object": (b"[]", "envelope"),
    "no type": (b'{"id":"m1"}', "type"),
    "an unknown type": (b'{"type":"reboot"}', "type"),
    "another version": (b'{"type":"request","version":2}', "version"),
    "no id": (b'{"type":"request","from":"agent.a","to":"agent.b"}', "id"),
    "an id that is none": (b'{"type":"request","id":"A B","from":"agent.a","to":"agent.b"}', "id"),
    "a sender that is none": (b'{"type":"request","id":"m","from":"agent.a:leader","to":"agent.b"}', "from"),
    "a target that is none": (b'{"type":"request","id":"m","from":"agent.a","to":"pool.*"}', "to"),
    "a payload of the wrong type": (b'{"type":"announcement","payload":[]}', "payload"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_envelope_from_outside_is_refused_with_the_path(what: str) -> None:
    """Cases 74, 75, 76, 78, 93."""
    data, path = WRONG[what]
    with pytest.raises(Invalid) as e:
        from_outside(data)
    assert e.value.path == path


def test_an_envelope_from_outside_is_read(rt: Runtime) -> None:
    text = '{"id":"m1","type":"announcement","from":"agent.a","to":"agent.b","payload":{"text":"x"}}'
    assert from_outside(text) == Envelope("m1", "announcement", "agent.a", "agent.b", {"text": "x"})


@pytest.mark.parametrize(
    "to", ["agent.*", "agent.a:leader", "agent.a\n", "agent.", "swarm.A", "queue.a", "a", "", None, 7]
)
def test_addresses_cannot_carry_other_keys(rt: Runtime, to: Any) -> None:
    """Case 93."""
    with pytest.raises(Invalid, match="to: "):
        rt.messages.send.op(to, "announcement", HELLO)


def test_a_bound_sender_can_be_nobody_else(rt: Runtime) -> None:
    """Case 75."""
    mine = rt.messages.bound("swarm.a")
    with pytest.raises(Forbidden, match=r"swarm\.a cannot send as swarm\.b"):
        mine.broadcast("announcement", HELLO, sender="swarm.b")
    mine.broadcast("announcement", HELLO)
    assert rt.messages.history()[0].sender == "swarm.a"
