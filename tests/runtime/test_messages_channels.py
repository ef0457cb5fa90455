"""Messages to many: once to each member, what was missed, history, and a configuration for all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Refused
from swarmops.runtime.messages.envelope import CHANNELS, Envelope
from swarmops.runtime.messages.inbox import Inbox
from tests.runtime.collecting import HELLO, Collector
from tests.runtime.raw import raw
from tests.waiting import until


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
    assert raw(rt, "XLEN", rt.messages.key_of(channel="global")) == 1000
    assert 3_500_000 < raw(rt, "PTTL", rt.messages.key_of(channel="global")) <= 3_600_000
    rt.messages.configure(age=0.05)
    until(lambda: not rt.messages.history("global", 5000), "all are too old")


def test_a_member_that_lags_behind_the_history_is_told_how_much_it_missed(rt: Runtime) -> None:
    """F40: who does not read loses the oldest of a channel, and knows."""
    rt.messages.configure(history=10)
    seen, go = Collector(), threading.Event()

    def slow(payload: Any, envelope: Envelope) -> None:
        go.wait(60)
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
    stuck.on("announcement", lambda p, e: go.wait(60))
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
