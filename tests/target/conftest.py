"""What the tests of the target share: this machine as a host, and Redis servers of a test's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarmops.target.system import System
from tests.conftest import lacking
from tests.target.harness import Here
from tests.target.looking import Redis
from tests.target.sending import SocketRedis


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path / "state")


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(state=str(tmp_path / "state"))


@pytest.fixture
def redis_at(tmp_path: Path) -> Iterator[Callable[..., Redis]]:
    """Makes servers that listen on loopback: redis_at(*options)."""
    if not shutil.which("redis-server"):
        lacking("redis-server is not installed (apt install redis-server)")
    started = []

    def start(*options: str) -> Redis:
        folder = tmp_path / f"redis{len(started)}"
        folder.mkdir()
        started.append(Redis(folder, *options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a unix socket's path."""
    path = Path(subprocess.check_output(["mktemp", "-d", "/tmp/bk.XXXXXX"], text=True).strip())
    yield path
    shutil.rmtree(path)


@pytest.fixture
def redis(folder: Path) -> Iterator[SocketRedis]:
    """A server that listens on a unix socket."""
    server = SocketRedis(folder)
    yield server
    server.stop()
