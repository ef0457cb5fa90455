"""Agents over plain HTTP (S1-13, S1-15 to S1-17; cases 89, 90, 93)."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from tests.services.agents import QUICK, alive, give, until
from tests.services.coordinator import Coordinator


def register(api: Coordinator, id: str, who: str = "agent", **more: Any) -> Any:
    return api.ask("POST", "/api/agents/register", {"agent_id": id, "kinds": [id], **more}, who)


def next_task(api: Coordinator, id: str, wait: float = 20, who: str = "agent") -> Any:
    return api.ask("GET", f"/api/tasks/next?agent_id={id}&wait={wait}", who=who)


def report(api: Coordinator, id: str, task: dict[str, Any], who: str = "agent", **more: Any) -> Any:
    said = {"agent_id": id, "task_id": task["task_id"], "attempt": task["attempt"], **more}
    return api.ask("POST", "/api/tasks/result", said, who)


def test_a_task_is_done_with_plain_http(api: Coordinator) -> None:
    answer = register(api, "plain", capabilities={"gpu": False, "cpu_cores": 4, "big": True}, facts={"zone": "lab"})
    assert answer.status_code == 200 and answer.json()["agent_id"] == "plain" and answer.json()["heartbeat_s"] == 0.5
    assert next_task(api, "plain", 0.1).status_code == 204
    known = alive(api)["plain"]
    assert known["capabilities"] == ["big", "plain"] and known["facts"] == {"cpu_cores": 4, "zone": "lab"}
    id = give(api, "plain", {"text": "hello"}, timeout=30)
    task = next_task(api, "plain").json()
    assert task == {"task_id": id, "type": "plain", "args": {"text": "hello"}, "attempt": 1, "timeout_s": 30}
    progress = {"agent_id": "plain", "task_id": id, "attempt": 1, "fraction": 0.5, "text": "half"}
    assert api.ask("POST", "/api/tasks/progress", progress).status_code == 200
    assert api.ask("GET", f"/api/tasks/{id}", who="read").json()["progress"] == {"fraction": 0.5, "text": "half"}
    assert report(api, "plain", task, result={"ok": True}).json() == {"accepted": True}
    assert api.result(id).json()["result"] == {"ok": True}


def test_a_task_comes_at_once_to_one_that_waits(api: Coordinator) -> None:
    register(api, "waits")
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append((next_task(api, "waits").json(), time.monotonic())))
    asking.start()
    until(lambda: "waits" in alive(api))
    time.sleep(0.3)  # it waits by now, or comes later and finds the task there
    id = give(api, "waits", 1)
    asking.join(20)
    assert found[0][0]["task_id"] == id


def test_the_same_result_twice_is_once_and_others_are_refused(api: Coordinator) -> None:
    register(api, "twice")
    register(api, "stranger", who="other")
    id = give(api, "twice", 1)
    task = next_task(api, "twice").json()
    early = report(api, "twice", {**task, "attempt": 7}, result=0)
    assert early.status_code == 409 and early.json()["accepted"] is False
    not_held = report(api, "stranger", task, "other", result=0)
    assert not_held.status_code == 409 and "held by twice" in not_held.json()["error"]
    assert report(api, "twice", task, "other", result=0).status_code == 403
    assert report(api, "twice", task, result=5).json() == {"accepted": True}
    assert report(api, "twice", task, result=6).json() == {"accepted": True}, "a repeat is accepted and ignored"
    assert report(api, "stranger", task, "other", result=0).status_code == 409
    assert api.result(id).json()["result"] == 5
    assert report(api, "twice", {"task_id": "never-was", "attempt": 1}, result=1).status_code == 409


def test_failures_are_tried_again_or_not_as_the_agent_says(api: Coordinator) -> None:
    register(api, "fails")
    id = give(api, "fails", 1, backoff=0.01)
    first = next_task(api, "fails").json()
    assert report(api, "fails", first, status="failed", error="the first time").json() == {"accepted": True}
    second = next_task(api, "fails").json()
    assert second["task_id"] == id and second["attempt"] == 2
    report(api, "fails", second, status="failed", error="for good", retry=False)
    ended = api.result(id).json()
    assert ended["status"] == "dead" and ended["error"] == "for good"


def test_what_was_handed_out_and_not_heard_is_handed_out_again(api: Coordinator) -> None:
    """The answer of a GET may be lost: asking again gives the same task, not another and not none."""
    register(api, "deaf")
    give(api, "deaf", 1), give(api, "deaf", 2)
    first, again = next_task(api, "deaf").json(), next_task(api, "deaf").json()
    assert first == again
    report(api, "deaf", first, result=0)
    assert next_task(api, "deaf").json()["task_id"] != first["task_id"]


def test_one_that_hangs_up_while_it_waits_takes_no_task_along(api: Coordinator) -> None:
    register(api, "hangs-up")
    with socket.create_connection(("127.0.0.1", api.port)) as talk:
        said = f"GET /api/tasks/next?agent_id=hangs-up&wait=20 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.tokens['agent']}\r\n\r\n"  # noqa: E501
        talk.sendall(said.encode())
        time.sleep(0.3)
    id = give(api, "hangs-up", 1)
    assert next_task(api, "hangs-up").json()["task_id"] == id


def test_silence_gives_its_task_to_another(api: Coordinator) -> None:
    """S1-08: offline within the timeout, and the task is done by somebody else."""
    register(api, "mute", kinds=["shared"])
    id = give(api, "shared", 1)
    assert next_task(api, "mute").json()["task_id"] == id
    until(lambda: "mute" not in alive(api), "the silent agent leaves the list")
    register(api, "speaks", kinds=["shared"])
    task = next_task(api, "speaks").json()
    assert task["task_id"] == id and task["attempt"] == 2
    late = report(api, "mute", {"task_id": id, "attempt": 1}, result=0)
    assert late.status_code == 404, "it is not known any more: register again"
    register(api, "mute", kinds=["shared"], holds=[{"task_id": id, "attempt": 1}])
    assert report(api, "mute", {"task_id": id, "attempt": 1}, result=0).status_code == 409
    assert report(api, "speaks", task, result=3).json() == {"accepted": True}


def test_a_heartbeat_keeps_its_task_and_tells_what_is_lost(api: Coordinator) -> None:
    register(api, "beats")
    id = give(api, "beats", 1)
    task = next_task(api, "beats").json()
    end = time.monotonic() + 1.3 * QUICK["silent"]
    while time.monotonic() < end:
        said = api.ask("POST", "/api/agents/heartbeat", {"agent_id": "beats", "load": 1, "holds": [id]})
        assert said.json()["lost"] == []
        time.sleep(0.2)
    api.ask("POST", f"/api/tasks/{id}/cancel", who="admin")

    def lost() -> bool:
        said = api.ask("POST", "/api/agents/heartbeat", {"agent_id": "beats", "holds": [id]})
        return bool(said.json()["lost"] == [id])

    until(lost, "it hears that its task was cancelled")
    assert report(api, "beats", task, result=1).status_code == 409


def test_unregistering_gives_back_at_once(api: Coordinator) -> None:
    register(api, "leaves", kinds=["left"])
    id = give(api, "left", 1)
    next_task(api, "leaves")
    gone = api.ask("POST", "/api/agents/unregister", {"agent_id": "leaves"})
    assert gone.json() == {"given_back": 1} and "leaves" not in alive(api)
    register(api, "comes", kinds=["left"])
    assert next_task(api, "comes").json()["task_id"] == id
    assert api.ask("POST", "/api/agents/heartbeat", {"agent_id": "leaves"}).status_code == 404


def test_a_task_that_kills_its_agent_is_given_up(api: Coordinator) -> None:
    """An agent that registers anew and names nothing has died over what it held."""
    register(api, "dies")
    id = give(api, "dies", 1)
    for attempt in (1, 2, 3):
        assert next_task(api, "dies").json()["attempt"] == attempt
        register(api, "dies")
    ended = api.result(id).json()
    assert ended["status"] == "dead" and "died 3 times" in ended["error"]


def test_the_paths_of_old_do_the_same(api: Coordinator) -> None:
    for at, path in enumerate(("/agents/register", "/api/register")):
        assert api.ask("POST", path, {"agent_id": f"old-{at}", "kinds": [f"old-{at}"]}).status_code == 200
        give(api, f"old-{at}", at)
    for at, prefix in enumerate(("", "/api")):
        task = api.ask("GET", f"{prefix}/tasks/next?agent_id=old-{at}&wait=20").json()
        said = {"agent_id": f"old-{at}", "task_id": task["task_id"], "attempt": 1, "result": at}
        assert api.ask("POST", f"{prefix}/tasks/result", said).json() == {"accepted": True}
    assert api.ask("POST", "/agents/heartbeat", {"agent_id": "old-0"}).status_code == 200
    assert api.ask("POST", "/api/unregister", {"agent_id": "old-0"}).status_code == 200


def test_nobody_takes_the_name_of_another(api: Coordinator) -> None:
    assert register(api, "mine").status_code == 200
    answer = register(api, "mine", "other")
    assert answer.status_code == 403 and "belongs to another token" in answer.json()["error"]
    for path, body in {
        "/api/agents/heartbeat": {"agent_id": "mine"},
        "/api/agents/unregister": {"agent_id": "mine"},
        "/api/tasks/result": {"agent_id": "mine", "task_id": "x", "attempt": 1},
    }.items():
        assert api.ask("POST", path, body, "other").status_code == 403
    assert next_task(api, "mine", 0, "other").status_code == 403
    assert next_task(api, "mine", 0, "submit").status_code == 403, "the scope agent is needed"
    assert next_task(api, "mine", 0, "").status_code == 401


@pytest.mark.parametrize(
    "body, path",
    [
        ({"agent_id": "a:leader"}, "agent_id"),
        ({"agent_id": "a\nb"}, "agent_id"),
        ({"agent_id": "*"}, "agent_id"),
        ({"agent_id": "x", "capabilities": ["ok", "Not Ok"]}, "capabilities"),
        ({"agent_id": "x", "capabilities": [f"c{i}" for i in range(1000)]}, "capabilities"),
        ({"agent_id": "x", "capabilities": {"a:b": True}}, "capabilities"),
        ({"agent_id": "x", "queue": "unknown"}, "queue"),
        ({"agent_id": "x", "capacity": 0}, "capacity"),
        ({"agent_id": "x", "facts": {"much": "x" * 40_000}}, "facts"),
    ],
)
def test_what_is_wrong_is_named(api: Coordinator, body: dict[str, Any], path: str) -> None:
    answer = api.ask("POST", "/api/agents/register", body)
    assert answer.status_code in (413, 422) and path in answer.json()["path"], answer.text


def test_wrong_heartbeats_are_refused(api: Coordinator) -> None:
    register(api, "odd")
    for body in ({"load": -1}, {"load": 10**9}, {"load": 1.5}, {"holds": ["a:b"]}, {"at_ms": 10**15}):
        assert api.ask("POST", "/api/agents/heartbeat", {"agent_id": "odd", **body}).status_code == 422


def test_an_agent_without_an_id_is_given_one(api: Coordinator) -> None:
    answer = api.ask("POST", "/api/agents/register", {"kinds": ["nameless"]})
    assert answer.json()["agent_id"].startswith("agent-")
