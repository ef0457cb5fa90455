"""S0-18, S0-23 to S0-28: shards come and go, findings stay, syntheses are answered once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Full, Invalid, Late, LeaseLost, NotFound, Refused, TooLarge, Unavailable
from swarmops.runtime.op import Op
from tests.runtime.groups import Cluster
from tests.runtime.server import Server, modern


def until(look: Callable[[], Any], within: float = 10.0) -> Any:
    end = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found


def test_a_shard_is_in_the_status_at_once_and_leaves_it_after_its_ttl(rt: Runtime) -> None:
    rt.shards.register("lives", "logistics", ttl=60)
    rt.shards.register("dies", ttl=0.3)
    kept = rt.findings.add("dies", "look", {"seen": 1}, "worker-1")
    rt.tasks.submit("look", queue="lives")
    assert {s["shard_id"] for s in rt.shards.status()["shards"]} == {"lives", "dies"}
    status = until(lambda: (s := rt.shards.status())["total_shards"] == 1 and s)
    row = {"shard_id": "lives", "specialization": "logistics", "findings_count": 0, "pending_tasks": 1}
    assert status == {"total_shards": 1, "shards": [row]}
    assert rt.findings.get(kept).data == {"seen": 1} and [f.id for f in rt.findings.list("dies").findings] == [kept]
    assert [(s.id, s.alive) for s in rt.shards.list(everyone=True)] == [("dies", False), ("lives", True)]
    rt.shards.beat("dies")
    assert rt.shards.status()["shards"][0]["findings_count"] == 1


def test_a_beat_brings_back_whatever_half_was_lost(rt: Runtime) -> None:
    """On a cluster the two halves lie in two slots."""
    since = rt.shards.register("s", "x", ttl=60)
    rt.run(Op("", ("x",), ("DEL", rt.keys.registry("shards"), rt.keys.registry("shard_until"))))
    assert rt.shards.status()["total_shards"] == 0
    rt.shards.beat("s")
    assert rt.shards.status()["shards"][0]["specialization"] == "x"
    assert rt.shards.register("s", "y") >= since
    rt.run(Op("", ("x",), ("DEL", rt.keys.tagged("shard", "s", "meta"))))
    assert rt.shards.status()["shards"][0]["findings_count"] == 0
    with pytest.raises(NotFound, match="register it first"):
        rt.shards.beat("s")
    rt.shards.register("s", "y")
    rt.shards.beat("s")


def test_contexts_have_versions_and_a_reference_that_others_resolve(rt: Runtime) -> None:
    rt.shards.register("s", "x")
    assert rt.shards.context_for_worker("s").reference is None
    text = "ü" * 6000
    one = rt.shards.load_context("s", text, "a|b.md")
    again = rt.shards.load_context("s", text, "a|b.md")
    assert one == again and one.version == 1 and one.source == "a|b.md"
    two = rt.shards.load_context("s", "new", "c.md")
    given = rt.shards.context_for_worker("s")
    assert (two.version, given.preview, given.reference) == (2, "new", two.reference)
    assert rt.contexts.resolve(given.reference or "") == b"new"
    assert rt.shards.context("s", 1) == text.encode() and rt.shards.context("s") == b"new"
    with pytest.raises(NotFound, match="no version 7"):
        rt.shards.context("s", 7)
    for n in range(25):
        rt.shards.load_context("s", f"{n}", "many")
    state = rt.shards.get("s")
    assert [v.version for v in state.versions] == list(range(27, 7, -1))
    rt.shards.load_context("s", text, "long")
    assert rt.shards.context_for_worker("s").preview == "ü" * 5000


def test_a_beat_keeps_the_newest_context(rt: Runtime) -> None:
    rt.shards.register("s")
    made = rt.shards.load_context("s", "text", ttl=50)
    key = rt.keys.tagged("ctx", made.sha, "chunk", "0")
    rt.run(Op("", (key,), ("PEXPIRE", key, "1000")))
    rt.shards.beat("s")
    assert rt.run(Op("", (key,), ("PTTL", key))) > 40_000


def test_findings_come_in_order_by_shard_by_type_and_in_pages(rt: Runtime) -> None:
    rt.shards.register("a")
    rt.shards.register("b")
    rt.run_many([rt.findings.add.op("a", "if.x" if i % 3 else "if.x2", i, "w") for i in range(100)])
    rt.findings.add("b", "if.x", "other shard's")
    seen, after = [], 0
    while after is not None:
        page = rt.findings.list("a", "if.x", limit=7, after=after)
        seen += [f.data for f in page.findings]
        after = page.next
    assert seen == [i for i in range(100) if i % 3]
    assert [f.data for f in rt.findings.list("a", limit=1000).findings] == list(range(100))
    assert rt.findings.list("a", "if").findings == [] and rt.findings.list("nobody").findings == []


def test_a_finding_with_an_own_id_is_kept_once(rt: Runtime) -> None:
    rt.shards.register("a")
    ids = {rt.findings.add("a", "t", n, id="mine") for n in range(3)}
    assert ids == {"a.mine"} and rt.findings.get("a.mine").data == 0 and rt.shards.get("a").findings == 1


def test_findings_are_bounded_and_those_that_go_are_counted(rt: Runtime) -> None:
    rt.shards.register("a", findings=10)
    rt.run_many([rt.findings.add.op("a", f"t{i % 2}", i) for i in range(35)])
    state = rt.shards.get("a")
    assert (state.findings, state.dropped, state.last) == (10, 25, 35)
    assert [f.data for f in rt.findings.list("a").findings] == list(range(25, 35))
    assert [f.data for f in rt.findings.list("a", "t1").findings] == [25, 27, 29, 31, 33]


def test_large_findings_come_in_smaller_pages(rt: Runtime) -> None:
    rt.shards.register("a")
    for i in range(8):
        rt.findings.add("a", "t", "x" * 1_000_000, id=f"f{i}")
    page = rt.findings.list("a")
    assert 0 < len(page.findings) < 8
    assert page.next is not None
    rest = rt.findings.list("a", after=page.next)
    assert len(page.findings) + len(rest.findings) == 8 and rest.next is None


def test_bad_findings_are_refused_and_change_nothing(rt: Runtime) -> None:
    rt.shards.register("a")
    with pytest.raises(NotFound, match="register it first"):
        rt.findings.add("nobody", "t", 1)
    with pytest.raises(TooLarge):
        rt.findings.add("a", "t", "x" * (1 << 20))
    for shard, kind, author, own in [
        ("A:b", "t", "w", None),
        ("a", "x|y", "w", None),
        ("a", "t", "w\n", None),
        ("a", "t", "w", "a.b"),
    ]:
        with pytest.raises(Invalid):
            rt.findings.add(shard, kind, 1, author, id=own)
    for id in ["a", "a.", ".b", "a.b.c", 5]:
        with pytest.raises(Invalid):
            rt.findings.get(id)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        rt.findings.get("a.none")
    assert rt.shards.get("a").findings == 0


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
    made = room.put("a", "Pass 2", "by hand", sources)
    assert room.get(made).answer == "by hand" and room.wait(made, 0).status == "answered"


def test_a_request_whose_consumer_died_is_open_again_and_the_late_answer_is_refused(rt: Runtime) -> None:
    rt.shards.register("a")
    room = rt.findings.syntheses
    asked = room.request("a", "p")
    first = room.claim("a", "dead", 0.2).request
    again = room.next("a", "alive", timeout=10, lease=30)
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
    again = room.next("a", "c", timeout=10, lease=30)
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
    assert room.claim("a", "c", 0.3).request
    assert room.renew(asked, "c", 1, 60)
    due = room.claim("a", "other").due
    assert due is not None and due > 30


def test_a_request_that_nobody_survives_fails_and_its_waiter_is_told(rt: Runtime) -> None:
    rt.shards.register("a")
    room = rt.findings.syntheses
    asked = room.request("a", "p")
    for n in range(5):
        taken = room.next("a", "weak", timeout=10, lease=0.02)
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
        one.join(10)
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


def test_what_happened_is_in_the_shards_events_and_in_the_registrys(rt: Runtime) -> None:
    rt.shards.register("a")
    rt.shards.load_context("a", "x")
    made = rt.findings.add("a", "t", 1)
    assert [(e["what"], e["id"]) for e in rt.shards.events("a")] == [
        ("finding.added", made),
        ("context.loaded", "a"),
        ("shard.registered", "a"),
    ]
    key = rt.keys.registry("events")
    assert b"shard.registered" in rt.run(Op("", (key,), ("XREVRANGE", key, "+", "-")))[0][1]


@modern
def test_on_a_cluster_every_part_keeps_to_its_slot(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster, Runtime(cluster.settings) as rt:  # type: ignore[attr-defined]
        for i in range(6):
            rt.shards.register(f"s{i}", ttl=60)
            made = rt.shards.load_context(f"s{i}", f"context {i} " * 50_000)
            source = rt.findings.add(f"s{i}", "t", i)
            asked = rt.findings.syntheses.request(f"s{i}", "p", [source])
            claim = rt.findings.syntheses.next(f"s{i}", "c", timeout=5)
            assert claim
            rt.findings.syntheses.answer(asked, "c", claim.attempt, i)
            assert rt.findings.syntheses.wait(asked, 5).answer == i
            rt.shards.beat(f"s{i}")
            assert len(rt.contexts.resolve(made.reference)) == made.size
            assert rt.findings.list(f"s{i}").findings[0].data == i
        assert rt.shards.status()["total_shards"] == 6
        assert all(rt.shards.remove(f"s{i}") and rt.shards.list(everyone=True) is not None for i in range(6))


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
