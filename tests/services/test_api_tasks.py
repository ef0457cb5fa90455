"""The REST API of the coordinator, as an outside client uses it: S1-07, S1-09, S4-01, and what each subject does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx
import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.tasks import Claim, Outcome
from tests.runtime.server import Server
from tests.services.api import client, talk, until
from tests.services.coordinator import Coordinator


@pytest.fixture(scope="module")
def api(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    one = Coordinator(tmp_path_factory.mktemp("api"), shared_server, queues=["default", "second"])
    yield one.start()
    one.close()


@pytest.fixture
def ask(api: Coordinator, rt: Runtime) -> Iterator[httpx.Client]:
    """An administrator's client. Redis is empty, but for an agent that does `echo`."""
    rt.agents.register("worker-1", ["echo", "gpu"], {"kinds": ["echo"]})
    with client(api) as found:
        until(lambda: found.get("/api/kinds").json()["kinds"], "the kinds are known")
        yield found


def claim(rt: Runtime, caps: tuple[str, ...] = ("echo",), queue: str = "default") -> Claim:
    (one,) = rt.tasks.step("worker-1", want=1, caps=caps, queue=queue).tasks
    return one


def finish(rt: Runtime, outcome: Outcome) -> None:
    assert not rt.tasks.step("worker-1", [outcome]).refused


def test_health_is_open_and_shows_nothing(api: Coordinator) -> None:
    """S4-01."""
    with client(api, "") as nobody:
        said = nobody.get("/api/health")
    assert said.status_code == 200 and said.json() == {"status": "ok"}


def test_a_task_goes_in_and_its_result_comes_out(ask: httpx.Client, rt: Runtime) -> None:
    """S1-07, S1-09."""
    said = ask.post("/api/submit-task", json={"type": "echo", "args": {"text": "hello"}, "priority": 7})
    assert said.status_code == 202 and said.json()["status"] == "queued"
    id = said.json()["id"]
    assert ask.get(f"/api/tasks/{id}/result").status_code == 202
    one = claim(rt)
    assert (one.id, one.args) == (id, b'{"text":"hello"}')
    assert ask.get(f"/api/tasks/{id}").json()["status"] == "running"
    finish(rt, Outcome.done(one, ["hello"]))
    found = ask.get(f"/api/tasks/{id}/result", params={"wait": 10})
    assert found.status_code == 200 and found.json()["result"] == ["hello"]


def test_the_type_of_a_task_is_needed_of_its_worker(ask: httpx.Client, rt: Runtime) -> None:
    id = ask.post("/submit-task", json={"type": "echo", "needs": ["gpu"]}).json()["id"]
    assert ask.get(f"/api/tasks/{id}").json()["needs"] == ["echo", "gpu"]
    assert rt.tasks.step("other", want=1, caps=("gpu",)).tasks == []


def test_the_same_id_again_is_the_same_task(ask: httpx.Client) -> None:
    """Case 80: a request that comes twice is done once."""
    first, second = [ask.post("/api/tasks", json={"type": "echo", "id": "once"}).json() for _ in range(2)]
    assert (first["new"], second["new"]) == (True, False)
    assert ask.get("/api/tasks").json()["total"] == 1


def test_a_failed_task_is_shown_requeued_and_cancelled(ask: httpx.Client, rt: Runtime) -> None:
    ask.post("/api/tasks", json={"type": "echo", "id": "bad", "retries": 0})
    finish(rt, Outcome.failed(claim(rt), "it broke"))
    found = ask.get("/api/tasks/bad/result", params={"wait": 5})
    assert found.status_code == 200 and (found.json()["status"], found.json()["error"]) == ("dead", "it broke")
    assert [t["id"] for t in ask.get("/api/tasks", params={"status": "dead", "q": "BROKE"}).json()["tasks"]] == ["bad"]
    assert ask.post("/api/tasks/requeue", json={"ids": ["bad"]}).json() == {"ids": ["bad"]}
    assert ask.post("/api/tasks/bad/cancel", json={"reason": "enough"}).json() == {"id": "bad", "was": "open"}
    assert ask.post("/api/tasks/purge", json={"what": "ended"}).json() == {"count": 1}


def test_a_batch_is_accepted_together(ask: httpx.Client) -> None:
    tasks = [{"type": "echo", "id": f"n{i}", "queue": "second" if i % 2 else "default"} for i in range(20)]
    said = ask.post("/api/tasks/batch", json={"tasks": tasks}).json()["tasks"]
    assert [one["id"] for one in said] == [f"n{i}" for i in range(20)] and all(one["new"] for one in said)
    assert len(ask.get("/api/tasks", params={"queue": "second"}).json()["tasks"]) == 10
    assert len(ask.get("/api/tasks", params={"limit": 3, "offset": 8}).json()["tasks"]) == 2
    wrong = ask.get("/api/tasks", params={"limit": "abc", "status": "ready,bogus"})
    said = wrong.text
    assert wrong.status_code == 422 and "limit" in said and "'bogus' is none of waiting, " in said


def test_a_full_queue_is_said_and_when_to_come_again(ask: httpx.Client, rt: Runtime) -> None:
    """F22."""
    rt.tasks.configure(limit=1)
    assert ask.post("/api/tasks", json={"type": "echo"}).status_code == 202
    said = ask.post("/api/tasks", json={"type": "echo"})
    assert said.status_code == 429 and int(said.headers["retry-after"]) >= 1 and "full" in said.json()["error"]


def test_workflows(ask: httpx.Client, rt: Runtime) -> None:
    steps = [{"name": "a", "type": "echo"}, {"name": "b", "type": "echo", "after": ["a"]}]
    said = ask.post("/api/workflows", json={"name": "two", "id": "flow", "steps": steps})
    assert said.status_code == 202 and said.json()["new"]
    for value in (1, 2):
        finish(rt, Outcome.done(claim(rt), value))
    found = ask.get("/api/workflows/flow", params={"wait": 10}).json()
    assert found["status"] == "done" and [s["result"] for s in found["steps"]] == [1, 2]
    assert [w["id"] for w in ask.get("/api/workflows").json()["workflows"]] == ["flow"]
    wrong = [{"name": "a", "type": "echo", "after": ["b"]}, {"name": "b", "type": "echo", "after": ["a"]}]
    said = ask.post("/api/workflows", json={"name": "round", "steps": wrong})
    assert said.status_code == 422 and "a -> b -> a" in said.json()["error"].replace("b -> a -> b", "a -> b -> a")
    ask.post("/api/workflows", json={"name": "two", "id": "more", "steps": steps})
    assert ask.post("/api/workflows/more/cancel").json() == {"count": 2}


def test_swarms(ask: httpx.Client) -> None:
    made = ask.post("/api/swarms", json={"objective": "look around", "id": "alpha", "metadata": {"priority": "high"}})
    assert made.status_code == 201 and made.json()["status"] == "initializing"
    assert ask.patch("/api/swarms/alpha", json={"status": "active"}).json()["was"] == "initializing"
    assert ask.patch("/api/swarms/alpha", json={"status": "initializing"}).status_code == 409
    assert ask.post("/api/swarms", json={"objective": "again", "id": "alpha"}).status_code == 409
    assert [s["id"] for s in ask.get("/api/swarms", params={"status": "active"}).json()["swarms"]] == ["alpha"]
    assert ask.delete("/api/swarms/alpha").json()["id"] == "alpha"
    assert ask.get("/api/swarms/alpha").status_code == 404


def test_messages_are_signed_with_the_token(ask: httpx.Client, api: Coordinator) -> None:
    said = {"to": "agent.worker-1", "type": "announcement", "payload": {"text": "hello"}}
    with client(api, "submit") as other:
        assert other.post("/api/messages", json=said).status_code == 202
        assert other.post("/api/messages", json={**said, "to": "global"}).status_code == 202
        twice = [other.post("/api/messages", json={**said, "to": "global", "id": "once"}).json() for _ in range(2)]
        assert [one["new"] for one in twice] == [True, False]  # case 80
    (one,) = ask.get("/api/messages/agent.worker-1").json()["messages"]
    assert (one["sender"], one["payload"]) == ("submit", {"text": "hello"})
    assert ask.post("/api/messages/agent.worker-1/ack", json={"marks": [one["mark"]]}).json() == {"count": 1}
    assert [m["sender"] for m in ask.get("/api/messages/history/global").json()["messages"]] == ["submit"] * 2


def test_contexts_come_back_as_files_not_as_pages(ask: httpx.Client) -> None:
    data = b"<script>alert(1)</script>" * 100_000
    said = ask.put("/api/contexts", content=data, params={"source": "a test"})
    assert said.status_code == 201 and said.json()["ref"] == f"ctx:{hashlib.sha256(data).hexdigest()}"
    found = ask.get(f"/api/contexts/{said.json()['ref']}", params={"type": "image/png"})
    assert found.content == data and found.headers["content-type"] == "image/png"
    assert found.headers["content-disposition"].startswith("attachment")
    assert ask.get(f"/api/contexts/{said.json()['ref']}", params={"type": "text/html"}).status_code == 422
    assert ask.get(f"/api/contexts/{'0' * 64}").status_code == 404


def test_agents_and_who_leads(ask: httpx.Client) -> None:
    assert [a["id"] for a in ask.get("/api/agents", params={"capability": ["echo", "gpu"]}).json()["agents"]] == [
        "worker-1"
    ]
    assert ask.get("/api/agents/worker-1").json()["metadata"] == {"kinds": ["echo"]}
    assert ask.get("/api/kinds").json() == {"kinds": {"echo": {"agents": 1}}}
    assert ask.delete("/api/agents/worker-1").json() == {"ids": ["worker-1"]}
    until(lambda: ask.get("/api/leader").json()["leader"], "the API's own process leads")
    status = ask.get("/api/status").json()
    assert status["redis"]["ok"] and status["queues"]["default"]["ready"] == 0 and status["leader"]["term"] > 0
    assert status["scopes"] == ["admin"]


def test_nobody_is_waited_for_who_has_gone(ask: httpx.Client, api: Coordinator) -> None:
    id = ask.post("/api/tasks", json={"type": "echo"}).json()["id"]
    with talk(api) as gone:
        path = f"/api/tasks/{id}/result?wait=60"
        gone.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.tokens['read']}\r\n\r\n".encode()
        )
        until(lambda: "under_way 2" in ask.get("/metrics").text, "one waits, and one asks")
    until(lambda: "under_way 1" in ask.get("/metrics").text, "nobody waits")


def test_metrics_count_requests_by_route_and_not_by_path(ask: httpx.Client) -> None:
    for i in range(20):
        ask.get(f"/api/tasks/none-{i}")
        ask.get(f"/nowhere/{i}")
    text = ask.get("/metrics").text
    assert 'swarmops_http_requests_total{method="GET",route="/api/tasks/{id}",status="4xx"} 2' in text
    assert 'route="other",status="4xx"' in text and "nowhere" not in text and "none-" not in text
    assert 'swarmops_queue_ready{queue="default"}' in text and "swarmops_http_answer_seconds_bucket" in text
