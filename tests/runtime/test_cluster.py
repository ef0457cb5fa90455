"""A real cluster of three nodes on loopback: every script keeps to one slot, and both executors find it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.client.cluster import slot_of
from swarmops.runtime.errors import Unavailable
from swarmops.runtime.op import Op
from tests.runtime.groups import Cluster, ask
from tests.runtime.smoke import everything


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as three:
        assert isinstance(three, Cluster)
        yield three


def test_operations_find_their_nodes(cluster: Cluster) -> None:
    with Runtime(cluster.settings) as rt:
        names = [rt.keys.queue(f"q{i}", "probe") for i in range(30)]
        assert len({slot_of(n) * 3 // 16384 for n in names}) == 3
        assert all(t > 0 for t in rt.run_many([Op("ping", (n,), safe=True) for n in names]))

    async def asynchronously() -> None:
        async with AsyncRuntime(cluster.settings) as art:
            assert all(t > 0 for t in await art.run_many([Op("ping", (n,), safe=True) for n in names]))

    asyncio.run(asynchronously())


def test_every_room_works_on_it(cluster: Cluster) -> None:
    with Runtime(cluster.settings) as rt:
        everything(rt)
        used = [ask(server, "DBSIZE") for server in cluster.servers]
    assert sum(map(bool, used)) > 1, used  # queues, registry and contexts lie where their tags say

    async def asynchronously() -> None:
        async with AsyncRuntime(cluster.settings) as art:
            many = await asyncio.gather(*[art.tasks.submit("noop", queue=f"q{i % 9}") for i in range(200)])
            assert len({one.id for one in many}) == 200
            assert sum([(await art.tasks.depth(f"q{i}")).ready for i in range(9)]) == 200

    asyncio.run(asynchronously())


def test_a_slot_that_moves_is_followed(cluster: Cluster) -> None:
    first, second = cluster.servers[:2]
    with Runtime(cluster.settings) as rt:
        key = next(k for i in range(999) if slot_of(k := rt.keys.queue(f"m{i}", "x")) < 5000)
        write = Op("", (key,), ("SET", key, "1"), safe=True)
        assert rt.run(write) == b"OK"
        rt.run(Op("", (key,), ("DEL", key)))
        new = ask(second, "CLUSTER", "MYID")
        for server in cluster.servers:
            ask(server, "CLUSTER", "SETSLOT", slot_of(key), "NODE", new)
        assert rt.run(write) == b"OK"
        assert ask(second, "GET", key) == b"1"
        with pytest.raises(Unavailable, match="moved"):
            ask(first, "GET", key)


def test_a_single_redis_is_no_cluster(rt: Runtime) -> None:
    settings = rt.settings.but(kind="cluster", nodes=(("127.0.0.1", rt.settings.port),), patience=0)
    with Runtime(settings) as wrong, pytest.raises(Unavailable, match="is no node of a cluster"):
        wrong.run(Op("ping", (wrong.keys.registry("probe"),)))
