"""`swarmops agent`, `swarmops swarm` and `swarmops leader`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from swarmops.runtime import Runtime
from tests.runtime.commands import Command
from tests.runtime.server import Server, free_port


def environment(url: str) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if "REDIS" not in k}, "SWARMOPS_REDIS_URL": url}


def test_an_agent_from_registration_to_removal(swarmops: Command) -> None:
    code, out, _ = swarmops(
        "agent", "register", "a", "-c", "gpu", "-c", "npu", "--no-detect", "--metadata", '{"x":"\\u001b"}'
    )
    assert (code, out) == (0, "a registered\n")
    assert swarmops("agent", "register", "b", "--parent", "a", "--heartbeat", "5", "--json")[0] == 0
    code, out, _ = swarmops("agent", "beat", "b", "--load", "3", "--status", "busy")
    assert code == 0 and "dead in 15 s" in out
    code, out, _ = swarmops("agent", "list")
    lines = out.splitlines()
    assert lines[0].split() == ["id", "health", "status", "load", "capabilities", "parent"]
    assert lines[1].split() == ["a", "alive", "idle", "0", "gpu,npu"] and lines[2].split()[:4] == [
        "b",
        "alive",
        "busy",
        "3",
    ]
    found = json.loads(swarmops("agent", "find", "gpu", "npu", "--json")[1])
    assert found["schema"] == "swarmops.agents/1" and [a["id"] for a in found["agents"]] == ["a"]
    code, out, _ = swarmops("agent", "find", "tpu")
    assert (code, out) == (1, "")
    shown = json.loads(swarmops("agent", "show", "b", "--json")[1])
    assert shown["parent"] == "a" and shown["facts"]["cpu_cores"] >= 1
    assert "\x1b" not in swarmops("agent", "show", "a")[1], "case 94"
    assert swarmops("agent", "remove", "a")[1] == "removed a, b\n"
    code, _, err = swarmops("agent", "show", "a")
    assert code == 1 and "no agent a is registered" in err


def test_a_swarm_from_creation_to_the_archive(swarmops: Command) -> None:
    code, id, _ = swarmops("swarm", "create", "Find\nout", "--strategy", "research", "--tag", "x", "--phase", "plan")
    id = id.strip()
    assert code == 0 and len(id) == 20
    assert swarmops("swarm", "status", id)[1] == "initializing\n"
    assert swarmops("swarm", "status", id, "active", "--why", "go")[1] == "initializing -> active\n"
    code, _, err = swarmops("swarm", "status", id, "recovering")
    assert code == 1 and f"{id} is active, from there it can become" in err
    listed = swarmops("swarm", "list", "--status", "active", "--phase", "plan")[1].splitlines()
    assert len(listed) == 2 and listed[1].split()[:3] == [id, "active", "research"] and listed[1].endswith("Find\\nout")
    assert json.loads(swarmops("swarm", "list", "--mode", "hierarchical", "--json")[1])["swarms"] == []
    assert (
        swarmops("swarm", "limit")[1] == "1 of at most 100\n"
        and swarmops("swarm", "limit", "1")[1] == "1 of at most 1\n"
    )
    code, _, err = swarmops("swarm", "create", "another")
    assert code == 1 and "there are 1 swarms of at most 1" in err
    assert json.loads(swarmops("swarm", "show", id, "--json")[1])["metadata"]["tags"] == ["x"]
    assert swarmops("swarm", "remove", id, "--reason", "done")[0] == 0
    assert json.loads(swarmops("swarm", "show", id, "--json")[1])["reason"] == "done"
    assert id in swarmops("swarm", "archive")[1] and swarmops("swarm", "list")[1] == ""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("agent", "register", "a:b"), "id: 'a:b' is not a name"),
        (("agent", "register", "a", "--metadata", "{"), "--metadata: is not JSON"),
        (("agent", "register", "a", "--metadata", "[]"), "metadata: is not an object"),
        (("agent", "beat", "a", "--load", "-1"), "load: '-1' is not a number"),
        (("swarm", "create", "x", "--strategy", "chaos"), "strategy: 'chaos' is none of development, research, devops"),
        (("swarm", "create", "x", "--metadata", "7"), "--metadata: is not an object"),
        (("swarm", "list", "--status", "done"), "status: 'done' is none of"),
        (("leader", "campaign", "a\nb"), r"id: 'a\nb' is not a name"),
        (("leader", "campaign", "a", "--lease", "0"), "lease: "),
    ],
)
def test_wrong_input_ends_with_2_and_one_sentence(swarmops: Command, args: tuple[str, ...], words: str) -> None:
    code, out, err = swarmops(*args)
    assert code == 2 and out == "" and words in err and "Traceback" not in err


def test_leadership_shown_taken_and_resigned(swarmops: Command, rt: Runtime) -> None:
    assert swarmops("leader", "show")[:2] == (1, "nobody leads\n")
    took = json.loads(swarmops("leader", "campaign", "a", "--lease", "60", "--json")[1])
    assert took["leading"] and took["holder"] == "a"
    code, out, _ = swarmops("leader", "campaign", "b")
    assert code == 1 and out.startswith(f"a leads, term {took['term']}, ")
    assert json.loads(swarmops("leader", "show", "--json")[1])["leader"]["term"] == took["term"]
    code, _, err = swarmops("leader", "resign", "b", str(took["term"]))
    assert code == 1 and "a leads, not b" in err
    assert swarmops("leader", "resign", "a", str(took["term"]))[0] == 0 and rt.leader.who() is None


def test_what_is_held_is_given_back_at_sigterm(server: Server, rt: Runtime) -> None:
    held = (
        ("leader", "campaign", "a", "--hold", "--lease", "30", "--json"),
        ("agent", "register", "a", "--hold", "--no-detect", "--json"),
    )
    ran = []
    for args in held:
        argv = [sys.executable, "-m", "swarmops", *args]
        pipe = subprocess.PIPE
        ran.append(subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=environment(server.url)))
    for one, words in zip(ran, ("leads, term", "beats until")):
        assert one.stderr and words in one.stderr.readline()
    assert rt.leader.who() and len(rt.agents.list()) == 1
    for one in ran:
        os.kill(one.pid, signal.SIGTERM)
    told = [json.loads(one.communicate(timeout=30)[0]) for one in ran]
    assert [one.returncode for one in ran] == [0, 0] and len(told[0]["terms"]) == 1 and told[1]["id"] == "a"
    assert rt.leader.who() is None and rt.agents.list() == []


@pytest.mark.parametrize("args", [("leader", "campaign", "a", "--hold"), ("agent", "register", "a", "--hold")])
def test_nobody_there_ends_with_3(args: tuple[str, ...]) -> None:
    argv = [sys.executable, "-m", "swarmops", *args]
    url = f"redis://127.0.0.1:{free_port()}"
    done = subprocess.run(argv, capture_output=True, text=True, env=environment(url), timeout=60)
    assert done.returncode == 3 and "refused the connection" in done.stderr and "Traceback" not in done.stderr
