"""Many swarms in one object: the verbs and the names of the sources work together (S3-50, S3-51, S3-69)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import MultiSwarm, Runtime, createMultiSwarmCoordination
from swarmops.runtime.coordinator.duties import Pace
from swarmops.runtime.errors import Conflict, Full, Illegal, Invalid, Late, NotFound, Unavailable
from swarmops.runtime.op import command
from tests.runtime.groups import Cluster
from tests.runtime.server import Server, modern
from tests.runtime.test_tls import Secured
from tests.waiting import until

QUICK = Pace(distribute=0.05, resources=0.05, health=0.05, conflicts=0.05, snapshots=0.05)


def made(server: Server, **more: Any) -> MultiSwarm:
    options = {"host": "127.0.0.1", "port": server.port, "db": 0}
    return createMultiSwarmCoordination(options, **{"pace": QUICK, "lease": 1.0, **more})


@pytest.fixture
def ms(server: Server) -> Iterator[MultiSwarm]:
    with made(server) as one:
        until(lambda: one.is_leader)
        yield one


def test_a_swarm_works_through_what_is_distributed(ms: MultiSwarm) -> None:
    one, two = ms.create_swarm("index the docs"), ms.create_swarm("train", metadata={"capabilities": ["gpu"]})
    assert one.leader and two.id != one.id
    told = ms.distribute_task("train a model", "training", "high", ["gpu"], 3.5)
    assert (told.where, told.swarm) == ("distributed", two.id)
    [task] = ms.take_tasks(two.id)
    assert (task.description, task.type, task.priority, task.effort) == ("train a model", "training", "high", 3.5)
    assert ms.complete_task(task, two.id, {"loss": 0.1})
    assert ms.distribute_task("no one can", capabilities=["tpu"]).where == "queued"
    assert {s.id for s in ms.get_swarms("active")} == {one.id, two.id} and ms.get_swarm(one.id).phase == ""
    found = ms.get_statistics()
    assert found["registry"] == {"activeSwarms": 2, "totalRegistered": 2}
    assert found["coordinator"]["tasksDistributed"] == 1 and found["coordinator"]["isLeader"]
    assert found["coordinator"]["strategy"] == "least_loaded" and found["coordinator"]["backlog"]["stuck"] == 1
    assert found["errors"] == 0 and found["state"] == {"recoveriesPerformed": 0}
    ms.set_strategy("round_robin")
    assert ms.get_statistics()["coordinator"]["strategy"] == "round_robin"


def test_messages_reach_swarms_of_other_processes(ms: MultiSwarm, server: Server) -> None:
    with made(server) as other:
        here, there = ms.create_swarm("here").id, other.create_swarm("there").id
        assert not other.is_leader
        heard: list[tuple[str, Any]] = []
        other.on_message("acme.hello", lambda payload, envelope: heard.append((envelope.sender, payload)), there)
        other.on_message("announcement", lambda payload, envelope: heard.append((envelope.to, payload)))
        ms.send_message(there, "acme.hello", {"n": 1}, sender=here)
        until(lambda: (f"swarm.{here}", {"n": 1}) in heard)
        ms.broadcast("announcement", {"text": "to all"})
        until(lambda: ("global", {"text": "to all"}) in heard)
        with pytest.raises(NotFound):
            ms.send_message("nobody", "acme.hello")
        assert other.distribute_task("from afar").where == "forwarded"
        until(lambda: ms.take_tasks(here) or ms.take_tasks(there))
        assert ms.get_statistics()["messenger"]["messagesSent"] >= 2


def test_resources_and_conflicts(ms: MultiSwarm) -> None:
    high = ms.create_swarm("one", metadata={"priority": "high"}).id
    low = ms.create_swarm("two", metadata={"priority": "low"}).id
    pool = ms.rt.resources.list().pools["cpu"]
    assert ms.allocate_resource(low, "cpu", pool.amount).left == 0
    with pytest.raises(Full):
        ms.allocate_resource(high, "cpu", 1)
    assert ms.release_resource(low, "cpu", pool.amount + 5) == pool.amount
    found = ms.resolve_conflict("resource", low, high)
    assert (found.winner, found.strategy, found.reason) == (high, "priority", "priority high over low")
    assert ms.resolve_conflict("resource", low, high, "timestamp").winner == high
    vote = ms.resolve_conflict("resource", low, high, "vote", deadline=0.1)
    until(lambda: ms.rt.conflicts.list()[0].id != vote.id or ms.rt.conflicts.list()[0].status == "decided")


def test_state_is_saved_snapshotted_and_restored(ms: MultiSwarm) -> None:
    swarm = ms.create_swarm("one").id
    assert ms.load_state(swarm) is None
    assert ms.save_state(swarm, {"step": 1}) == 1
    mark = ms.create_snapshot(swarm, "good")
    assert ms.save_state(swarm, {"step": 2}) == 2
    with pytest.raises(Conflict):
        ms.save_state(swarm, {"step": 3}, version=1)
    assert ms.restore_from_snapshot(swarm, "good") == {"step": 1} == ms.load_state(swarm)
    assert ms.restore_from_snapshot(swarm, mark.id) == {"step": 1}
    with pytest.raises(NotFound):
        ms.restore_from_snapshot(swarm, "never")


def test_an_interrupted_swarm_is_found_and_recovered(server: Server) -> None:
    """By hand: this process leads, but does not look after the health of others for now."""
    with made(server, pace=Pace(health=3600)) as ms:
        until(lambda: ms.is_leader)
        ms.rt.swarms.create("left alone", id="lone", heartbeat=0.05)
        ms.rt.swarms.status("lone", "active")
        ms.save_state("lone", {"tasks": {"a": {"status": "done"}}})
        until(lambda: [one.id for one in ms.discover_interrupted_swarms()] == ["lone"])
        went = ms.recover_swarm("lone")
        assert went.recovered and ms.get_statistics()["state"]["recoveriesPerformed"] == 1
        with pytest.raises(Illegal):
            ms.recover_swarm("lone")
        assert ms.get_swarm("lone").status == "active"


def test_another_process_goes_on_when_the_leader_shuts_down(server: Server) -> None:
    first = made(server).initialize()
    until(lambda: first.is_leader)
    with made(server) as second:
        mine, theirs = first.create_swarm("a").id, second.create_swarm("b").id
        first.save_state(mine, {"step": 1})
        for i in range(20):
            second.distribute_task("x", id=f"t{i}")
        until(lambda: not first.rt.distribution.backlog().pending)
        first.shutdown()
        first.shutdown()
        until(lambda: second.is_leader)
        assert [m.label for m in second.rt.state.snapshots(mine)][:1] == ["shutdown"]
        late = second.take_tasks(mine, 1)[0]
        second.rt.swarms.remove(mine)
        until(lambda: len(second.take_tasks(theirs, 50)) == 20)
        with pytest.raises(Late):
            second.complete_task(late, mine)
        with pytest.raises(Illegal, match="shut down"):
            first.initialize()


def test_nothing_is_left_of_it(own_server: Callable[..., Server]) -> None:
    """No threads, no connections, no leadership; also when Redis is gone by then."""
    server = own_server()
    before = set(threading.enumerate())
    with Runtime(server.settings) as rt:

        def connections() -> int:
            return int(rt.run(command("x", "INFO", "clients")).split(b"connected_clients:")[1].split()[0])

        alone = connections()
        with made(server) as ms:
            until(lambda: ms.is_leader)
            for i in range(10):
                ms.create_swarm(f"swarm {i}")
            ms.broadcast("announcement", {"text": "x"})
            assert connections() - alone <= 8, "not more with more swarms"
        until(lambda: connections() == alone)
        assert rt.leader.who() is None and set(threading.enumerate()) == before
    with made(server, patience=0.1, timeout=2) as ms:
        until(lambda: ms.is_leader)
        ms.create_swarm("x")
        server.kill()
    assert set(threading.enumerate()) == before


@modern
def test_password_and_tls_reach_every_connection(own_server: Callable[..., Server], tmp_path: Path) -> None:
    locked = own_server("--requirepass", "sesame")
    with made(locked, password="sesame") as ms:
        until(lambda: ms.is_leader)
        assert ms.create_swarm("x").id
    with pytest.raises(Unavailable) as e, made(locked, password="wrong"):
        pass
    assert e.value.kind == "login"
    s = Secured(lambda *options: own_server(*options, "--requirepass", "sesame"), tmp_path).settings
    tls = {"host": s.host, "port": s.port, "ssl": True, "ca": s.ca, "cert": s.cert, "key": s.key}
    with createMultiSwarmCoordination(tls, password="sesame") as ms:
        until(lambda: ms.is_leader)
        assert ms.get_swarm(ms.create_swarm("x").id).status == "active"


def test_options_that_are_none_are_named() -> None:
    with pytest.raises(Invalid, match=r"options: .*'prot'"):
        createMultiSwarmCoordination({"prot": 6379})
    with pytest.raises(Invalid, match="port: "):
        createMultiSwarmCoordination(port=0)
    with pytest.raises(Invalid, match="id: "):
        createMultiSwarmCoordination(id="A b")


@modern
def test_the_same_on_a_cluster(tmp_path: Path) -> None:
    """Every script keeps to the slot of the registry."""
    with Cluster(tmp_path) as three, MultiSwarm(three.settings, pace=QUICK, pools={"cpu": 100}) as ms:
        until(lambda: ms.is_leader)
        one, two = ms.create_swarm("one").id, ms.create_swarm("two").id
        told = ms.distribute_task("x")
        [task] = ms.take_tasks(told.swarm)
        assert ms.complete_task(task, told.swarm, 1)
        assert ms.allocate_resource(one, "cpu", 60).left == 40 and ms.release_resource(one, "cpu") == 60
        assert ms.resolve_conflict("r", one, two, "timestamp").winner in (one, two)
        heard = threading.Event()
        ms.on_message("acme.hello", lambda payload, envelope: heard.set(), two)
        ms.send_message(two, "acme.hello")
        assert heard.wait(60)
        assert ms.save_state(one, {"step": 1}) == 1 and ms.create_snapshot(one).version == 1
        assert ms.get_statistics()["coordinator"]["tasksDistributed"] == 1
        assert not ms._coordinator.done.trouble
