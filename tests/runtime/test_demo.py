"""S3-65: the demo ends with 0 lost, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.demo.processes import Broken, Processes
from swarmops.runtime.demo.story import Story
from swarmops.runtime.op import command
from tests.runtime.groups import Cluster, ask
from tests.runtime.server import Server, free_port, modern
from tests.runtime.test_cli_redis import swarmops
from tests.runtime.test_tls import Secured
from tests.waiting import until


def ours(folder: Path) -> list[str]:
    """Processes that were told of `folder`: Redis by its command line, workers by their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in said and int(process.name) != os.getpid():
            found.append(said.replace(b"\0", b" ")[:200].decode("utf-8", "replace"))
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: the path of a Unix socket has at most 107 bytes, and pytest's own folders are deep."""
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        yield Path(name)


def astray(folder: Path, url: str) -> dict[str, str]:
    """An environment that names another Redis in every way there is."""
    runtime = folder / "theirs.json"
    runtime.write_text(json.dumps({"url": f"{url}/5", "namespace": "live"}))
    host, _, port = url.removeprefix("redis://").partition(":")
    more = {"REDIS_HOST": host, "REDIS_PORT": port, "REDIS_DB": "7"}
    return {"SWARMOPS_RUNTIME": str(runtime), "SWARMOPS_REDIS_URL": f"{url}/3", "SWARMOPS_NAMESPACE": "live", **more}


def commands(rt: Runtime) -> int:
    """How many this server has taken until now."""
    said = dict(line.split(b":", 1) for line in rt.run(command("x", "INFO", "stats")).split() if b":" in line)
    return int(said[b"total_commands_processed"])


def test_nothing_is_lost_and_nothing_is_left(rt: Runtime, server: Server, folder: Path, tmp_path: Path) -> None:
    """Neither here nor in the Redis that the environment names: that one sees no command."""
    before = commands(rt)
    said = swarmops("demo-swarm", "--json", "--tasks", "60", TMPDIR=str(folder), **astray(tmp_path, server.url))
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["lost"] == 0 and found["accepted"] == found["ended"] > 60
    for words in ("leads (term", "least_loaded", "killed with", "is refused", "recovered from its snapshot"):
        assert words in said.stderr, said.stderr
    assert commands(rt) == before + 1  # the count itself
    assert list(folder.iterdir()) == [] and ours(folder) == []


def test_a_redis_of_others_is_left_as_it_was(server: Server) -> None:
    with Runtime(server.settings) as rt:
        rt.run(command("theirs", "SET", "theirs", "1"))
        said = swarmops("demo-swarm", "--redis", server.url, "--tasks", "20")
        assert said.returncode == 0 and said.stdout.splitlines()[-1].startswith("0 lost"), said.stderr
        assert rt.run(command("x", "KEYS", "*")) == [b"theirs"]


@modern
def test_its_processes_know_of_the_given_redis(
    rt: Runtime, server: Server, own_server: Callable[..., Server], folder: Path, tmp_path: Path
) -> None:
    """One with a password, TLS, a client certificate and another database, and the environment names another."""
    password = tmp_path / "pass"
    password.write_text("s3cret\n")
    there = Secured(own_server, tmp_path)
    with Runtime(there.settings.but(db=9)) as given:
        given.run(command("theirs", "SET", "theirs", "1"))
        given.run(command("x", "CONFIG", "SET", "requirepass", "s3cret"))
    where = f"rediss://127.0.0.1:{there.settings.port}/9"
    url = f"{where}?password_file={password}&ca={there.ca}&cert={there.cert}&key={there.key}"
    before = commands(rt)
    env = astray(tmp_path, server.url) | {"TMPDIR": str(folder)}
    said = swarmops("demo-swarm", "--redis", url, "--tasks", "20", **env)
    assert said.returncode == 0 and "0 lost" in said.stdout, said.stderr
    assert commands(rt) == before + 1
    with Runtime(there.settings.but(db=9, password="s3cret")) as given:
        assert given.run(command("x", "KEYS", "*")) == [b"theirs"]
    assert list(folder.iterdir()) == [] and ours(folder) == []


@modern
def test_on_a_cluster_every_node_is_left_empty(tmp_path: Path) -> None:
    with Cluster(tmp_path) as three:
        nodes = ",".join(f"127.0.0.1:{s.port}" for s in three.servers)
        said = swarmops("demo-swarm", "--redis", f"redis+cluster://{nodes}", "--tasks", "20")
        assert said.returncode == 0 and "0 lost" in said.stdout, said.stderr
        assert [ask(s, "DBSIZE") for s in three.servers] == [0, 0, 0]


def test_a_process_that_ends_at_once_says_why(server: Server) -> None:
    wrong = server.settings.but(port=free_port(), patience=0)
    with Processes(wrong) as processes:
        assert (processes.folder / "runtime.json").stat().st_mode & 0o777 == 0o600
        processes.start("worker-0", "swarmops", "worker", "--handlers", "no.such:thing")
        with pytest.raises(Broken, match=r"^worker-0 ended with 2: handlers: there is no module 'no'"):
            until(processes.look, "its end")
    assert not processes.folder.exists()
    with Runtime(server.settings) as rt:
        story = Story(rt, lambda line: None)
        with story.processes:
            story.processes.start("c", "swarmops.runtime.demo.no_such_module")
            with pytest.raises(Broken, match=r"c ended with 1: .*no_such_module"):
                story._until(lambda: None, 30, "a leader")


def test_what_was_killed_on_purpose_is_not_missed(server: Server) -> None:
    with Processes(server.settings) as processes:
        processes.start("c", "swarmops.runtime.demo.coordinator", "c", "1")
        with Runtime(server.settings) as rt:
            until(rt.leader.who, "a leader")
        processes.kill("c")
        processes.look()


def test_a_redis_that_is_away_is_told_at_once() -> None:
    said = swarmops("demo-swarm", "--redis", f"redis://127.0.0.1:{free_port()}")
    assert said.returncode == 3 and "refused the connection" in said.stderr and len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything(folder: Path, which: signal.Signals) -> None:
    env = {**os.environ, "TMPDIR": str(folder)}
    argv = [sys.executable, "-m", "swarmops", "demo-swarm", "--tasks", "10000"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=env, stdout=pipe, stderr=pipe, text=True) as demo:
        assert demo.stdout
        while "leads" not in demo.stdout.readline():
            assert demo.poll() is None
        demo.send_signal(which)
        assert demo.wait(60) == 130
    until(lambda: not ours(folder), "the end of all that it started")
    assert list(folder.iterdir()) == []


def test_a_leader_that_recovers_first_is_no_failure(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The health duty may see the broken swarm before the demo asks."""
    rt.swarms.create("the demo's alpha", id="alpha")
    recover = rt.state.recover

    def late(swarm: str) -> object:
        assert recover(swarm, by="coordinator-1").recovered
        return recover(swarm)

    monkeypatch.setattr(rt.state, "recover", late)
    told: list[str] = []
    Story(rt, told.append).recovery()
    assert "recovered from its snapshot" in told[0] and "active again" in told[0]
