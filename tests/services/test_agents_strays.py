"""A task that Redis gave an agent and the agent never heard of comes back to somebody, whatever was lost on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.tasks import Outcome
from tests.conftest import lacking
from tests.runtime.server import PROGRAM, Server
from tests.services.agents import QUICK, registered, until
from tests.services.coordinator import Coordinator


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if PROGRAM is None:
        lacking("no redis-server on PATH (apt install redis-server)")
    with Server(tmp_path_factory.mktemp("strays") / "redis") as server:
        yield server


def test_a_result_and_the_next_task_cross_with_the_coordinators_death(redis: Server, tmp_path: Path) -> None:
    """Redis recorded the one and gave the other; the agent heard of neither, and counts as many as Redis."""
    api = Coordinator(tmp_path / "api", redis, agents={**QUICK, "grace": 5.0, "lease": 20.0}).start()
    try:
        with Runtime(redis.settings) as rt:
            first = rt.tasks.submit("cross", needs=["cross"]).id
            with registered(api, "crosses", kinds=["cross"]) as agent:
                task = agent.hear("task")
                second = rt.tasks.submit("cross", needs=["cross"]).id
                api.kill()
                outcome = Outcome(first, task["attempt"], b"1")
                claimed = rt.tasks.step("crosses", [outcome], want=1, caps=["cross"], lease_ms=20_000)
                assert [c.id for c in claimed.tasks] == [second]
            api.start()
            holds = [{"task_id": first, "attempt": task["attempt"]}]
            with registered(api, "crosses", kinds=["cross"], holds=holds) as agent:
                again = agent.hear("task")
                assert again["task_id"] == second
                agent.done(again, 2)
            assert rt.tasks.result(first, 5) == 1 and rt.tasks.result(second, 5) == 2
    finally:
        api.close()


def test_what_an_agent_at_rest_was_given_unheard_is_found(redis: Server, tmp_path: Path) -> None:
    """An answer to its desk was lost: Redis thinks that the agent holds a task, the desk that it holds none."""
    api = Coordinator(tmp_path / "api", redis, agents={**QUICK, "grace": 5.0, "lease": 20.0}).start()
    try:
        with Runtime(redis.settings) as rt, registered(api, "rests", kinds=["rest"], capacity=2) as agent:
            rt.tasks.submit("rest", needs=["rest"])
            task = agent.hear("task")
            lost = rt.tasks.submit("rest", needs=["rest", "nobody-has-this"]).id
            claimed = rt.tasks.step("rests", want=1, caps=["rest", "nobody-has-this"], lease_ms=20_000)
            assert [c.id for c in claimed.tasks] == [lost]
            agent.done(task, 1)
            caps = ["rest", "nobody-has-this"]
            found = until(lambda: rt.tasks.step("helper", want=1, caps=caps).tasks, "it was given back")
            assert found[0].id == lost
    finally:
        api.close()


def test_what_an_agent_does_not_do_goes_to_who_does(redis: Server, tmp_path: Path) -> None:
    """A task from redis-cli or the library needs nothing: whoever is asked first may not know its type."""
    api = Coordinator(tmp_path / "api", redis, agents=QUICK).start()
    try:
        with (
            Runtime(redis.settings) as rt,
            registered(api, "first", kinds=["sings"]) as one,
            registered(api, "second", kinds=["dances"]) as two,
        ):
            said: dict[str, str] = {}
            for _ in range(4):
                id = rt.tasks.submit("dances", retries=0).id
                while id not in said:
                    for agent, name in ((one, "first"), (two, "second")):
                        with contextlib.suppress(TimeoutError):
                            task = agent.hear("task", 0.1)
                            if name == "second":
                                agent.done(task, 1)
                                said[id] = name
                            else:
                                agent.say("result", **_failed(task))
                                agent.hear("accepted")
            assert set(said.values()) == {"second"} and rt.tasks.result(id, 5) == 1
    finally:
        api.close()


def _failed(task: dict[str, Any]) -> dict[str, Any]:
    told = {key: task[key] for key in ("task_id", "attempt")}
    return {**told, "status": "failed", "error": "I do not dance"}
