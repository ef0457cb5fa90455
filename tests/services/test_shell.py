"""The executor `shell` as a process: an allow-list, folders of their own, and an end of all that was begun."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.tasks import TaskFailed
from swarmops.workers.shell.leash import LEAST, version
from tests.conftest import lacking
from tests.pages import PAGES, blocks
from tests.services.programs import WorkerProgram
from tests.waiting import until

SH = {
    "sh": {"argv": ["sh", "-c"], "args": {"most": 2, "match": "(?s).*"}, "timeout": 20},
    "cat": {"argv": ["cat"]},
    "strict": {"argv": ["sh", "-c", "echo no luck >&2; exit 3"], "check": True},
    "slow": {"argv": ["sh", "-c", "sleep 100 & sleep 100"], "timeout": 0.5},
    "leaves": {
        "argv": ["sh", "-c", "mkdir out; echo kept > out/a.txt; ln -s /etc/passwd out/b.txt"],
        "files": ["out/*"],
    },
    "words": {"argv": ["wc", "-w"], "args": {"most": 1, "match": "[a-z]+[.]txt"}},
}
SECRET = {
    "secret": {"argv": ["sh", "-c", "echo $KEY; env"], "secrets": {"KEY": "key.txt"}, "env": {"COLOUR": "red"}},
}
PATIENT = 60.0  # seconds, on a machine with much else to do
Ask = Callable[..., Any]


@pytest.fixture
def one(worker: Callable[..., WorkerProgram]) -> WorkerProgram:
    if version() < LEAST:
        lacking(f"this kernel has no Landlock of version {LEAST} or newer")
    return worker("shell", {"commands": SH | SECRET}, files={"home/key.txt": "s3cret\n"})


@pytest.fixture
def ask(one: WorkerProgram, rt: Runtime) -> Ask:
    def ask(command: str, *args: str, retries: int = 0, **more: Any) -> Any:
        said = {"command": command, "args": list(args), **more}
        return rt.tasks.submit_and_wait("shell", said, needs=["shell"], retries=retries, timeout=60)

    return ask


def alive(word: str) -> list[int]:
    """Processes with this word in their environment or arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and word.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_command_gets_stdin_and_gives_its_output(ask: Ask, rt: Runtime) -> None:
    result = ask("cat", stdin="héllo\n")
    assert result["exit"] == 0 and result["stdout"] == "héllo\n" and result["stderr"] == "" and not result["truncated"]
    ref = rt.contexts.store("from the store").ref
    assert ask("cat", stdin={"ref": ref})["stdout"] == "from the store"
    said = ask("sh", "echo out; echo err >&2; exit 3")
    assert (said["exit"], said["stdout"], said["stderr"]) == (3, "out\n", "err\n")


def test_only_what_is_allowed_runs_and_all_mistakes_are_said_at_once(ask: Ask) -> None:
    with pytest.raises(TaskFailed, match=r"'rm' is not allowed here .allowed: cat, "):
        ask("rm", "-rf")
    with pytest.raises(TaskFailed) as e:
        ask("words", "-x", "b.txt", sdtin="x")
    for part in ("takes at most 1, these are 2", "'-x' does not fit", "sdtin: is not known (did you mean 'stdin'?)"):
        assert part in str(e.value)
    with pytest.raises(TaskFailed, match="cat takes none, these are 1"):
        ask("cat", "/etc/passwd")
    with pytest.raises(TaskFailed, match="exit code 3: no luck"):
        ask("strict")


def test_tasks_have_folders_of_their_own_and_cannot_touch_others(ask: Ask, one: WorkerProgram) -> None:
    first = ask("sh", "pwd; echo mine > mine; ls -ld . | cut -c1-10; umask")
    place, mode, umask = first["stdout"].split()
    assert Path(place).is_relative_to(one.home / "tasks") and mode == "drwx------" and umask == "0077"
    there = str(one.home / "tasks")
    tries = [
        f"echo x > {place}/mine",  # S2-35
        f"rm {place}/mine",
        f"cat {place}/mine",
        f"ls {there}",
        f"echo x > {one.home}/new",
        "echo x > /tmp/new",
        f"truncate -s 0 {place}/mine",
        f"ln {place}/mine here",
        f"kill -9 {one.pid}",
        f"cat /proc/{one.pid}/environ",
        f"cat {one.file}",
    ]
    for what in tries:
        result = ask("sh", what)
        assert result["exit"] != 0 and re.search("denied|permitted|cross-device", result["stderr"]), (what, result)
    assert (Path(place) / "mine").read_text() == "mine\n"
    assert one.process and one.process.poll() is None


def test_results_lie_beside_the_folder_where_the_command_cannot_reach_them(ask: Ask, rt: Runtime) -> None:
    result = ask("leaves")
    assert list(result["files"]) == ["out/a.txt"]  # the link to elsewhere is not followed
    assert rt.contexts.read(result["files"]["out/a.txt"]["ref"]) == b"kept\n"
    place = Path(ask("sh", "pwd")["stdout"].strip()).parent
    until((place / "result.json").exists)
    assert json.loads((place / "result.json").read_text())["exit"] == 0
    assert sorted(p.name for p in place.iterdir()) == ["output.log", "result.json", "work"]


def test_big_output_goes_to_the_context_store_and_has_a_bound(
    worker: Callable[..., WorkerProgram], rt: Runtime
) -> None:
    many = {"argv": [sys.executable, "-c", "print('x' * 300000)"], "read": [sys.prefix, sys.base_prefix]}
    options = {"commands": {"many": many}, "limits": {"output": 200_000, "inline": 1000}}
    worker("shell", options)
    result = rt.tasks.submit_and_wait("shell", {"command": "many"}, timeout=60)
    assert result["exit"] == 0, result["stderr"]
    assert len(result["stdout"]) == 1000 and result["stdout_bytes"] == 300_001 and result["truncated"]
    assert len(rt.contexts.read(result["stdout_ref"])) == 200_000


def test_output_is_told_as_progress_and_a_cancelled_task_leaves_nothing(ask: Ask, rt: Runtime) -> None:
    script = "echo first; sleep 0.6; echo second; setsid sleep 97 & sleep 98"
    id = rt.tasks.submit("shell", {"command": "sh", "args": [script]}, retries=0).id
    first = until(lambda: rt.tasks.get(id).progress, within=PATIENT)
    assert "tail -f " in first["text"] or "first" in first["text"]
    until(lambda: "second" in (rt.tasks.get(id).progress or {}).get("text", ""), within=PATIENT)
    until(lambda: len(alive(f"SWARMOPS_TASK={id}")) >= 2, within=PATIENT)
    rt.tasks.cancel(id)
    until(lambda: not alive(f"SWARMOPS_TASK={id}"), within=PATIENT)  # also the one in a session of its own


def test_the_time_of_a_command_is_limited(ask: Ask, rt: Runtime) -> None:
    with pytest.raises(TaskFailed, match=r"slow was ended after 0\.5 s"):
        ask("slow")
    id = rt.tasks.list("dead")[0].id
    assert not alive(f"SWARMOPS_TASK={id}")


def test_secrets_come_from_files_and_nothing_of_the_worker_is_inherited(ask: Ask, one: WorkerProgram) -> None:
    said = ask("secret")["stdout"]
    assert said.startswith("s3cret\n") and "COLOUR=red" in said and "SWARMOPS_REDIS_URL" not in said
    assert "s3cret" not in one.said


def test_a_worker_that_was_killed_leaves_nothing_behind_when_it_is_back(
    worker: Callable[..., WorkerProgram], rt: Runtime
) -> None:
    first = worker("shell", {"commands": SH}, lease=0.6)
    id = rt.tasks.submit("shell", {"command": "sh", "args": ["setsid sleep 96 & sleep 95"]}).id
    until(lambda: len(alive(f"SWARMOPS_TASK={id}")) >= 2, within=PATIENT)
    first.process.kill()  # type: ignore[union-attr]
    first.process.wait()  # type: ignore[union-attr]
    first.start()
    until(lambda: "left over from before" in first.said, within=PATIENT)
    rt.tasks.cancel(id)
    until(lambda: not alive(f"SWARMOPS_TASK={id}"), within=PATIENT)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run commands as another user")
def test_root_runs_commands_as_another_user(worker: Callable[..., WorkerProgram], rt: Runtime) -> None:
    one = worker("shell", {"commands": SH, "user": "nobody"})
    one.place.chmod(0o711)
    result = rt.tasks.submit_and_wait(
        "shell", {"command": "sh", "args": ["id -un; id -G; pwd; echo x > here"]}, timeout=30
    )
    name, groups, place = result["stdout"].split()
    assert name == "nobody" and len(groups.split()) == 1 and result["exit"] == 0
    assert (Path(place) / "here").stat().st_mode & 0o777 == 0o600


def test_mistakes_in_options_are_said_at_once(worker: Callable[..., WorkerProgram]) -> None:
    bad = {
        "commands": {
            "x": {"argv": ["no-such-program"]},
            "y": {"agrv": []},
            "z": {"argv": ["cat"], "args": {"match": "("}},
        },
        "user": "no-such-user",
        "limits": {"output": 5},
    }
    one = worker("shell", bad, healthy=False)
    assert one.process and one.process.wait(30) == 2
    lines = one.said.splitlines()
    for part in (
        "options.commands.x.argv[0]: 'no-such-program' is not a program here",
        "options.commands.y.argv: is missing",
        "options.commands.y.agrv: is not known (did you mean 'argv'?)",
        "options.commands.z.args",
        "options.user: there is no user 'no-such-user'",
        "options.limits.output: '5' is not a number from 1024",
    ):
        assert any(part in line and str(one.file) in line for line in lines), (part, one.said)
    assert "Traceback" not in one.said


@pytest.fixture
def agent_script() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "agent"


def test_folders_of_ended_tasks_are_removed(worker: Callable[..., WorkerProgram], rt: Runtime) -> None:
    one = worker("shell", {"commands": SH, "keep": 0})
    rt.tasks.submit_and_wait("shell", {"command": "cat"}, timeout=30)
    assert one.end() == 0
    time.sleep(0.01)
    one.start()
    until(lambda: not list((one.home / "tasks").iterdir()), within=PATIENT)


def test_the_agent_of_the_documentation(worker: Callable[..., WorkerProgram], rt: Runtime, agent_script: Path) -> None:
    """docs/executors.md: its script and its configuration do what it says."""
    page = next(p for p in PAGES if p.name == "executors.md")
    parts = [b for b in blocks(page) if "tiny" in b.text or b.language == "sh"]
    options = json.loads(next(b.text for b in parts if b.language == "json"))["options"]
    agent_script.write_text(next(b.text for b in parts if b.language == "sh"))
    agent_script.chmod(0o755)
    options["commands"]["agent"] |= {"argv": [str(agent_script)], "read": [str(agent_script.parent)]}
    worker("shell", options)
    asked = {"command": "agent", "args": ["poems"], "stdin": "a b c"}
    result = rt.tasks.submit_and_wait("shell", asked, needs=["shell"], timeout=60)
    assert result["stdout"] == "thinking about poems\ndone\n" and result["exit"] == 0
    assert rt.contexts.read(result["files"]["answer/report.md"]["ref"]) == b"# poems: 3 words\n"
    assert result["files"]["answer/report.md"]["bytes"] == 17


def test_limits_hold_and_a_command_that_dies_is_tried_again_then_reported(
    worker: Callable[..., WorkerProgram], rt: Runtime
) -> None:
    limits = {"memory": 1 << 30, "open_files": 64, "file_size": 1 << 20, "processes": 5000, "cpu_seconds": 9}
    worker("shell", {"commands": SH, "limits": limits})
    told = {
        "command": "sh",
        "args": ["ulimit -v; ulimit -n; ulimit -c; ulimit -t; head -c 2000000 /dev/zero > big; wc -c big"],
    }
    said = rt.tasks.submit_and_wait("shell", told, timeout=60)["stdout"].split()
    assert said[:4] == ["1048576", "64", "0", "9"] and said[4] == "1048576"
    dies = {"command": "sh", "args": ["echo last words >&2; kill -9 $$"]}
    with pytest.raises(TaskFailed, match="sh was ended by signal 9: last words"):
        rt.tasks.submit_and_wait("shell", dies, retries=1, backoff=0.05, timeout=60)
    dead = rt.tasks.dead()[0]
    assert dead.attempt == 2 and dead.error and "last words" in dead.error
