"""`swarmops coordinator`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from swarmops.runtime import Runtime
from tests.runtime.commands import Command, Said
from tests.runtime.server import Server
from tests.waiting import until


@pytest.fixture
def coordinator(swarmops: Command) -> Command:
    """swarmops coordinator ..."""
    return partial(swarmops, "coordinator")


def document(answer: Said) -> Any:
    assert answer.code == 0, answer.err
    return answer.json


@pytest.fixture
def swarms(rt: Runtime) -> Runtime:
    for id, priority in (("s1", "high"), ("s2", "low")):
        rt.swarms.create("to work", id=id, metadata={"priority": priority, "capabilities": ["search"]})
        rt.swarms.status(id, "active")
    return rt


def test_a_coordinator_runs_until_it_is_told_to_end(coordinator: Command, swarms: Runtime, server: Server) -> None:
    environment = {**os.environ, "SWARMOPS_REDIS_URL": server.url}
    argv = [sys.executable, "-m", "swarmops", "coordinator", "run", "--name", "boss", "--json"]
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until(lambda: swarms.leader.who())
        told = document(
            coordinator(
                "distribute",
                "read\x1b[2J it",
                "--needs",
                "search",
                "--priority",
                "high",
                "--id",
                "t1",
                "--json",
            )
        )
        assert (told["schema"], told["where"], told["leader"]) == ("swarmops.distributed/1", "forwarded", "boss")
        until(lambda: swarms.distribution.get("t1").status == "assigned")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0 and b"boss campaigns at 127.0.0.1" in err
    done = json.loads(out)
    assert (done["schema"], done["distributed"], done["terms"]) == ("swarmops.coordinator-run/1", 1, 1)
    assert swarms.leader.who() is None
    code, out, _ = coordinator("take", "s1")
    assert code == 0 and "t1" in out and "\\x1b" in out and "\x1b" not in out


def test_a_task_from_the_backlog_to_its_end(coordinator: Command, swarms: Runtime) -> None:
    assert coordinator("distribute", "x", "--id", "t1") == (0, "t1 queued\n", "")
    assert coordinator("distribute", "x", "--id", "t2", "--needs", "gpu")[0] == 0
    assert document(coordinator("strategy", "round_robin", "--json"))["strategy"] == "round_robin"
    swarms.distribution.cycle(swarms.leader.campaign("boss").term)
    code, out, _ = coordinator("status")
    assert code == 0 and "strategy  round_robin" in out and "t2" in out and "leader    boss" in out
    assert document(coordinator("take", "s1", "--json"))["tasks"][0]["attempt"] == 1
    assert document(coordinator("take", "s1", "--have", "t1", "--json"))["tasks"] == []
    assert coordinator("complete", "s2", "t1", "1")[0] == 1, "it is not that swarm's"
    assert coordinator("complete", "s1", "t1", "1", "--result", '{"pages": 12}') == (0, "t1 done\n", "")
    found = document(coordinator("task", "t1", "--json"))
    assert (found["status"], found["swarm"], found["result"]) == ("done", "s1", {"pages": 12})
    assert coordinator("complete", "s1", "t1", "1", "--back", "too late") == (
        1,
        "t1 not this swarm's any more\n",
        "",
    )
    code, _, err = coordinator("task", "none")
    assert code == 1 and err == "there is no task none in distribution, or it ended long ago\n"
    assert coordinator("strategy", "random")[0] == 2


def test_resources(coordinator: Command, swarms: Runtime) -> None:
    assert coordinator("pool", "cpu", "100", "--idle", "60") == (0, "cpu: 0 of 100 in use\n", "")
    assert coordinator("allocate", "s1", "cpu", "80") == (0, "s1 holds 80 cpu, 20 are left\n", "")
    code, _, err = coordinator("allocate", "s2", "cpu", "30")
    assert (code, err) == (1, "cpu has 20 left of 100, not 30\n")
    assert coordinator("release", "s1", "cpu", "30") == (0, "s1 gave back 30 cpu\n", "")
    found = document(coordinator("resources", "--json"))
    assert found["pools"] == [{"kind": "cpu", "amount": 100, "used": 50, "idle": 60.0, "left": 50}]
    assert found["held"] == {"s1": {"cpu": 50}}
    assert (
        coordinator("resources")[1].split() == "POOL AMOUNT USED LEFT cpu 100 50 50 SWARM POOL HOLDS s1 cpu 50".split()
    )


def test_conflicts(coordinator: Command, swarms: Runtime) -> None:
    assert coordinator("resolve", "disk", "s2", "s1") == (0, "s1: priority high over low\n", "")
    opened = document(coordinator("resolve", "disk", "s1", "s2", "--strategy", "vote", "--json"))
    assert (opened["status"], opened["quorum"]) == ("open", 2)
    assert "1 to 0 of 2 votes" in coordinator("vote", opened["id"], "s1", "s1")[1]
    assert coordinator("vote", opened["id"], "s2", "s1") == (0, "s1: 2 to 0 votes\n", "")
    assert [c["winner"] for c in document(coordinator("conflicts", "--json"))["conflicts"]] == ["s1", "s1"]
    assert coordinator("resolve", "disk", "s1", "s1")[0] == 2
