"""A real Redis for every test of the runtime. On a laptop without redis-server they are skipped, in CI they fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.op import Op
from tests.conftest import lacking
from tests.runtime.commands import Command, in_process
from tests.runtime.server import PROGRAM, SURE, Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/runtime/" in item.nodeid:
            item.add_marker(pytest.mark.runtime)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if PROGRAM is None:
        lacking("no redis-server on PATH (apt install redis-server)")
    folder = tmp_path_factory.mktemp("redis")
    if port := os.environ.get("SWARMOPS_TEST_PORT"):  # somebody watches one, see other_versions.py
        yield Server(folder, port=int(port))
        return
    with Server(folder) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The shared server, emptied. Do not stop it: start one of your own for that."""
    with Runtime(shared_server.settings) as rt:
        rt.run(Op("", ("x",), ("FLUSHALL",)))
    return shared_server


@pytest.fixture
def rt(server: Server) -> Iterator[Runtime]:
    """A synchronous runtime on an empty Redis."""
    with Runtime(server.settings) as runtime:
        yield runtime


@pytest.fixture
def term(rt: Runtime) -> int:
    """The term of a leader, elected for the test."""
    return rt.leader.campaign("boss", 60_000).term


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers that the test may kill and stop: own_server(*options). Without options they lose no write."""
    made: list[Server] = []

    def make(*options: str, **more: Any) -> Server:
        made.append(Server(tmp_path / f"redis-{len(made)}", *(options or SURE), **more))
        return made[-1].start()

    yield make
    for one in made:
        one.close()


@pytest.fixture
def swarmops(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command on the shared server: swarmops("task", "get", "x") -> Said(code, out, err)."""
    monkeypatch.setenv("SWARMOPS_REDIS_URL", server.url)
    return in_process(monkeypatch, capsys)
