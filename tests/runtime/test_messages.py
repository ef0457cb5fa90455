"""Messages to one: kept for those who are away, again when not acknowledged, once for one id, bounded."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Full, NotFound, Unavailable
from swarmops.runtime.messages.inbox import Inbox
from swarmops.runtime.messages.records import retry_after
from tests.runtime.collecting import HELLO, Collector
from tests.runtime.raw import raw
from tests.runtime.server import Server
from tests.waiting import until


def test_a_message_to_somebody_offline_is_kept_and_delivered_later(rt: Runtime) -> None:
    """S3-11."""
    rt.messages.take("swarm.b")  # it was there once
    sent = rt.messages.send("swarm.b", "announcement", HELLO, sender="swarm.a")
    assert (sent.new, sent.waiting) == (True, 1) and rt.messages.undelivered("swarm.b") == 1
    seen = Collector()
    inbox = Inbox(rt, "swarm.b")
    inbox.on("announcement", seen)
    with inbox:
        until(lambda: seen.got, "delivered")
    payload, envelope = seen.got[0]
    assert payload == HELLO and (envelope.id, envelope.sender, envelope.to) == (sent.id, "swarm.a", "swarm.b")
    assert envelope.version == 1 and abs(envelope.timestamp - time.time() * 1000) < 60_000
    assert rt.messages.undelivered("swarm.b") == 0


def test_an_agent_that_registered_can_be_written_to_and_an_unknown_one_not(rt: Runtime) -> None:
    with pytest.raises(NotFound, match=r"there is no agent\.x"):
        rt.messages.send("agent.x", "announcement", HELLO)
    raw(rt, "HSET", rt.keys.registry("agent", "x"), "status", "idle")
    rt.messages.send("agent.x", "announcement", HELLO)
    assert [e.payload for e in rt.messages.take("agent.x")] == [HELLO]


def test_what_is_not_acknowledged_comes_again_and_at_last_is_given_up(rt: Runtime) -> None:
    """S3-20."""
    room = rt.messages
    room.take("agent.a")
    room.send("agent.a", "task_assignment", {"task_id": "t1"})
    first = room.take("agent.a")[0]
    assert room.take("agent.a") == [], "nobody else gets it now"
    again = until(lambda: room.take("agent.a", visible=0.01, tries=2), "it comes again")[0]
    assert (first.retry_count, again.retry_count, again.id) == (0, 1, first.id)
    until(lambda: room.take("agent.a", visible=0.01, tries=2) or not room.undelivered("agent.a"), "it is given up")
    assert [e.id for e in room.history("dead")] == [first.id]
    assert [e.fields["inbox"] for e in rt.events.read() if e.what == "message.dead"] == ["agent.a"]


def test_sending_twice_with_one_id_is_sending_once(rt: Runtime) -> None:
    """S3-20, case 80."""
    rt.messages.take("agent.a")
    news = [rt.messages.send("agent.a", "announcement", HELLO, id="m1").new for _ in range(3)]
    news += [rt.messages.broadcast("announcement", HELLO, id="m2").new for _ in range(3)]
    assert news == [True, False, False] * 2
    assert rt.messages.undelivered("agent.a") == 1 and len(rt.messages.history()) == 1


def test_a_sender_that_floods_is_limited_alone(rt: Runtime) -> None:
    """F41: ten times the rate; the others' messages pass meanwhile."""
    rt.messages.configure(rate=5, burst=100)
    rt.messages.take("agent.a")
    beats, flood = 0, []
    for i in range(500):
        flood += rt.run_many([rt.messages.broadcast.op("announcement", HELLO, sender="agent.loud")])
        if i % 10 == 0:
            rt.messages.send("agent.a", "agent_heartbeat", {"load": 1}, sender="agent.calm")
            beats += 1
    refused = [r for r in flood if isinstance(r, Full)]
    assert 100 < len(refused) <= 400 and rt.messages.undelivered("agent.a") == beats == 50
    wait = retry_after(refused[-1])
    assert 0 < wait <= 1, str(refused[-1])
    until(
        lambda: (
            not isinstance(rt.run_many([rt.messages.broadcast.op("announcement", HELLO, sender="agent.loud")])[0], Full)
        ),
        "again",
    )


def test_an_inbox_that_nobody_reads_is_bounded_and_says_so(rt: Runtime) -> None:
    rt.messages.configure(inbox=20)
    rt.messages.take("agent.a")
    for _ in range(20):
        rt.messages.send("agent.a", "announcement", HELLO)
    with pytest.raises(Full, match=r"the inbox of agent\.a holds 20 messages that nobody has read"):
        rt.messages.send("agent.a", "announcement", HELLO)
    marks = [e.mark for e in rt.messages.take("agent.a", 5)]
    assert rt.messages.ack("agent.a", *marks) == 5 and rt.messages.ack("agent.a", *marks) == 0
    assert rt.messages.send("agent.a", "announcement", HELLO).waiting == 16


def test_a_message_that_nobody_wants_any_more_is_not_delivered(rt: Runtime) -> None:
    rt.messages.take("agent.a")
    rt.messages.send("agent.a", "announcement", HELLO, ttl=0.02)
    time.sleep(0.05)
    assert rt.messages.take("agent.a") == [] and rt.messages.undelivered("agent.a") == 0
    assert rt.stats.counters()["messages_expired"] == 1


def test_a_full_redis_can_be_drained(own_server: Callable[..., Server]) -> None:
    server = own_server("--maxmemory-policy", "noeviction", "--save", "")
    with Runtime(server.settings.but(patience=0)) as rt:
        rt.messages.take("agent.a")
        for _ in range(3):
            rt.messages.send("agent.a", "announcement", HELLO)
        raw(rt, "CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Unavailable, match="maxmemory"):
            rt.messages.send("agent.a", "announcement", HELLO)
        assert rt.messages.ack("agent.a", *(e.mark for e in rt.messages.take("agent.a"))) == 3
