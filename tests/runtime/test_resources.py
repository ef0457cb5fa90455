"""Pools are never overdrawn, and what the dead and the idle hold comes back (S3-32, S3-33)."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Full, Invalid, NotFound, Stale, SwarmError


def active(rt: Runtime, id: str, **more: Any) -> str:
    rt.swarms.create("to work", id=id, **more)
    rt.swarms.status(id, "active")
    return id


def test_fifty_at_once_never_get_more_than_there_is(rt: Runtime) -> None:
    rt.resources.define("cpu", 400)
    for i in range(50):
        active(rt, f"s{i}")
    got: list[str] = []
    refused: list[str] = []
    start = threading.Barrier(50)

    def ask(swarm: str) -> None:
        start.wait()
        try:
            rt.resources.allocate(swarm, "cpu", 30)
            got.append(swarm)
        except Full:
            refused.append(swarm)

    threads = [threading.Thread(target=ask, args=(f"s{i}",)) for i in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    found = rt.resources.list()
    assert (len(got), len(refused)) == (13, 37)
    assert found.pools["cpu"].used == 390 and found.held == {swarm: {"cpu": 30} for swarm in got}


def test_no_order_of_asking_and_giving_back_breaks_the_books(rt: Runtime) -> None:
    """Random steps against a small model."""
    dice = random.Random(7)
    swarms = [active(rt, f"s{i}") for i in range(4)]
    pools = {"cpu": 100, "memory": 4096}
    for kind, n in pools.items():
        rt.resources.define(kind, n)
    model = {(s, k): 0 for s in swarms for k in pools}
    for _ in range(400):
        swarm, kind, n = dice.choice(swarms), dice.choice([*pools]), dice.randint(1, 60)
        used = sum(v for (_, k), v in model.items() if k == kind)
        if dice.random() < 0.6:
            if used + n > pools[kind]:
                with pytest.raises(Full, match=f"{kind} has {pools[kind] - used} left of {pools[kind]}, not {n}"):
                    rt.resources.allocate(swarm, kind, n)
                continue
            model[swarm, kind] += n
            share = rt.resources.allocate(swarm, kind, n)
            assert (share.held, share.left) == (model[swarm, kind], pools[kind] - used - n)
        else:
            given = rt.resources.release(swarm, kind, n if dice.random() < 0.8 else None)
            assert given == min(n, model[swarm, kind]) or given == model[swarm, kind]
            model[swarm, kind] -= given
    found = rt.resources.list()
    assert {k: p.used for k, p in found.pools.items()} == {
        kind: sum(v for (_, k), v in model.items() if k == kind) for kind in pools
    }
    assert found.held == {
        s: {k: model[s, k] for k in pools if model[s, k]} for s in swarms if any(model[s, k] for k in pools)
    }


def test_the_same_request_again_is_done_once(rt: Runtime) -> None:
    rt.resources.define("gpu", 4)
    active(rt, "s1")
    for _ in range(3):
        assert rt.resources.allocate("s1", "gpu", 2, id="ask").held == 2
    for _ in range(3):
        assert rt.resources.release("s1", "gpu", 1, id="back") == 1
    assert rt.resources.list().held == {"s1": {"gpu": 1}}


def test_a_share_never_falls_below_zero(rt: Runtime) -> None:
    rt.resources.define("cpu", 10)
    active(rt, "s1")
    rt.resources.allocate("s1", "cpu", 4)
    assert [rt.resources.release("s1", "cpu", n) for n in (3, 3, 3)] == [3, 1, 0]
    assert rt.resources.release("unknown", "cpu") == 0
    assert rt.resources.list().pools["cpu"].used == 0


def test_a_pool_made_smaller_gives_nothing_until_enough_is_back(rt: Runtime) -> None:
    rt.resources.define("cpu", 10)
    active(rt, "s1")
    rt.resources.allocate("s1", "cpu", 8)
    rt.resources.define("cpu", 5)
    assert rt.resources.define("cpu", 99, if_absent=True).amount == 5
    with pytest.raises(Full, match="cpu has 0 left of 5, not 1"):
        rt.resources.allocate("s1", "cpu", 1)
    rt.resources.release("s1", "cpu", 4)
    assert rt.resources.allocate("s1", "cpu", 1).left == 0


@pytest.mark.parametrize("end", ["interrupted", "failed", "removed"])
def test_what_a_dead_swarm_held_comes_back(rt: Runtime, end: str) -> None:
    rt.resources.define("cpu", 10)
    rt.resources.define("memory", 100)
    for swarm in (active(rt, "dead"), active(rt, "alive")):
        rt.resources.allocate(swarm, "cpu", 5)
        rt.resources.allocate(swarm, "memory", 20)
    if end == "removed":
        rt.swarms.remove("dead")
    else:
        rt.swarms.status("dead", end)
    term = rt.leader.campaign("boss").term
    back = rt.resources.reclaim(term)
    assert {(r.swarm, r.kind, r.amount, r.why) for r in back} == {
        ("dead", "cpu", 5, "the swarm is gone"),
        ("dead", "memory", 20, "the swarm is gone"),
    }
    found = rt.resources.list()
    assert found.held == {"alive": {"cpu": 5, "memory": 20}} and found.pools["cpu"].left == 5
    assert rt.resources.reclaim(term) == []
    with pytest.raises(NotFound, match="no live swarm dead"):
        rt.resources.allocate("dead", "cpu", 1)


def test_idle_shares_come_back_where_the_pool_says_so(rt: Runtime) -> None:
    rt.resources.define("gpu", 4, idle=3)
    rt.resources.define("disk", 4)
    for swarm in (active(rt, "lazy"), active(rt, "busy")):
        rt.resources.allocate(swarm, "gpu", 2)
        rt.resources.allocate(swarm, "disk", 1)
    term = rt.leader.campaign("boss").term
    assert rt.resources.reclaim(term) == []
    threading.Event().wait(3.1)
    assert rt.resources.use("busy", "gpu", "unheard-of") == 1
    assert [(r.swarm, r.kind, r.why) for r in rt.resources.reclaim(term)] == [("lazy", "gpu", "idle")]
    assert rt.resources.list().held == {"busy": {"disk": 1, "gpu": 2}, "lazy": {"disk": 1}}
    [told] = rt.messages.take("swarm.lazy")
    assert told.type == "resource.reclaimed"
    assert told.payload == {"resource": "gpu", "amount": 2, "why": "idle"}


def test_only_the_leader_reclaims(rt: Runtime) -> None:
    rt.resources.define("cpu", 10)
    rt.resources.allocate(active(rt, "s1"), "cpu", 5)
    rt.swarms.remove("s1")
    old = rt.leader.campaign("one").term
    rt.leader.resign("one", old)
    with pytest.raises(Stale):
        rt.resources.reclaim(old)
    assert rt.resources.list().pools["cpu"].used == 5
    rt.leader.campaign("two")
    with pytest.raises(Stale, match=f"you lead term {old}"):
        rt.resources.reclaim(old)


def test_bad_requests_are_refused_with_the_field_or_the_reason(rt: Runtime) -> None:
    rt.resources.define("cpu", 10)
    active(rt, "s1")
    faults: list[tuple[type[SwarmError], str, tuple[Any, ...]]] = [
        (Invalid, "swarm: ", ("a:b", "cpu", 1)),
        (Invalid, "kind: ", ("s1", "c*", 1)),
        (Invalid, "amount: ", ("s1", "cpu", 0)),
        (Invalid, "amount: ", ("s1", "cpu", -5)),
        (Invalid, "amount: ", ("s1", "cpu", 1.5)),
        (Invalid, "amount: ", ("s1", "cpu", True)),
        (NotFound, "there is no pool gpu", ("s1", "gpu", 1)),
        (NotFound, "no live swarm s2", ("s2", "cpu", 1)),
    ]
    for kind, said, args in faults:
        with pytest.raises(kind, match=said.replace("*", r"\*")):
            rt.resources.allocate(*args)
    assert rt.resources.list().pools["cpu"].used == 0
