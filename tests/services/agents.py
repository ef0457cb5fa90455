"""What tests of remote agents share: quick times, a hand-made WebSocket agent, agent processes that may be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.services.coordinator import Coordinator
from tests.services.programs import ROOT

PAGE = "http://dashboard.test:5173"  # a page of this origin may connect
QUICK = {"heartbeat": 0.5, "grace": 0.7, "silent": 4.0, "lease": 8.0}


class Wire:
    """A WebSocket agent by hand: say(type, ...), hear(type) -> message."""

    def __init__(self, connection: ClientConnection):
        self.connection = connection

    def say(self, kind: str, **more: Any) -> None:
        self.connection.send(json.dumps({"type": kind, **more}))

    def hear(self, kind: str = "", within: float = 20.0) -> dict[str, Any]:
        """The next message, which must be of this type."""
        found: dict[str, Any] = json.loads(self.connection.recv(within))
        assert not kind or found["type"] == kind, found
        return found

    def quiet(self, seconds: float = 0.3) -> None:
        """Nothing comes."""
        with contextlib.suppress(TimeoutError):
            raise AssertionError(self.connection.recv(seconds))

    def done(self, task: dict[str, Any], result: Any = None) -> None:
        self.say("result", task_id=task["task_id"], attempt=task["attempt"], result=result)
        assert self.hear("accepted")["task_id"] == task["task_id"]


@contextlib.contextmanager
def wire(api: Coordinator, who: str = "agent", **more: Any) -> Iterator[Wire]:
    headers = {"Authorization": f"Bearer {api.tokens[who]}"} if who else {}
    more.setdefault("additional_headers", headers)
    with connect(api.ws, proxy=None, close_timeout=1, max_size=4 << 20, **more) as connection:
        yield Wire(connection)


@contextlib.contextmanager
def registered(api: Coordinator, id: str, who: str = "agent", **said: Any) -> Iterator[Wire]:
    """Connected, and registered as `id`."""
    with wire(api, who) as one:
        one.say("register", agent_id=id, **said)
        assert one.hear("registered")["agent_id"] == id
        yield one


PROGRAM = """
import sys, time, os
from pathlib import Path
from swarmops.client import Agent, Job, Fatal

def note(text):
    with open({notes!r}, "a") as f:
        f.write(text + "\\n")

def work(n: int, seconds: float = 0.0):
    note(f"begin {{n}} {{os.getpid()}}")
    time.sleep(seconds)
    return n * n

def wait(job: Job, seconds: float):
    return "cancelled" if job.wait(seconds) else "done"

def broken():
    raise ValueError("no such colour")

handlers = {{"work-{name}": work, "wait-{name}": wait, "broken-{name}": broken}}
agent = Agent({url!r}, os.environ["TOKEN"], {id!r}, capacity={capacity}, drain=10, on_stop=lambda: note("cleaned up"))
note("started")
sys.exit(agent.run(handlers))
"""


class AgentProcess:
    """A process with swarmops.client.Agent. kinds: work-NAME, wait-NAME, broken-NAME. `notes`: what it wrote down."""

    def __init__(self, folder: Path, api: Coordinator, id: str, name: str = "", capacity: int = 1):
        folder.mkdir(parents=True, exist_ok=True)
        self.id, self.notes = id, folder / f"{id}.notes"
        code = PROGRAM.format(notes=str(self.notes), url=api.url, id=id, name=name or id, capacity=capacity)
        with open(folder / f"{id}.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONPATH": str(ROOT), "TOKEN": api.tokens["agent"], "NO_PROXY": "127.0.0.1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.log = folder / f"{id}.log"

    def said(self) -> str:
        return self.notes.read_text() if self.notes.exists() else ""

    def kill(self, which: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.process.pid, which)

    def close(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.kill()
            self.process.wait()


@contextlib.contextmanager
def agents() -> Iterator[list[AgentProcess]]:
    """A list to put processes in: what is left of them is killed at the end."""
    made: list[AgentProcess] = []
    try:
        yield made
    finally:
        for one in made:
            one.close()


def until(true: Callable[[], Any], what: str = "", within: float = 30.0) -> Any:
    end = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < end, f"in vain for {within:g} s: {what}"
        time.sleep(0.02)
    return found


def give(api: Coordinator, kind: str, args: Any = None, **more: Any) -> str:
    """Submit a task that only an agent of this kind gets, however lately that one came."""
    return api.submit(kind, args, needs=[kind, *more.pop("needs", ())], **more)


def alive(api: Coordinator) -> dict[str, dict[str, Any]]:
    """Agents that the coordinator shows."""
    return {a["id"]: a for a in api.ask("GET", "/api/agents", who="read").json()["agents"]}
