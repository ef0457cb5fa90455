"""S0-25: syntheses are asked for, claimed by one, answered once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Full, Invalid, Late, LeaseLost, NotFound, Refused, Unavailable
from swarmops.runtime.op import Op
from tests.runtime.server import Server
from tests.waiting import until


def test_a_synthesis_is_claimed_by_one_answered_and_linked_to_its_sources(rt: Runtime) -> None:
    rt.shards.register("a")
    sources = [rt.findings.add("a", "t", i) for i in range(3)]
    room = rt.findings.syntheses
    asked = room.request("a", "Pass 1", sources, instructions="shorter", by="me")
    claims = [room.claim("a", f"c{i}", 30) for i in range(3)]
    got = claims[0].request
    assert got and got.id == asked and got.sources == sources and [c.request for c in claims[1:]] == [None, None]
    assert claims[1].due is not None and 0 < claims[1].due <= 30
    with pytest.raises(LeaseLost, match="was given to c0"):
        room.answer(asked, "c1", 1, "x")
    for _ in range(2):
        room.answer(asked, "c0", 1, {"text": "short"})
    with pytest.raises(LeaseLost, match="is answered"):
        room.answer(asked, "c0", 1, "another")
    found = room.wait(asked, 1)
    assert (found.status, found.answer, found.sources, found.holder) == ("answered", {"text": "short"}, sources, "c0")
    assert [s.id for s in room.list("a", "done")] == [asked] and room.list("a", "held") == []
    with pytest.raises(NotFound, match=r"source a\.none"):
        room.request("a", "p", ["a.none"])
    for wrong in ("nope", "a.", ".x", "a.b.c", "ctx:12", "A b.c", 7):
        with pytest.raises(Invalid, match=r"sources\[1\]: .* neither the id of a finding .* nor a reference"):
            room.request("a", "p", [sources[0], wrong])  # type: ignore[list-item]
    sources += [rt.shards.load_context("a", b"much").reference["id"], "elsewhere.01h"]
    made = room.put("a", "Pass 2", "by hand", sources)
    assert room.get(made).sources == sources
    assert room.get(made).answer == "by hand" and room.wait(made, 0).status == "answered"


def test_a_request_whose_consumer_died_is_open_again_and_the_late_answer_is_refused(rt: Runtime) -> None:
    rt.shards.register("a")
    room = rt.findings.syntheses
    asked = room.request("a", "p")
    first = room.claim("a", "dead", 0.2).request
    again = room.next("a", "alive", timeout=60, lease=30)
    assert first and again and (again.id, again.attempt) == (asked, 2)
    with pytest.raises(LeaseLost, match="attempt 2"):
        room.answer(asked, "dead", 1, "late")
    room.answer(asked, "alive", 2, "in time")
    assert room.get(asked).answer == "in time"


def test_a_consumer_that_was_late_does_not_answer_for_its_second_attempt(rt: Runtime) -> None:
    rt.shards.register("a")
    room = rt.findings.syntheses
    asked = room.request("a", "p")
    assert room.claim("a", "c", 0.05).request
    again = room.next("a", "c", timeout=60, lease=30)
    assert again and again.attempt == 2
    with pytest.raises(LeaseLost, match="attempt 2"):
        room.answer(asked, "c", 1, "of the first attempt")
    with pytest.raises(LeaseLost):
        room.renew(asked, "c", 1)
    room.answer(asked, "c", 2, "fine")


def test_a_held_request_can_be_renewed(rt: Runtime) -> None:
    rt.shards.register("a")
    room = rt.findings.syntheses
    asked = room.request("a", "p")
    assert room.claim("a", "c", 20).request
    assert room.renew(asked, "c", 1, 60)
    due = room.claim("a", "other").due
    assert due is not None and due > 30


def test_a_request_that_nobody_survives_fails_and_its_waiter_is_told(rt: Runtime) -> None:
    rt.shards.register("a")
    room = rt.findings.syntheses
    asked = room.request("a", "p")
    for n in range(5):
        taken = room.next("a", "weak", timeout=60, lease=0.02)
        assert taken and taken.attempt == n + 1
    until(lambda: room.claim("a", "weak", 0.02) and room.get(asked).status == "failed")
    with pytest.raises(Refused, match="5 consumers took it"):
        room.wait(asked, 5)


def test_all_who_wait_for_an_answer_are_woken_without_polling(rt: Runtime, server: Server) -> None:
    rt.shards.register("a")
    asked = rt.findings.syntheses.request("a", "p")
    got: list[Any] = []

    def wait() -> None:
        with Runtime(server.settings) as mine:
            got.append(mine.findings.syntheses.wait(asked, 20).answer)

    waiters = [threading.Thread(target=wait) for _ in range(3)]
    for one in waiters:
        one.start()
    until(lambda: b"blocked_clients:3" in rt.run(Op("", ("x",), ("INFO", "clients"))))
    claim = rt.findings.syntheses.claim("a", "c").request
    assert claim
    rt.findings.syntheses.answer(asked, "c", claim.attempt, 7)
    for one in waiters:
        one.join(60)
    assert got == [7, 7, 7]
    with pytest.raises(Late, match=r"still open after 0\.05 s"):
        rt.findings.syntheses.wait(rt.findings.syntheses.request("a", "p"), 0.05)


def test_forty_requests_and_four_consumers_each_request_once(server: Server) -> None:
    async def main() -> list[str]:
        async with AsyncRuntime(server.settings) as art:
            await art.shards.register("a")
            room = art.findings.syntheses
            taken: list[str] = []

            async def consume(name: str) -> None:
                while len(taken) < 40:
                    one = await room.next("a", name, timeout=0.2, lease=30)
                    if one:
                        taken.append(one.id)
                        await room.answer(one.id, name, one.attempt, name)

            work = asyncio.gather(*[consume(f"c{i}") for i in range(4)])
            asked = [await room.request("a", "p") for _ in range(40)]
            await work
            assert [(await room.wait(a, 5)).status for a in asked] == ["answered"] * 40
            return taken

    taken = asyncio.run(main())
    assert len(taken) == len(set(taken)) == 40


def test_requests_are_bounded_and_removing_a_shard_leaves_nothing(rt: Runtime) -> None:
    rt.shards.register("a")
    room = rt.findings.syntheses
    results = rt.run_many([room.request.op("a", "p", id=f"r{i}") for i in range(1001)])
    assert isinstance(results[1000], Full) and results[999] == "a.r999"
    room.put("a", "p", 1)
    rt.findings.add("a", "t", 1)
    assert rt.shards.remove("a") and not rt.shards.remove("a")
    left = [k for k in rt.run(Op("", ("x",), ("KEYS", "*"))) if b"{shard:a}" in k and b"answer" not in k]
    assert left == [] and rt.shards.list(everyone=True) == []


def test_a_full_redis_takes_no_finding_but_lets_requests_be_claimed_and_answered(rt: Runtime, server: Server) -> None:
    rt.shards.register("a")
    asked = rt.findings.syntheses.request("a", "p")
    with Runtime(server.settings.but(patience=0)) as hasty:
        rt.run(Op("", ("x",), ("CONFIG", "SET", "maxmemory", "1mb")))
        try:
            with pytest.raises(Unavailable, match="maxmemory"):
                hasty.findings.add("a", "t", 1)
            claim = hasty.findings.syntheses.claim("a", "c").request
            assert claim and hasty.findings.syntheses.renew(asked, "c", 1)
            hasty.findings.syntheses.answer(asked, "c", 1, "done")
            assert rt.shards.get("a").findings == 0
        finally:
            rt.run(Op("", ("x",), ("CONFIG", "SET", "maxmemory", "0")))
    assert rt.findings.syntheses.get(asked).answer == "done"
