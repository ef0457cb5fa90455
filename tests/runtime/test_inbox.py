"""An inbox and its handlers: what fails comes again, what is no message is passed over, and Redis may die."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Refused
from swarmops.runtime.messages import desk
from swarmops.runtime.messages.envelope import Envelope
from swarmops.runtime.messages.inbox import AsyncInbox, Inbox
from tests.runtime.collecting import HELLO, Collector
from tests.runtime.raw import raw
from tests.runtime.server import Server
from tests.waiting import until


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


def test_something_that_is_no_message_does_not_stop_the_others(rt: Runtime) -> None:
    """Case 88: a foreign entry is passed over, a key of another type is named."""
    seen = Collector()
    rt.messages.take("agent.a")
    with Inbox(rt, "agent.a", visible=0.05, tries=1) as inbox:
        inbox.on("announcement", seen)
        raw(rt, "SET", rt.messages.key_of("agent.b"), "text")
        inbox.add("agent.b", [])
        for stream in (rt.messages.key_of("agent.a"), rt.messages.key_of(channel="global")):
            raw(rt, "XADD", stream, "*", "h", b"\x80\x04pickle", "p", "{")
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


def test_stopping_does_not_wait_and_waiting_costs_nothing(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "SLICE", 100.0)
    inbox = Inbox(rt, "agent.a").start()
    before = raw(rt, "INFO", "stats").split(b"total_commands_processed:")[1].split()[0]
    time.sleep(0.3)
    after = raw(rt, "INFO", "stats").split(b"total_commands_processed:")[1].split()[0]
    assert int(after) - int(before) < 10, "it polls"
    began = time.monotonic()
    inbox.stop()
    assert time.monotonic() - began < 50


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
                async with asyncio.timeout(60):
                    while len(seen) < 2:
                        await asyncio.sleep(0.01)
            assert sorted(seen) == [("1", "agent.b"), ("2", "global")]
            assert await rt.messages.undelivered("agent.b") == 0

    asyncio.run(main())
