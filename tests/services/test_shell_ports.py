"""Commands that declare TCP ports connect to these alone, and listen on none."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from swarmops.runtime import Runtime
from swarmops.workers.shell.leash import FOR_PORTS, version
from tests.conftest import lacking
from tests.services.programs import WorkerProgram

# In bash, which comes with sockets of its own, so that no Python must be readable.
CONNECT = ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$0 && echo through"]


@pytest.fixture
def door() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_command_connects_where_it_may(worker: Callable[..., WorkerProgram], rt: Runtime, door: int) -> None:
    if version() < FOR_PORTS:
        lacking(f"this kernel has no Landlock of version {FOR_PORTS} or newer")
    by_ports = {"anywhere": None, "nowhere": [], "there": [door], "elsewhere": [door % 65535 + 1]}
    commands = {
        name: {"argv": [*CONNECT, str(door)], **({} if ports is None else {"ports": ports})}
        for name, ports in by_ports.items()
    }
    commands["listens"] = {
        "argv": ["python3", "-ISc", "import socket; socket.create_server(('127.0.0.1', 0))"],
        "ports": [door],
    }
    worker("shell", {"commands": commands})
    said = {name: rt.tasks.submit_and_wait("shell", {"command": name}, timeout=60) for name in commands}
    assert {name: result["stdout"] for name, result in said.items()} == {
        "anywhere": "through\n",
        "there": "through\n",
        "nowhere": "",
        "elsewhere": "",
        "listens": "",
    }
    assert all("denied" in said[name]["stderr"] for name in ("nowhere", "elsewhere", "listens")), said


def test_what_is_no_list_of_ports_is_refused(worker: Callable[..., WorkerProgram]) -> None:
    one = worker("shell", {"commands": {"x": {"argv": ["cat"], "ports": [0]}}}, healthy=False)
    assert one.process and one.process.wait(30) == 2
    assert "options.commands.x.ports: is not a list of ports" in one.said
