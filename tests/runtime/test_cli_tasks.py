"""`swarmops task` and `swarmops workflow`: what a person, a script or an agent of any vendor types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.tasks.records import Outcome
from tests.pages import PAGES, blocks
from tests.runtime.commands import Command
from tests.runtime.server import Server


def test_submit_prints_the_id_and_how_to_watch(swarmops: Command, rt: Runtime) -> None:
    """S2-33."""
    said = swarmops("task", "submit", "echo", "--args", '{"n":1}', "--priority", "7", "--needs", "npu,gpu")
    id = said.out.strip()
    assert said.code == 0 and f"swarmops task wait {id}" in said.err
    task = rt.tasks.get(id)
    assert (task.kind, task.args, task.priority, task.needs) == ("echo", {"n": 1}, 7, ("gpu", "npu"))
    body = swarmops("task", "submit", "echo", "--id", id, "--json").json
    assert body["schema"] == "swarmops.submitted/1" and body["id"] == id and body["new"] is False
    assert body["watch"] == f"swarmops task wait {id}"


def test_the_command_itself_answers_quickly(server: Server) -> None:
    argv = [sys.executable, "-m", "swarmops", "task", "submit", "echo"]
    env = {**os.environ, "SWARMOPS_REDIS_URL": server.url}
    times = []
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=100, check=True)
        times.append(time.monotonic() - began)
        assert len(done.stdout.strip()) == 20
    assert min(times) < 10, times


def test_arguments_come_from_a_file_or_stdin_too(swarmops: Command, rt: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "args.json"
    file.write_text('["from", "a file"]')
    assert rt.tasks.get(swarmops("task", "submit", "k", "--args", f"@{file}").out.strip()).args == ["from", "a file"]
    assert rt.tasks.get(swarmops("task", "submit", "k", "--args", "-", stdin='"in"').out.strip()).args == "in"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["submit"], "KIND: is missing"),
        (["submit", "Bad Kind"], "kind: 'Bad Kind' is not a name"),
        (["submit", "k", "--args", "{"], "--args: is not JSON"),
        (["submit", "k", "--args", '{"a":NaN}'], "NaN is not JSON"),
        (["submit", "k", "--args", "@/no/such"], "No such file"),
        (["submit", "k", "--priority", "12"], "priority"),
        (["submit", "k", "--priority", "high"], "not a valid integer"),
        (["submit", "k", "--needs", "a,B!"], "--needs[1]"),
        (["submit", "k", "--timeout", "0"], "timeout"),
        (["submit", "k", "--queue", "a:b"], "queue"),
        (["submit", "k", "--id", "x\ny"], "is not a name"),
        (["submit", "k", "--lines", "x"], "goes without KIND"),
        (["submit", "--lines", "/no/such"], "No such file"),
        (["list", "--status", "lost"], "none of waiting"),
        (["get", "a b"], "is not a name"),
        (["requeue"], "either a task or --all"),
        (["claim", "--worker", "W"], "is not a name"),
        (["claim", "--worker", "w", "--lease", "0"], "--lease"),
        (["complete", "x", "--worker", "w", "--attempt", "1", "--result", "nope"], "--result: is not JSON"),
    ],
    ids=lambda v: " ".join(v).replace("\n", " ") if isinstance(v, list) else "",
)
def test_wrong_input_ends_with_2_and_sends_nothing(swarmops: Command, rt: Runtime, args: list[str], says: str) -> None:
    said = swarmops("task", *args)
    assert said.code == 2 and says in said.err and said.out == ""
    assert len(said.err.strip().splitlines()) <= 4 and "Traceback" not in said.err
    assert rt.tasks.depth().ready == 0


@pytest.mark.parametrize(
    "args", [["get", "nil"], ["cancel", "nil"], ["requeue", "nil"], ["wait", "nil", "--timeout", "0.1"]]
)
def test_what_is_not_there_ends_with_1(swarmops: Command, args: list[str]) -> None:
    said = swarmops("task", *args)
    assert said.code == 1 and "nil" in said.err and len(said.err.splitlines()) == 1


def test_a_worker_made_of_commands(swarmops: Command) -> None:
    """What an agent without Python does: claim, tell how far it is, complete."""
    id = swarmops("task", "submit", "sum", "--args", "[1,2]").out.strip()
    claim = swarmops("task", "claim", "--worker", "shell").json
    assert claim == {"id": id, "attempt": 1, "kind": "sum", "args": [1, 2]}
    assert swarmops("task", "progress", id, "--attempt", "1", "--fraction", "0.5", "--text", "half").code == 0
    assert "half" in swarmops("task", "get", id).out
    assert swarmops("task", "beat", "--worker", "shell", "--holds", id).code == 0
    done = swarmops("task", "complete", id, "--attempt", "1", "--worker", "shell", "--result", '{"sum":3}')
    assert (done.code, done.out) == (0, f"{id} done\n")
    assert swarmops("task", "wait", id).json == {"sum": 3}
    assert swarmops("task", "claim", "--worker", "shell").out == ""


def test_capabilities_and_several_at_once(swarmops: Command) -> None:
    for needs in ("npu", ""):
        swarmops("task", "submit", "k", *(["--needs", needs] if needs else []))
    assert len(swarmops("task", "claim", "--worker", "a", "--want", "9").out.splitlines()) == 1
    body = swarmops("task", "claim", "--worker", "b", "--caps", "npu, gpu", "--want", "9", "--json").json
    assert body["schema"] == "swarmops.claim/1" and len(body["tasks"]) == 1


def test_a_failed_task_is_retried_then_dead_then_requeued(swarmops: Command) -> None:
    id = swarmops("task", "submit", "k", "--retries", "1", "--backoff", "0").out.strip()
    for attempt in ("1", "2"):
        assert swarmops("task", "claim", "--worker", "w").json["attempt"] == int(attempt)
        assert swarmops("task", "fail", id, "--attempt", attempt, "--worker", "w", "--error", "no luck").code == 0
    assert "no luck" in swarmops("task", "dead").out
    waited = swarmops("task", "wait", id)
    assert waited.code == 1 and "dead: no luck" in waited.err
    assert swarmops("task", "requeue", id).out.strip() == id
    assert swarmops("task", "claim", "--worker", "w").json["attempt"] == 3
    assert swarmops("task", "fail", id, "--attempt", "3", "--worker", "w", "--error", "x", "--no-retry").code == 0
    assert swarmops("task", "requeue", "--all", "5", "--json").json["ids"] == [id]
    assert swarmops("task", "purge", "dead").out == "0 forgotten\n"


def test_a_late_or_foreign_result_is_refused_with_1(swarmops: Command) -> None:
    """Case 89."""
    id = swarmops("task", "submit", "k").out.strip()
    swarmops("task", "claim", "--worker", "w")
    other = swarmops("task", "complete", id, "--attempt", "1", "--worker", "thief")
    assert other.code == 1 and "it is held by w" in other.err
    assert swarmops("task", "release", id, "--worker", "w").code == 0
    late = swarmops("task", "complete", id, "--attempt", "1", "--worker", "w")
    assert late.code == 1 and "lease lost" in late.err
    assert swarmops("task", "beat", "--worker", "w", "--holds", id).out == f"lost {id}\n"


def test_submit_and_wait_gives_the_result_or_1(swarmops: Command, rt: Runtime) -> None:
    rt.tasks.submit("k", id="ok")
    rt.tasks.step("w", [Outcome.done(c, [1]) for c in rt.tasks.step("w", want=1).tasks])
    assert swarmops("task", "submit", "k", "--id", "ok", "--wait", "5").json == [1]
    late = swarmops("task", "submit", "k", "--wait", "0.05")
    assert late.code == 1 and "has not ended" in late.err


def test_a_file_of_lines_is_one_call(swarmops: Command, rt: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "many.jsonl"
    file.write_text("".join(f'{{"type":"k","id":"n-{i}","args":{i},"needs":["npu"]}}\n' for i in range(5000)))
    assert swarmops("task", "submit", "--lines", str(file)).out == "5000 accepted, 0 known already\n"
    body = swarmops("task", "submit", "--lines", str(file), "--json").json
    assert (body["new"], body["known"]) == (0, 5000) and rt.tasks.depth().ready == 5000
    assert swarmops("task", "submit", "--lines", "-", stdin='{"type":"k"}\n\n').out.startswith("1 accepted")


def test_a_wrong_line_is_named_and_nothing_is_sent(swarmops: Command, rt: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"type":"k"}\n{"type":"K!"}\n[]\n{"type":"k","prio":1}\n{"type":"k","needs":"x"}\nx\n{}\n')
    said = swarmops("task", "submit", "--lines", str(file))
    assert said.code == 2 and rt.tasks.depth().ready == 0
    *lines, last = said.err.splitlines()
    assert last == "6 faults. Nothing was contacted."
    assert [line.removeprefix(f"{file}:").split(" (")[0] for line in lines] == [
        "2: kind: 'K!' is not a name",
        "3: is not an object",
        "4: has an unknown field 'prio'",
        "5: needs: is not a list of names",
        "6: is not JSON: Expecting value: line 1 column 1",
        "7: kind: None is not a name",
    ]


def test_looking_after_a_queue(swarmops: Command) -> None:
    swarmops("task", "submit", "k", "--id", "now", "--needs", "npu")
    swarmops("task", "submit", "k", "--id", "later", "--delay", "500")
    assert [t["id"] for t in swarmops("task", "list", "--json").json["tasks"]] == ["now", "later"]
    assert [t["id"] for t in swarmops("task", "list", "--json", "--status", "delayed").json["tasks"]] == ["later"]
    body = swarmops("task", "depth", "--json").json
    assert (body["ready"], body["delayed"], body["lanes"]) == (1, 1, {"npu": 1})
    assert "needs npu: 1 ready" in swarmops("task", "depth").out
    assert swarmops("task", "cancel", "later").out == "later cancelled\n"
    assert swarmops("task", "configure", "--limit", "1", "--no-audit", "--json").json["settings"]["limit"] == "1"
    full = swarmops("task", "submit", "k")
    assert full.code == 1 and "queue full (1 of 1)" in full.err


# -- workflows

GOOD = """
workflow: nightly
steps:
  - {name: fetch, kind: get, args: {url: "http://x"}}
  - {name: count, kind: count, after: fetch}
  - {name: mail, kind: mail, after: [fetch, count], retries: 0}
"""


def test_a_workflow_from_a_file(swarmops: Command, rt: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "nightly.yaml"
    file.write_text(GOOD)
    said = swarmops("workflow", "submit", str(file), "--id", "night-1")
    assert said.out == "night-1\n" and "swarmops workflow wait night-1" in said.err
    assert swarmops("workflow", "submit", str(file), "--id", "night-1", "--json").json["new"] is False
    claim = swarmops("task", "claim", "--worker", "w").json
    assert claim["id"] == "night-1-fetch" and claim["workflow"] == "night-1"
    swarmops("task", "complete", claim["id"], "--attempt", "1", "--worker", "w", "--result", '"page"')
    assert swarmops("task", "claim", "--worker", "w").json["parents"] == {"night-1-fetch": "page"}
    shown = swarmops("workflow", "show", "night-1").out
    assert "running, 2 of 3 steps open" in shown and '"page"' in shown
    assert "night-1  nightly  1 of 3" in swarmops("workflow", "list").out
    assert swarmops("workflow", "cancel", "night-1").out == "2 steps cancelled\n"
    waited = swarmops("workflow", "wait", "night-1", "--json")
    assert waited.code == 1 and waited.json["status"] == "cancelled"
    assert swarmops("workflow", "show", "nil").code == 1


def test_a_workflow_may_be_json_and_waited_for(swarmops: Command, rt: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps({"queue": "q2", "steps": [{"name": "a", "kind": "k"}]}))
    late = swarmops("workflow", "submit", str(file), "--id", "w1", "--wait", "0.05")
    assert late.code == 1 and "1 open steps" in late.err
    claims = rt.tasks.step("w", want=1, queue="q2").tasks
    rt.tasks.step("w", [Outcome.done(c) for c in claims], queue="q2")
    assert swarmops("workflow", "wait", "w1", "--queue", "q2").code == 0
    assert "w1  one" in swarmops("workflow", "list", "--queue", "q2").out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps:\n- {name: a, kind: k, after: [b]}\n- {name: b, kind: k, after: [a]}\n", "a -> b -> a"),
        ("steps:\n- {name: a, kind: k, timeot: 3}\n", "did you mean 'timeout'"),
        ("steps: 7\n", "steps is not a list"),
        ("- a\n", "is not a mapping"),
        ("workflow: x\nstep: []\n", "unknown field 'step'"),
        ("steps: [", "."),
        ("steps:\n- {name: a, kind: k}\n- {name: a, kind: k, kind: j}\n", "kind"),
        ("", "is not a mapping"),
    ],
)
def test_a_wrong_file_ends_with_2(swarmops: Command, rt: Runtime, tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    said = swarmops("workflow", "submit", str(file))
    assert said.code == 2 and says in said.err and said.out == "" and "Traceback" not in said.err
    assert rt.workflows.list() == []


def test_all_faults_of_a_file_are_told_with_their_lines(swarmops: Command, rt: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        """\
workflow: Bad Name
quue: x
steps:
  - {name: a, kind: k, after: [b, zz]}
  - {name: b, kind: k, after: [a], prioritty: 3}
  - {name: a, kind: k}
  - name: c
    after: b
    after: a
  - {name: B x, kind: k, priority: 11}
"""
    )
    said = swarmops("workflow", "submit", str(file))
    assert said.code == 2 and said.out == ""
    *lines, last = said.err.splitlines()
    assert last == "10 faults. Nothing was contacted."
    assert [line.removeprefix(f"{file}:").split(" (")[0] for line in lines] == [
        "1:11: workflow: 'Bad Name' is not a name",
        "2:1: has an unknown field 'quue'",
        "4:24: a.after: steps wait for each other: a -> b -> a",
        "4:35: a.after: there is no step 'zz'",
        "5:36: steps[1]: has an unknown field 'prioritty'",
        "6:6: steps[2].name: a is the name of steps[0] too",
        "7:5: steps[3]: lacks kind",
        "9:5: the key 'after' is given twice",
        "10:6: steps[4].name: 'B x' is not a name",
        "10:26: steps[4].priority: '11' is not a number from 0 to 9",
    ]
    assert rt.workflows.list() == []


def test_the_workflow_of_the_documentation_is_one(swarmops: Command, tmp_path: Path) -> None:
    page = next(p for p in PAGES if p.name == "workflows.md")
    text = next(b.text for b in blocks(page) if b.text.startswith("workflow:"))
    file = tmp_path / "doc.yaml"
    file.write_text(text)
    assert swarmops("workflow", "submit", str(file), "--id", "doc").code == 0
    assert "4 of 4 steps open" in swarmops("workflow", "show", "doc").out


def test_a_redis_that_is_away_ends_with_3(monkeypatch: pytest.MonkeyPatch, swarmops: Command) -> None:
    monkeypatch.setenv("SWARMOPS_REDIS_URL", "redis://127.0.0.1:1")
    said = swarmops("task", "depth")
    assert said.code == 3 and "refused the connection" in said.err
