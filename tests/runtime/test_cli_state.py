"""`swarmops state` and `swarmops breaker`: what they print, as text and as JSON, and what they end with."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from swarmops.runtime import Runtime
from tests.runtime.commands import Command
from tests.runtime.server import free_port


def test_a_state_is_written_and_read(swarmops: Command) -> None:
    assert swarmops("state", "set", "s", '{"a": "ü"}') == (0, "s: version 1\n", "")
    code, out, err = swarmops("state", "get", "s")
    assert (code, json.loads(out)) == (0, {"a": "ü"}) and "ü" in out and err.startswith("s: version 1, written 20")
    assert swarmops("state", "set", "s", "-", stdin=b"[1]")[0] == 0
    assert swarmops("state", "set", "s", "--by", "me", stdin=b"[2]")[0] == 0
    document = swarmops("state", "get", "s", "--json").document("swarmops.state/1")
    assert (document["value"], document["version"], document["by"]) == ([2], 3, "me")


def test_versions_are_heeded(swarmops: Command) -> None:
    assert swarmops("state", "set", "s", "1", "--version", "0")[0] == 0
    code, out, err = swarmops("state", "set", "s", "1", "--version", "0")
    assert (code, out, err) == (1, "", "state s has version 1, you expected none\n")
    assert swarmops("state", "set", "s", "2", "--version", "1")[1] == "s: version 2\n"
    assert swarmops("state", "delete", "s", "--version", "1")[0] == 1
    assert swarmops("state", "delete", "s", "--version", "2")[1] == "s: deleted\n"
    assert swarmops("state", "delete", "s")[1] == "s: there was none\n"


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("get", "none"), 1, "there is no state none"),
        (("get", "No"), 2, "name: 'No' is not a name"),
        (("set", "s", '{"a": NaN}'), 2, "VALUE: is not JSON: NaN is not JSON"),
        (("set", "s", '{"a": 1, "a": 2}'), 2, "VALUE: is not JSON: key 'a' is there twice"),
        (("restore", "s", "x"), 1, "state s has no snapshot x"),
        (("snapshot", "s", "--label", "a\nb"), 2, "is not a line of at most 120 characters"),
        (("recover", "s"), 1, "there is no swarm s"),
        (("recover",), 2, "say which SWARM, or --all"),
        (("recover", "s", "--all"), 2, "say which SWARM, or --all"),
    ],
)
def test_what_is_wrong_is_one_sentence(swarmops: Command, argv: tuple[str, ...], code: int, said: str) -> None:
    found, out, err = swarmops("state", *argv)
    assert (found, out) == (code, "") and said in err and "Traceback" not in err


def test_snapshots_are_taken_listed_and_restored(swarmops: Command) -> None:
    swarmops("state", "set", "s", '{"a": 1}')
    mark = swarmops("state", "snapshot", "s", "--label", "first", "--json").document("swarmops.snapshot/1")
    swarmops("state", "checkpoint", "s", '{"progress": 0.5}')
    swarmops("state", "checkpoint", "s", "--label", "as it is")
    swarmops("state", "set", "s", '{"a": 2}')
    assert swarmops("state", "restore", "s", "first")[1] == "s: version 3, from first\n"
    _, out, err = swarmops("state", "get", "s")
    assert json.loads(out) == {"a": 1} and err.endswith(f"restored from {mark['id']}\n")
    head, *rows = swarmops("state", "snapshots", "s")[1].splitlines()
    assert head.split() == ["ID", "LABEL", "VERSION", "TAKEN", "BYTES", "BY"] and mark["id"] in rows[0]
    found = swarmops("state", "snapshots", "s", "--checkpoints", "--json").document("swarmops.checkpoints/1")
    assert [m["label"] for m in found["checkpoints"]] == ["as it is", ""]
    states = swarmops("state", "list", "--json").document("swarmops.states/1")["states"]
    assert [(s["name"], s["version"], s["left"]) for s in states] == [("s", 3, None)]
    assert "never" in swarmops("state", "list")[1]


def test_interrupted_swarms_are_listed_and_recovered(swarmops: Command, rt: Runtime) -> None:
    for id in ("s1", "s2", "s3"):
        rt.swarms.create("build", id=id)
        rt.swarms.status(id, "interrupted", "no beat in time")
        rt.state.save(id, {"tasks": {"t1": "done", "t2": "running"}})
    rows = swarmops("state", "interrupted")[1].splitlines()
    assert [row.split()[0] for row in rows] == ["SWARM", "s1", "s2", "s3"] and "no beat in time" in rows[1]
    assert swarmops("state", "recover", "s1") == (
        0,
        "s1: reassign from state, confidence 0.9, 50% done\n  next: give 1 tasks in progress to other agents\n",
        "",
    )
    done = swarmops("state", "recover", "--all", "--json").document("swarmops.recoveries/1")
    assert [(r["swarm"], r["plan"]["requeue"]) for r in done["recoveries"]] == [("s2", ["t2"]), ("s3", ["t2"])]
    assert swarmops("state", "interrupted", "--json").document("swarmops.interrupted/1")["swarms"] == []
    assert swarmops("state", "recover", "--all")[1] == "no swarm waits for a recovery\n"


def test_breakers_are_shown_and_forced(swarmops: Command, rt: Runtime) -> None:
    assert swarmops("breaker", "list")[1].split() == ["TARGET", "STATE", "FAILURES", "LEFT", "TRIPS"]
    assert swarmops("breaker", "open", "npu-1", "--seconds", "60")[1] == "npu-1: open\n"
    for _ in range(5):
        rt.breakers.report("npu-2", False)
    found = swarmops("breaker", "list", "--json").document("swarmops.breakers/1")["breakers"]
    assert [(b["target"], b["state"], b["failures"]) for b in found] == [("npu-2", "open", 5), ("npu-1", "open", 0)]
    assert swarmops("breaker", "show", "npu-2")[1].splitlines()[1].split()[:3] == ["npu-2", "open", "5/5"]
    assert swarmops("breaker", "close", "npu-2")[1] == "npu-2: closed\n"
    assert swarmops("breaker", "close", "npu-2")[1] == "npu-2: closed, as it was\n"
    assert swarmops("breaker", "show", "npu-2", "--json").document("swarmops.breaker/1")["state"] == "closed"
    assert swarmops("breaker", "open", "npu-1", "--seconds", "-1")[0] == 2


def test_the_program_itself_says_that_redis_is_away() -> None:
    env = {**os.environ, "SWARMOPS_REDIS_URL": f"redis://127.0.0.1:{free_port()}"}
    for words in (["state", "list"], ["breaker", "show", "npu-1"]):
        argv = [sys.executable, "-m", "swarmops", *words]
        found = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
        assert (found.returncode, found.stdout) == (3, "") and "refused the connection" in found.stderr
