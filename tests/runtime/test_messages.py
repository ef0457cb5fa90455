"""Messages: kept for those who are away, once to each member, again when not acknowledged, bounded, checked."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Forbidden, Full, Invalid, NotFound, Refused, TooLarge, Unavailable
from swarmops.runtime.messages.envelope import CHANNELS, SCHEMAS, TYPES, Envelope, from_outside
from swarmops.runtime.messages.inbox import AsyncInbox, Inbox
from swarmops.runtime.messages.records import retry_after
from swarmops.runtime.op import Op
from swarmops.runtime.wire import LIMIT
from tests.runtime.server import Server

HELLO = {"text": "hello"}
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


def until(look: Callable[[], Any], what: str, within: float = 10.0) -> Any:
    end = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < end, what
        time.sleep(0.005)
    return found


def command(rt: Runtime, *args: Any) -> Any:
    return rt.run(Op("", (rt.keys.registry(),), args))


class Collector:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.got: list[tuple[Any, Envelope]] = []

    def __call__(self, payload: Any, envelope: Envelope) -> None:
        self.got.append((payload, envelope))


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
    command(rt, "HSET", rt.keys.registry("agent", "x"), "status", "idle")
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


def test_a_broadcast_reaches_each_member_once_and_not_its_sender(rt: Runtime) -> None:
    """S3-12: ten members on one connection and two in other receivers, in the order of sending."""
    inboxes = [Inbox(rt, "swarm.s0"), Inbox(rt, "swarm.s10"), Inbox(rt, "swarm.s11")]
    for i in range(1, 10):
        inboxes[0].add(f"swarm.s{i}")
    got: dict[str, list[int]] = {f"swarm.s{i}": [] for i in range(12)}
    for i in range(12):
        where = inboxes[0] if i < 10 else inboxes[i - 9]
        where.on("announcement", lambda p, e, me=f"swarm.s{i}": got[me].append(int(p["text"])), f"swarm.s{i}")
    for inbox in inboxes:
        inbox.start()
    assert rt.messages.broadcast("announcement", {"text": "0"}, sender="swarm.s3").members == 12
    for n in range(1, 50):
        rt.messages.broadcast("announcement", {"text": str(n)}, sender="swarm.s11")
    until(lambda: all(len(v) == 50 for k, v in got.items() if k not in ("swarm.s3", "swarm.s11")), f"{got}")
    for inbox in inboxes:
        inbox.stop()
    assert got["swarm.s3"] == list(range(1, 50)) and got["swarm.s11"] == [0]
    assert all(v == list(range(50)) for k, v in got.items() if k not in ("swarm.s3", "swarm.s11"))


def test_a_member_that_was_away_gets_the_broadcasts_it_missed(rt: Runtime) -> None:
    seen = Collector()
    with Inbox(rt, "agent.a", ["tasks"]) as inbox:
        inbox.on("announcement", seen)
        rt.messages.broadcast("announcement", {"text": "1"}, channel="tasks")
        until(lambda: seen.got, "the first")
    rt.messages.broadcast("announcement", {"text": "2"}, channel="tasks")
    inbox = Inbox(rt, "agent.a", ["tasks"])
    inbox.on("announcement", seen)
    with inbox:
        until(lambda: len(seen.got) >= 2, "the second")
    assert [p["text"] for p, _ in seen.got] == ["1", "2"]


@pytest.mark.parametrize("channel", [*CHANNELS, "my-own"])
def test_each_channel_has_members(rt: Runtime, channel: str) -> None:
    """S3-13, S3-14."""
    seen = Collector()
    with Inbox(rt, "agent.a", [channel]) as inbox:
        inbox.on("*", seen)
        rt.messages.broadcast("announcement", HELLO, channel=channel, sender="agent.b")
        until(lambda: seen.got, channel)
    assert rt.messages.members(channel) == ["agent.a"]
    rt.messages.leave(channel, "agent.a")
    assert rt.messages.members(channel) == []


def test_history_is_newest_first_and_bounded_by_count_and_age(rt: Runtime) -> None:
    """S3-15."""
    rt.messages.configure(rate=100_000, burst=100_000)
    rt.run_many([rt.messages.broadcast.op("announcement", {"text": str(i)}) for i in range(1010)])
    newest = rt.messages.history("global", 3)
    assert [e.payload["text"] for e in newest] == ["1009", "1008", "1007"]
    assert len(rt.messages.history("global", 5000)) == 1000
    assert command(rt, "XLEN", rt.messages.key_of(channel="global")) == 1000
    assert 3_500_000 < command(rt, "PTTL", rt.messages.key_of(channel="global")) <= 3_600_000
    rt.messages.configure(age=0.05)
    until(lambda: not rt.messages.history("global", 5000), "all are too old")


def test_handlers_do_not_disturb_each_other_and_can_be_taken_away(rt: Runtime) -> None:
    """S3-18."""
    first, second, troubles = Collector(), Collector(), []

    def wrong(payload: Any, envelope: Envelope) -> None:
        raise ValueError("mine")

    with Inbox(rt, "agent.a", visible=0.05, tries=2, on_error=lambda d, e: troubles.append(str(e))) as inbox:
        remove = inbox.on("announcement", first)
        inbox.on("announcement", wrong)
        inbox.on("announcement", second)
        rt.messages.broadcast("announcement", HELLO)
        until(lambda: len(troubles) == 2, "tried twice")
        remove()
        rt.messages.broadcast("announcement", {"text": "again"})
        until(lambda: len(troubles) == 4, "and twice")
    assert [p["text"] for p, _ in first.got] == ["hello"] * 2
    assert [(p["text"], e.retry_count) for p, e in second.got[:2]] == [("hello", 0), ("hello", 1)]
    assert [p["text"] for p, _ in second.got[2:]] == ["again"] * 2 and set(troubles) == {"mine"}


def test_a_handler_that_failed_gets_a_direct_message_again(rt: Runtime) -> None:
    tries: list[int] = []

    def at_last(payload: Any, envelope: Envelope) -> None:
        tries.append(envelope.retry_count)
        if len(tries) < 3:
            raise ValueError

    rt.messages.take("agent.a")
    with Inbox(rt, "agent.a", visible=0.05) as inbox:
        inbox.on("task_assignment", at_last)
        rt.messages.send("agent.a", "task_assignment", {"task_id": "t"})
        until(lambda: len(tries) == 3, "three tries")
    assert tries == [0, 1, 2] and rt.messages.undelivered("agent.a") == 0


def test_a_message_whose_handler_was_killed_is_delivered_to_the_next_process(rt: Runtime) -> None:
    rt.messages.take("agent.a")
    rt.messages.send("agent.a", "announcement", HELLO)
    assert rt.messages.take("agent.a")  # and dies
    seen = Collector()
    inbox = Inbox(rt, "agent.a", visible=0.1)
    inbox.on("announcement", seen)
    with inbox:
        until(lambda: seen.got, "again")
    assert seen.got[0][1].retry_count == 1


def test_sending_twice_with_one_id_is_sending_once(rt: Runtime) -> None:
    """S3-20, case 80."""
    rt.messages.take("agent.a")
    news = [rt.messages.send("agent.a", "announcement", HELLO, id="m1").new for _ in range(3)]
    news += [rt.messages.broadcast("announcement", HELLO, id="m2").new for _ in range(3)]
    assert news == [True, False, False] * 2
    assert rt.messages.undelivered("agent.a") == 1 and len(rt.messages.history()) == 1


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
    payload = {"body": "", "text": "x"}
    rt.messages.send("agent.a", "acme.big", {"text": fits})
    assert rt.messages.take("agent.a")[0].payload["text"] == fits
    with pytest.raises(TooLarge, match=r"payload: has 1,048,577 bytes, the most is 1,048,576"):
        rt.messages.send.op("agent.a", "acme.big", {"text": fits + "x"})
    assert payload and rt.messages.undelivered("agent.a") == 1


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


def test_a_sender_that_floods_is_limited_alone(rt: Runtime) -> None:
    """F41: ten times the rate; the others' messages pass meanwhile."""
    rt.messages.configure(rate=50, burst=100)
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
    assert 0 < wait <= 0.1, str(refused[-1])
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


def test_a_member_that_lags_behind_the_history_is_told_how_much_it_missed(rt: Runtime) -> None:
    """F40: who does not read loses the oldest of a channel, and knows."""
    rt.messages.configure(history=10)
    seen, go = Collector(), threading.Event()

    def slow(payload: Any, envelope: Envelope) -> None:
        go.wait(10)
        seen(payload, envelope)

    with Inbox(rt, "agent.slow") as inbox:
        inbox.on("announcement", slow)
        rt.messages.broadcast("announcement", {"text": "0"})
        until(lambda: inbox.desk.channels["global"]["agent.slow"].read.seq == 1, "it has begun")
        for i in range(1, 31):
            rt.messages.broadcast("announcement", {"text": str(i)})
        go.set()
        until(lambda: len(seen.got) == 11, "what is left")
        assert inbox.missed == 20
    assert [p["text"] for p, _ in seen.got] == ["0", *(str(i) for i in range(21, 31))]


def test_one_that_hangs_holds_up_no_other_and_one_that_left_gets_no_more(rt: Runtime) -> None:
    """F40."""
    go, seen = threading.Event(), Collector()
    stuck, well = Inbox(rt, "agent.stuck"), Inbox(rt, "agent.well")
    stuck.on("announcement", lambda p, e: go.wait(20))
    well.add("agent.leaves")
    well.on("announcement", seen)
    with stuck, well:
        for i in range(100):
            rt.messages.broadcast("announcement", {"text": str(i)})
        until(lambda: len(seen.got) == 200, "both others have all")
        well.remove("agent.leaves")
        assert rt.messages.members("global") == ["agent.stuck", "agent.well"]
        rt.messages.broadcast("announcement", {"text": "last"})
        until(lambda: len(seen.got) >= 201, "the one that stays")
        go.set()
    assert [p["text"] for p, _ in seen.got[200:]] == ["last"]


def test_something_that_is_no_message_does_not_stop_the_others(rt: Runtime) -> None:
    """Case 88: a foreign entry is passed over, a key of another type is named."""
    seen = Collector()
    rt.messages.take("agent.a")
    with Inbox(rt, "agent.a", visible=0.05, tries=1) as inbox:
        inbox.on("announcement", seen)
        command(rt, "SET", rt.messages.key_of("agent.b"), "text")
        inbox.add("agent.b", [])
        for stream in (rt.messages.key_of("agent.a"), rt.messages.key_of(channel="global")):
            command(rt, "XADD", stream, "*", "h", b"\x80\x04pickle", "p", "{")
        rt.messages.broadcast("announcement", {"text": "1"})
        rt.messages.send("agent.a", "announcement", {"text": "2"})
        until(lambda: len(seen.got) == 2, "both")
        assert rt.messages.history()[0].payload == {"text": "1"}
    with pytest.raises(Refused, match="another type of value"):
        rt.messages.take("agent.b")


def test_receiving_goes_on_after_redis_was_killed(own_server: Callable[..., Server]) -> None:
    server = own_server("--appendonly", "yes", "--appendfsync", "always", "--save", "")
    with Runtime(server.settings.but(patience=5)) as rt:
        seen = Collector()
        rt.messages.take("agent.a")
        with Inbox(rt, "agent.a") as inbox:
            inbox.on("announcement", seen)
            rt.messages.send("agent.a", "announcement", {"text": "1"})
            until(lambda: len(seen.got) == 1, "the first")
            server.kill()
            server.start()
            rt.messages.send("agent.a", "announcement", {"text": "2"})
            rt.messages.broadcast("announcement", {"text": "3"})
            until(lambda: len(seen.got) >= 3, "the others")
        assert sorted({p["text"] for p, _ in seen.got}) == ["1", "2", "3"]


def test_stopping_does_not_wait_and_waiting_costs_nothing(rt: Runtime) -> None:
    inbox = Inbox(rt, "agent.a").start()
    before = command(rt, "INFO", "stats").split(b"total_commands_processed:")[1].split()[0]
    time.sleep(0.3)
    after = command(rt, "INFO", "stats").split(b"total_commands_processed:")[1].split()[0]
    assert int(after) - int(before) < 10, "it polls"
    began = time.monotonic()
    inbox.stop()
    assert time.monotonic() - began < 2


def test_a_full_redis_can_be_drained(own_server: Callable[..., Server]) -> None:
    server = own_server("--maxmemory-policy", "noeviction", "--save", "")
    with Runtime(server.settings.but(patience=0)) as rt:
        rt.messages.take("agent.a")
        for _ in range(3):
            rt.messages.send("agent.a", "announcement", HELLO)
        command(rt, "CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Unavailable, match="maxmemory"):
            rt.messages.send("agent.a", "announcement", HELLO)
        assert rt.messages.ack("agent.a", *(e.mark for e in rt.messages.take("agent.a"))) == 3


def test_a_configuration_reaches_all_agents_with_a_version_and_is_acknowledged(rt: Runtime) -> None:
    """S1-06."""
    applied: dict[str, int] = {}

    def apply(me: str) -> Callable[[Any, Envelope], None]:
        def run(payload: Any, envelope: Envelope) -> None:
            applied[me] = payload["version"]
            rt.messages.config(me, payload["version"])

        return run

    with Inbox(rt, "agent.a", ["agents"]) as inbox:
        inbox.add("agent.b", ["agents"])
        inbox.on("config_update", apply("agent.a"), "agent.a")
        inbox.on("config_update", apply("agent.b"), "agent.b")
        until(lambda: len(rt.messages.members("agents")) == 2, "both are there")
        assert [rt.messages.push_config({"level": n}, id=f"c{n}") for n in (1, 2, 2)] == [1, 2, 2]
        until(lambda: not rt.messages.config().missing, "both have it")
    held = rt.messages.config()
    assert (held.version, held.config, held.confirmed) == (2, {"level": 2}, {"agent.a": 2, "agent.b": 2})
    rt.messages.join("agents", "agent.late")
    assert rt.messages.config().missing == ["agent.late"]
    with pytest.raises(Refused, match="there is no version 9"):
        rt.messages.config("agent.a", 9)


def test_the_same_for_asyncio(server: Server) -> None:
    async def main() -> None:
        async with AsyncRuntime(server.settings) as rt:
            seen: list[tuple[str, str]] = []

            async def note(payload: Any, envelope: Envelope) -> None:
                await asyncio.sleep(0)
                seen.append((payload["text"], envelope.to))

            async with AsyncInbox(rt, "agent.a") as inbox:
                inbox.on("announcement", note)
                await inbox.add("agent.b")
                while len(await rt.messages.members("global")) < 2:
                    await asyncio.sleep(0.01)
                await rt.messages.send("agent.b", "announcement", {"text": "1"})
                await rt.messages.broadcast("announcement", {"text": "2"}, sender="agent.a")
                async with asyncio.timeout(10):
                    while len(seen) < 2:
                        await asyncio.sleep(0.01)
            assert sorted(seen) == [("1", "agent.b"), ("2", "global")]
            assert await rt.messages.undelivered("agent.b") == 0

    asyncio.run(main())
