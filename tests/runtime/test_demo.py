"""S3-65: the demo ends with 0 lost, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.op import command
from tests.runtime.server import Server
from tests.runtime.test_cli_redis import swarmops


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


def test_nothing_is_lost_and_nothing_is_left(folder: Path) -> None:
    said = swarmops("demo-swarm", "--json", "--tasks", "60", TMPDIR=str(folder))
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["lost"] == 0 and found["accepted"] == found["ended"] > 60
    for words in ("leads (term", "least_loaded", "killed with", "is refused", "recovered from its snapshot"):
        assert words in said.stderr, said.stderr
    assert list(folder.iterdir()) == [] and ours(folder) == []


def test_a_redis_of_others_is_left_as_it_was(server: Server) -> None:
    with Runtime(server.settings) as rt:
        rt.run(command("theirs", "SET", "theirs", "1"))
        said = swarmops("demo-swarm", "--redis", server.url, "--tasks", "20")
        assert said.returncode == 0 and said.stdout.splitlines()[-1].startswith("0 lost"), said.stderr
        assert rt.run(command("x", "KEYS", "*")) == [b"theirs"]


def test_ctrl_c_ends_everything(folder: Path) -> None:
    env = {**os.environ, "TMPDIR": str(folder)}
    argv = [sys.executable, "-m", "swarmops", "demo-swarm", "--tasks", "10000"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=env, stdout=pipe, stderr=pipe, text=True) as demo:
        assert demo.stdout
        while "leads" not in demo.stdout.readline():
            assert demo.poll() is None
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 130
    end = time.monotonic() + 10
    while (left := ours(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == [] and list(folder.iterdir()) == []
