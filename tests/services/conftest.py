"""Services as they run: processes of `swarmops` with a real Redis. Without redis-server: skipped, in CI failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import Runtime
from tests.conftest import lacking
from tests.runtime.conftest import own_server, rt, server, shared_server, swarmops  # noqa: F401 - fixtures
from tests.runtime.server import PROGRAM, Server
from tests.services.agents import PAGE, QUICK
from tests.services.coordinator import Coordinator
from tests.services.programs import Program, WorkerProgram


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/services/" in item.nodeid:
            item.add_marker(pytest.mark.runtime)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis for one file, which nobody empties between its tests."""
    if PROGRAM is None:
        lacking("no redis-server on PATH (apt install redis-server)")
    with Server(tmp_path_factory.mktemp("redis")) as one:
        yield one


@pytest.fixture
def runtime(redis: Server) -> Iterator[Runtime]:
    """On the Redis of this file."""
    with Runtime(redis.settings) as one:
        yield one


@pytest.fixture(scope="module")
def api(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """A coordinator for remote agents, which it misses soon. Whatever they say, no fault of ours comes of it."""
    coordinator = Coordinator(tmp_path_factory.mktemp("api"), redis, agents=QUICK, origins=[PAGE]).start()
    yield coordinator
    said = coordinator.said
    coordinator.close()
    assert "Traceback" not in said, said[-3000:]


@pytest.fixture
def programs(server: Server, tmp_path: Path) -> Iterator[Callable[..., Program]]:  # noqa: F811
    """Starts `swarmops ARGS` on the shared Redis: programs("api", "--config", F, health=URL) -> Program."""
    made: list[Program] = []

    def start(*args: str, **more: Any) -> Program:
        environment = {"SWARMOPS_REDIS_URL": server.url, **more.pop("environment", {})}
        made.append(Program(tmp_path / f"program-{len(made)}.log", args, environment=environment, **more))
        return made[-1].start()

    yield start
    for one in made:
        one.close()


@pytest.fixture
def worker(server: Server, tmp_path: Path) -> Iterator[Callable[..., WorkerProgram]]:  # noqa: F811
    """Starts worker processes on the shared Redis: worker("shell", {its options}) -> WorkerProgram, which is healthy.

    More of the configuration by keyword (tokens=, concurrency=); redis=URL is another Redis, user=UID another user,
    healthy=False returns at once.
    """
    made: list[WorkerProgram] = []

    def start(role: str, options: dict[str, Any] | None = None, **more: Any) -> WorkerProgram:
        redis = more.pop("redis", server.url)
        made.append(WorkerProgram(tmp_path / f"worker-{len(made)}", role, options or {}, redis, **more))
        return made[-1].start()

    yield start
    for one in made:
        one.close()
