"""S0-18, S0-23, S0-24, S0-26 to S0-28: shards come and go, their contexts have versions, findings stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Invalid, NotFound, TooLarge
from swarmops.runtime.op import Op
from tests.runtime.groups import Cluster
from tests.runtime.server import modern
from tests.waiting import until


def test_a_shard_is_in_the_status_at_once_and_leaves_it_after_its_ttl(rt: Runtime) -> None:
    rt.shards.register("lives", "logistics", ttl=60)
    rt.shards.register("dies", ttl=3)
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
