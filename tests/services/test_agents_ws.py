"""Agents over a WebSocket (S1-02 to S1-06, S1-08; cases 73, 74, 82, 89): tasks, breaks, what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from swarmops.runtime import Runtime
from tests.runtime.server import Server
from tests.services.agents import QUICK, alive, give, registered, until, wire
from tests.services.coordinator import Coordinator


def test_a_task_is_pushed_as_soon_as_it_is_submitted(api: Coordinator) -> None:
    with registered(api, "pushed", kinds=["pushed"], capabilities={"gpu": True, "cpu_cores": 8}) as agent:
        assert alive(api)["pushed"]["capabilities"] == ["gpu", "pushed"]
        agent.quiet()
        id = give(api, "pushed", {"n": 1}, needs=["gpu"], timeout=9)
        task = agent.hear("task")
        assert task == {"type": "task", "task_id": id, "kind": "pushed", "args": {"n": 1}, "attempt": 1, "timeout_s": 9}
        agent.say("progress", task_id=id, attempt=1, fraction=0.25, text="a quarter")
        agent.done(task, {"n": 2})
        assert api.result(id).json()["result"] == {"n": 2}


def test_what_waited_is_handed_out_when_one_comes(api: Coordinator) -> None:
    ids = [give(api, "waited", n) for n in range(5)]
    with registered(api, "waited-1", kinds=["waited"]) as agent:
        found = []
        for _ in ids:
            task = agent.hear("task")
            found.append(task["task_id"])
            agent.done(task)
        assert found == ids


def test_no_more_than_its_capacity(api: Coordinator) -> None:
    with registered(api, "roomy", kinds=["roomy"], capacity=3) as agent:
        for n in range(5):
            give(api, "roomy", n)
        first = [agent.hear("task") for _ in range(3)]
        agent.quiet()
        agent.say("result", task_id=first[0]["task_id"], attempt=1, result=0)
        assert sorted(agent.hear()["type"] for _ in range(2)) == ["accepted", "task"]


def test_capabilities_are_matched(api: Coordinator) -> None:
    with registered(api, "able", kinds=["draw"], capabilities=["gpu"]) as able:
        with registered(api, "unable", kinds=["draw"]) as unable:
            for _ in range(3):
                give(api, "draw", 1, needs=["gpu"])
                able.done(able.hear("task"))
            unable.quiet(0.1)


def test_many_tasks_spread_over_agents(api: Coordinator) -> None:
    with registered(api, "spread-1", kinds=["spread"]) as one, registered(api, "spread-2", kinds=["spread"]) as two:
        give(api, "spread", 1)
        give(api, "spread", 2)
        assert {one.hear("task")["args"], two.hear("task")["args"]} == {1, 2}


def test_cancelling_is_pushed(api: Coordinator) -> None:
    with registered(api, "cancelled", kinds=["cancelled"]) as agent:
        id = give(api, "cancelled", 1)
        agent.hear("task")
        assert api.ask("POST", f"/api/tasks/{id}/cancel", who="admin").json()["was"] == "running"
        told = agent.hear("cancel")
        assert told["task_id"] == id and told["attempt"] == 1
        agent.say("result", task_id=id, attempt=1, result=1)
        assert "cancelled" in agent.hear("refused")["error"]
        assert api.result(id).json()["status"] == "cancelled"


def test_a_timeout_is_a_cancel_too(api: Coordinator) -> None:
    with registered(api, "slow", kinds=["slow"]) as agent:
        id = give(api, "slow", 1, timeout=0.2, retries=0)
        agent.hear("task")
        assert agent.hear("cancel")["task_id"] == id
        assert "timed out" in api.result(id).json()["error"]


def test_the_same_result_twice_is_once(api: Coordinator) -> None:
    with registered(api, "repeats", kinds=["repeats"]) as agent:
        id = give(api, "repeats", 1)
        task = agent.hear("task")
        agent.done(task, 1)
        agent.done(task, 2)
        assert api.result(id).json()["result"] == 1
        agent.say("result", task_id=id, attempt=2, result=3)
        agent.hear("refused")


def test_a_connection_that_comes_back_goes_on(api: Coordinator) -> None:
    with registered(api, "back", kinds=["back"]) as agent:
        id = give(api, "back", 1)
        task = agent.hear("task")
    with registered(api, "back", kinds=["back"], holds=[{"task_id": id, "attempt": 1}]) as agent:
        agent.done(task, "after the break")
    assert api.result(id).json()["result"] == "after the break"


def test_one_that_stays_away_loses_its_task(api: Coordinator) -> None:
    with registered(api, "away", kinds=["away"]) as agent:
        id = give(api, "away", 1)
        agent.hear("task")
    until(lambda: "away" not in alive(api), "it leaves the list within the time of grace")
    with registered(api, "instead", kinds=["away"]) as other:
        task = other.hear("task")
        assert task["task_id"] == id and task["attempt"] == 2
        with wire(api) as agent:
            agent.say("register", agent_id="away", kinds=["away"], holds=[{"task_id": id, "attempt": 1}])
            assert agent.hear("registered")["lost"] == [id]
        other.done(task, 2)


def test_what_was_sent_into_the_void_is_given_back(api: Coordinator) -> None:
    """It registers again and does not name the task: it never heard of it, and that is nobody's death."""
    with registered(api, "void", kinds=["void"]) as agent:
        id = give(api, "void", 1)
        agent.hear("task")
    with registered(api, "void", kinds=["void"], holds=[]) as agent:
        task = agent.hear("task")
        assert task["task_id"] == id and task["attempt"] == 2
        agent.done(task)
        assert api.ask("GET", f"/api/tasks/{id}", who="read").json()["deaths"] == 0


def test_the_newest_connection_of_an_agent_counts(api: Coordinator) -> None:
    with registered(api, "again", kinds=["again"]) as old:
        with registered(api, "again", kinds=["again"]) as new:
            assert old.hear("error")["fatal"] is True
            with pytest.raises(ConnectionClosed):
                old.connection.recv(10)
            id = give(api, "again", 1)
            assert new.hear("task")["task_id"] == id
            new.quiet(QUICK["grace"] + 0.5)
            assert "again" in alive(api), "the end of the old connection ends nothing"


def test_a_configuration_reaches_all_and_is_acknowledged(api: Coordinator, runtime: Runtime) -> None:
    with registered(api, "conf-1") as one, registered(api, "conf-2") as two:
        version = runtime.messages.push_config({"level": "debug"})
        for agent in (one, two):
            told = agent.hear("config_update")
            assert told == {"type": "config_update", "version": version, "config": {"level": "debug"}}
        one.say("config_ack", version=version)
        held = until(lambda: (c := runtime.messages.config()).confirmed.get("agent.conf-1") == version and c)
        assert "agent.conf-2" in held.missing and "agent.conf-1" not in held.missing
        one.say("config_ack", version=version + 1)
        assert "no version" in one.hear("error")["error"]
    with wire(api) as late:
        late.say("register", agent_id="conf-late")
        told = late.hear("registered")
        assert told["config"] == {"level": "debug"} and told["config_version"] == version


def test_heartbeats_are_answered(api: Coordinator) -> None:
    with registered(api, "heart") as agent:
        agent.say("heartbeat", load=3)
        assert agent.hear("heartbeat")["lost"] == []
        agent.say("heartbeat", load=-1)
        assert agent.hear("error")["path"] == "load"


def test_a_quiet_connection_stays(redis: Server, tmp_path: Path) -> None:
    """What cuts off those who send no request does not cut off agents that have nothing to say."""
    quick = Coordinator(tmp_path, redis, agents=QUICK, limits={"head": 0.5, "rate": 0}).start()
    try:
        with registered(quick, "quiet", kinds=["quiet"]) as agent:
            agent.quiet(1.5)
            agent.say("heartbeat")
            agent.hear("heartbeat")
    finally:
        quick.close()
