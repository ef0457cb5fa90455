"""Swarms: legal steps only, filters, refusals, a limit under a rush (S3-01 to S3-03, S3-07 to S3-10, S2-13)."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Exists, Full, Illegal, Invalid, NotFound, Stale, TooLarge
from swarmops.runtime.op import Op
from swarmops.runtime.registry.swarms import STATUSES
from tests.runtime.indexes import indexes_agree
from tests.runtime.raw import raw
from tests.runtime.server import Server
from tests.waiting import until

LEGAL = {
    "initializing": {"active", "failed", "interrupted"},
    "active": {"completed", "failed", "interrupted"},
    "interrupted": {"recovering", "failed"},
    "recovering": {"active", "failed", "interrupted"},
    "completed": set[str](),
    "failed": set[str](),
}
WAY = {  # how to get there from the beginning
    "initializing": (),
    "active": ("active",),
    "interrupted": ("interrupted",),
    "recovering": ("interrupted", "recovering"),
    "completed": ("active", "completed"),
    "failed": ("failed",),
}


def test_created_read_removed_and_read_from_the_archive(rt: Runtime) -> None:
    metadata = {
        "phase": "plan",
        "priority": "high",
        "capabilities": ["gpu", "browser"],
        "tags": ["ä", "b\n"],
        "own": [1],
    }
    made = rt.swarms.create("Build the thing", "research", "hierarchical", 8, metadata)
    assert made == rt.swarms.get(made.id) and made.status == "initializing" and made.priority == "high"
    assert made.capabilities == ("browser", "gpu") and made.phase == "plan" and made.metadata["own"] == [1]
    assert rt.swarms.create("x").metadata == {"priority": "normal"}
    kept = rt.swarms.deregister(made.id, 'we are "done"\n')
    assert (kept.objective, kept.status, kept.reason) == ("Build the thing", "initializing", 'we are "done"\n')
    assert kept.metadata == made.metadata and kept.created_ms == made.created_ms <= kept.archived_ms
    assert rt.swarms.archived(made.id) == kept == rt.swarms.archive()[0] == rt.swarms.remove(made.id)
    for gone in (rt.swarms.get, lambda id: rt.swarms.status(id, "active")):
        with pytest.raises(NotFound, match=made.id):
            gone(made.id)
    for gone in (rt.swarms.remove, rt.swarms.archived):
        with pytest.raises(NotFound):
            gone("nope")
    indexes_agree(rt)
    json.dumps([made.as_dict(), kept.as_dict()])


@pytest.mark.parametrize("status", STATUSES)
def test_only_legal_steps_are_taken(rt: Runtime, status: str) -> None:
    """S3-02: all 36."""
    for to in STATUSES:
        id = rt.swarms.create("x").id
        for step in WAY[status]:
            rt.swarms.status(id, step)
        if to in LEGAL[status]:
            assert rt.swarms.status(id, to, "so it is") == status
            assert (rt.swarms.get(id).status, rt.swarms.get(id).why) == (to, "so it is")
        else:
            listed = ", ".join(sorted(LEGAL[status])) or "nothing else"
            with pytest.raises(Illegal, match=f"{id} is {status}, from there it can become {listed}, not {to}"):
                rt.swarms.status(id, to)
            assert rt.swarms.get(id).status == status
    indexes_agree(rt)


def test_a_step_of_a_leader_that_leads_no_more_is_refused(rt: Runtime) -> None:
    id, term = rt.swarms.create("x").id, rt.leader.campaign("a").term
    assert rt.swarms.status(id, "active", term=term) == "initializing"
    with pytest.raises(Stale):
        rt.swarms.status(id, "failed", term=term - 1)
    rt.leader.resign("a", term)
    with pytest.raises(Stale, match="has ended"):
        rt.swarms.status(id, "failed", term=term)
    assert rt.swarms.get(id).status == "active"


def test_a_rush_of_creators_does_not_get_past_the_limit(rt: Runtime, server: Server) -> None:
    """S3-07. 60 threads for 25 places, then one place, then a wider limit."""
    small = Runtime(server.settings.but(swarm_max=25))

    def create(i: int) -> bool:
        try:
            small.swarms.create(f"objective {i}")
            return True
        except Full as e:
            assert str(e) == "there are 25 swarms of at most 25"
            return False

    with small, ThreadPoolExecutor(60) as pool:
        assert sum(pool.map(create, range(60))) == 25
        one = rt.swarms.list(limit=1)[0].id
        rt.swarms.status(one, "failed")
        assert sum(pool.map(create, range(60))) == 1, "what has ended takes no place"
        assert small.swarms.limit() == small.swarms.limit(25) and small.swarms.limit(30).limit == 30
        assert rt.swarms.limit().limit == 30, "for all"
        rt.swarms.limit(0)
        assert (rt.swarms.limit().limit, rt.swarms.limit().live) == (100, 25)
    indexes_agree(rt)


def test_filters_combine_newest_first_and_paged(rt: Runtime) -> None:
    """S3-09."""
    ids: list[str] = []
    for i in range(24):
        phase = "plan" if i % 3 else "build"
        made = rt.swarms.create(
            f"Number {i} of {'Alpha' if i % 2 else 'beta'}",
            ("development", "research", "devops")[i % 3],
            "mesh" if i % 4 else "hierarchical",
            metadata={"phase": phase},
        )
        ids.append(made.id)
    for i in range(0, 24, 2):
        rt.swarms.status(ids[i], "active")

    def got(**kwargs: Any) -> list[int]:
        return [ids.index(s.id) for s in rt.swarms.list(**kwargs)]

    assert got() == list(range(23, -1, -1))
    assert got(status="active") == list(range(22, -1, -2))
    assert got(status="active", limit=3, offset=2) == [18, 16, 14]
    assert got(strategy="research", phase="plan", mode="mesh") == [22, 19, 13, 10, 7, 1]
    assert got(objective="ALPHA", limit=2) == [23, 21] and got(objective="of %a") == []
    assert got(status="active", objective="number 1", strategy="devops") == [14]
    assert got(phase="ship") == [] and got(offset=30) == []


@pytest.mark.parametrize(
    ("words", "kwargs"),
    [
        ("strategy: 'chaos' is none of development, research, devops", {"strategy": "chaos"}),
        ("mode: 'star' is none of mesh, hierarchical", {"mode": "star"}),
        ("metadata.priority: 'urgent' is none of high, normal, low", {"metadata": {"priority": "urgent"}}),
        ("max_agents: '0' is not a number from 1 to 10000", {"max_agents": 0}),
        ("max_agents: '1.5' is not a whole number", {"max_agents": 1.5}),
        ("max_agents: 'True' is not a number", {"max_agents": True}),
        ("metadata: is not an object", {"metadata": [1]}),
        ("metadata.phase: '7' is not text", {"metadata": {"phase": 7}}),
        ("metadata.tags: is not a list", {"metadata": {"tags": "a"}}),
        (r"metadata.tags\[1\]: '2' is not text", {"metadata": {"tags": ["a", 2]}}),
        ("metadata.capabilities: is not a list", {"metadata": {"capabilities": "gpu"}}),
        ("metadata: cannot be sent as JSON", {"metadata": {"x": {1, 2}}}),
        ("metadata: is not JSON: key '1' is there twice", {"metadata": {1: 1, "1": 2}}),
        ("id: 'swarm:a:leader' is not a name", {"id": "swarm:a:leader"}),
        ("objective: is empty", {"objective": " \n"}),
        ("objective: '7' is not text", {"objective": 7}),
        ("objective: has 5000 characters", {"objective": "x" * 5000}),
        ("heartbeat: '0'", {"heartbeat": 0}),
    ],
)
def test_wrong_values_are_refused_with_the_path_and_the_list(rt: Runtime, words: str, kwargs: dict[str, Any]) -> None:
    """S3-03; cases 75, 76, 91, 93."""
    with pytest.raises(Invalid, match=words):
        rt.swarms.create(**{"objective": "x", **kwargs})
    assert rt.swarms.list() == []


def test_metadata_that_is_too_large_or_too_deep_is_refused(rt: Runtime) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"x": deep}
    with pytest.raises(Invalid, match="deeper than 64"):
        rt.swarms.create("x", metadata=deep)
    with pytest.raises(TooLarge):
        rt.swarms.create("x", metadata={"x": "y" * 70_000})
    with pytest.raises(Invalid, match="status: 'done' is none of"):
        rt.swarms.list("done")


def test_names_of_fixed_keys_are_no_danger_and_an_id_is_taken_once(rt: Runtime) -> None:
    """S3-08: `index` and `leader` collided with keys of the original."""
    for id in ("index", "leader", "swarms", "archive", "status"):
        assert rt.swarms.create("x", id=id).id == id
        with pytest.raises(Exists, match=f"there is a swarm {id}"):
            rt.swarms.create("x", id=id)
    assert rt.leader.campaign("a").leading and len(rt.swarms.list()) == 5
    indexes_agree(rt)


def test_a_creation_that_was_sent_twice_is_one(rt: Runtime) -> None:
    op = rt.swarms.create.op("x")
    assert rt.run(op) == rt.run(op) and len(rt.swarms.list()) == 1


def test_every_change_is_in_the_audit_trail(rt: Runtime) -> None:
    """S2-13."""
    id = rt.swarms.create("x").id
    rt.swarms.status(id, "active", "go")
    rt.swarms.remove(id, "enough")
    found = []
    for _, flat in raw(rt, "XRANGE", rt.keys.registry("events"), "-", "+"):
        fields = [f.decode() for f in flat]
        found.append(dict(zip(fields[::2], fields[1::2])))
    assert found == [
        {"what": "swarm.registered", "id": id},
        {"what": "swarm.status", "id": id, "from": "initializing", "to": "active", "why": "go"},
        {"what": "swarm.archived", "id": id, "status": "active", "why": "enough"},
    ]
    counted = raw(rt, "HGETALL", rt.keys.registry("stats"))
    counters = dict(zip(counted[::2], counted[1::2]))
    assert counters[b"swarms_registered"] == counters[b"swarms_archived"] == b"1"


def test_times_are_those_of_redis_and_only_rise(rt: Runtime) -> None:
    made = [rt.swarms.create("x") for _ in range(5)]
    assert all(a.created_ms <= b.created_ms for a, b in pairwise(made))
    before = rt.swarms.get(made[0].id).beat_ms
    until(lambda: rt.run(Op("ping", (rt.keys.registry("probe"),))) > before)
    assert rt.swarms.beat(made[0].id) == {made[0].id: "initializing"}
    assert rt.swarms.get(made[0].id).beat_ms > before


def test_swarms_beat_and_end_while_redis_is_full(own_server: Callable[..., Server]) -> None:
    server = own_server("--maxmemory-policy", "noeviction", "--save", "")
    with Runtime(server.settings.but(patience=0)) as rt:
        a, b = rt.swarms.create("a").id, rt.swarms.create("b").id
        raw(rt, "CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Exception, match="maxmemory"):
            rt.swarms.create("c")
        assert rt.swarms.beat(a) == {a: "initializing"} and rt.swarms.status(a, "failed") == "initializing"
        assert rt.swarms.remove(b).id == b and len(rt.swarms.list()) == 1
