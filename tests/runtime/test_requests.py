"""Requests: the answer finds its caller, and no answer is an error with a reason at the deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Forbidden, Late, NotFound
from swarmops.runtime.messages.inbox import AsyncInbox, Inbox
from swarmops.runtime.messages.requests import DEADLINE, RequestFailed, arequest, request
from tests.runtime.server import Server
from tests.waiting import until


def echo(payload: Any, envelope: Any) -> Any:
    return {"echo": payload["n"]}


def test_each_caller_gets_its_own_answer(rt: Runtime) -> None:
    """S3-16: 20 callers at once."""
    answers: dict[int, Any] = {}

    def ask(n: int) -> None:
        answers[n] = request(rt, "agent.a", {"n": n}, timeout=60)

    inbox = Inbox(rt, "agent.a")
    inbox.on("request", echo)
    with inbox:
        callers = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert answers == {n: {"echo": n} for n in range(20)} and rt.messages.undelivered("agent.a") == 0


def test_no_answer_is_an_error_at_the_deadline_and_a_late_one_is_dropped(rt: Runtime) -> None:
    """Case 92."""
    assert DEADLINE == 30
    rt.messages.take("swarm.slow")
    began = time.monotonic()
    asked: list[Any] = []
    thread = threading.Thread(target=lambda: asked.extend(until(lambda: rt.messages.take("swarm.slow"), "the request")))
    thread.start()
    with pytest.raises(Late, match=r"no answer from swarm\.slow within 3 s"):
        request(rt, "swarm.slow", {}, timeout=3)
    assert 2.9 < time.monotonic() - began < DEADLINE
    thread.join()
    with pytest.raises(Late, match="nobody waits for an answer"):
        rt.messages.reply(asked[0], {"late": True})
    with pytest.raises(NotFound, match=r"there is no swarm\.unknown"):
        request(rt, "swarm.unknown", {})


def test_a_request_whose_deadline_has_passed_is_not_handed_out(rt: Runtime) -> None:
    rt.messages.take("agent.a")
    with pytest.raises(Late):
        request(rt, "agent.a", {}, timeout=0.05)
    time.sleep(0.05)
    assert rt.messages.take("agent.a") == []


def test_a_failing_handler_tells_the_caller_why_at_once(rt: Runtime) -> None:
    def wrong(payload: Any, envelope: Any) -> None:
        raise ValueError("no such model")

    inbox = Inbox(rt, "agent.a", on_error=lambda d, e: None)
    inbox.on("request", wrong)
    with inbox:
        with pytest.raises(RequestFailed, match=r"agent\.a: ValueError: no such model"):
            request(rt, "agent.a", {}, timeout=60)
    silent = Inbox(rt, "agent.b", on_error=lambda d, e: None)
    with silent:
        with pytest.raises(RequestFailed, match="nobody handles request"):
            request(rt, "agent.b", {}, timeout=60)
        silent.on("request", lambda p, e: {"not": {"json"}})
        with pytest.raises(RequestFailed, match="cannot be sent as JSON"):
            request(rt, "agent.b", {}, timeout=60)


def test_only_the_one_who_was_asked_answers_and_only_once(rt: Runtime) -> None:
    rt.messages.take("agent.a")
    rt.messages.send("agent.a", "request", {}, id="r1", ttl=30, asks=True)
    with pytest.raises(Forbidden, match=r"r1 was asked of agent\.a, not of agent\.b"):
        rt.messages.reply("r1", 1, sender="agent.b")
    assert [rt.messages.reply("r1", 1, sender="agent.a", id="same") for _ in range(2)] == [True, False]
    with pytest.raises(Late, match="was answered already"):
        rt.messages.reply("r1", 2, sender="agent.a")


def test_the_same_for_asyncio(server: Server) -> None:
    async def main() -> None:
        async with AsyncRuntime(server.settings) as rt:

            async def answer(payload: Any, envelope: Any) -> Any:
                return {"echo": payload["n"]}

            inbox = AsyncInbox(rt, "agent.a")
            inbox.on("request", answer)
            async with inbox:
                found = await asyncio.gather(*[arequest(rt, "agent.a", {"n": n}, timeout=60) for n in range(20)])
            assert found == [{"echo": n} for n in range(20)]
            with pytest.raises(Late):
                await arequest(rt, "agent.a", {"n": 1}, timeout=0.1)

    asyncio.run(main())
