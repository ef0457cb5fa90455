"""What is said to the API and is wrong: cases 74 to 78, 91, 93 and 94."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.runtime.server import Server
from tests.services.api import JSON, client, memory
from tests.services.coordinator import Coordinator


@pytest.fixture(scope="module")
def api(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    one = Coordinator(tmp_path_factory.mktemp("api"), shared_server)
    yield one.start()
    one.close()


@pytest.fixture(scope="module")
def ask(api: Coordinator) -> Iterator[httpx.Client]:
    with client(api) as found:
        yield found


BAD_JSON = {
    "not json": b'{"type":',
    "nan": b'{"type":"echo","args":NaN}',
    "infinity": b'{"type":"echo","args":-Infinity}',
    "key twice": b'{"type":"echo","type":"echo"}',
    "deep": b'{"type":"echo","args":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep and open": b"[" * 100_000,
    "surrogate": b'{"type":"echo","args":"\\ud800"}',
    "huge integer": b'{"type":"echo","args":1' + b"0" * 400 + b"}",
    "huger integer": b'{"type":"echo","args":1' + b"0" * 5000 + b"}",
    "huge float": b'{"type":"echo","args":1e400}',
    "not utf-8": b'{"type":"echo","args":"\xff"}',
    "nul": b'{"type":"echo"}\0',
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_case_74_json_with_tricks_is_refused(ask: httpx.Client, body: bytes) -> None:
    said = ask.post("/api/tasks", content=body, headers=JSON)
    assert said.status_code == 400 and said.json()["path"] == "body", said.text


def test_case_75_a_message_needs_a_known_type_and_cannot_name_its_sender(ask: httpx.Client) -> None:
    good = {"to": "agent.a", "type": "announcement", "payload": {"text": "x"}}
    for wrong, path in (
        ({"type": None}, "type"),
        ({"type": "nonsense"}, "type"),
        ({"from": "swarm.other"}, "from"),
        ({"version": 2}, "version"),
        ({"id": "Not An Id"}, "id"),
        ({"payload": {"text": 3}}, "payload.text"),
    ):
        said = ask.post("/api/messages", json={**good, **wrong})
        assert said.status_code == 422 and said.json()["path"] == path, said.text


def test_case_76_every_wrong_field_is_named_with_its_path(ask: httpx.Client) -> None:
    task = {"type": 3, "needs": ["ok", "Not A Name"], "priority": True, "retries": 1.5, "delay": "1", "surprise": 1}
    said = ask.post("/api/tasks", json=task)
    assert said.status_code == 422
    found = {e["path"] for e in said.json()["errors"]}
    assert found == {"type", "needs[1]", "priority", "retries", "delay", "surprise"}
    steps = [{"name": "a", "type": "echo"}, {"name": 4, "type": "echo"}]
    said = ask.post("/api/workflows", json={"name": "x", "steps": steps})
    assert said.status_code == 422 and said.json()["path"] == "steps[1].name"
    assert ask.get("/api/tasks", params={"limit": "many"}).json()["path"] == "limit"


def test_case_77_an_unknown_type_of_task_is_refused_with_the_known(ask: httpx.Client) -> None:
    with client_agent(ask, "known-kind"):
        said = ask.post("/api/tasks", json={"type": "unheard-of"})
    assert said.status_code == 422 and said.json()["path"] == "type" and "known-kind" in said.json()["error"]


class client_agent:
    """An agent that does one kind."""

    def __init__(self, ask: httpx.Client, kind: str):
        self.ask, self.kind = ask, kind

    def __enter__(self) -> None:
        said = {"agent_id": "knower", "capabilities": [self.kind], "kinds": [self.kind]}
        assert self.ask.post("/api/agents/register", json=said).status_code == 200

    def __exit__(self, *_: object) -> None:
        self.ask.post("/api/agents/unregister", json={"agent_id": "knower"})


@pytest.mark.parametrize(
    "body", [pickle.dumps({"type": "echo"}), gzip.compress(b"0" * 10_000_000), b"\x81\xa4type\xa4echo"]
)
def test_case_78_packed_bytes_are_never_unpacked(api: Coordinator, ask: httpx.Client, body: bytes) -> None:
    before = memory(api)
    for head in (JSON, {**JSON, "content-encoding": "gzip"}):
        assert ask.post("/api/tasks", content=body, headers=head).status_code == 400
    other = ask.post("/api/tasks", content=body, headers={"content-type": "application/x-python-pickle"})
    assert other.status_code == 415
    assert memory(api) - before < 10_000


def test_case_91_unknown_values_are_refused(ask: httpx.Client) -> None:
    for path, body, field in (
        ("/api/tasks", {"type": "echo", "priority": 10}, "priority"),
        ("/api/swarms", {"objective": "x", "strategy": "chaos"}, "strategy"),
        ("/api/swarms", {"objective": "x", "mode": "ring"}, "mode"),
        ("/api/swarms", {"objective": "x", "metadata": {"priority": "urgent"}}, "metadata.priority"),
        ("/api/tasks/purge", {"what": "all"}, "what"),
        ("/api/tasks", {"type": "echo", "anyway": True, "queue": "elsewhere"}, "queue"),
    ):
        said = ask.post(path, json=body)
        assert said.status_code == 422 and said.json()["path"] == field, said.text


@pytest.mark.parametrize("id", ["*", "a:b", "a}b", "A", "-a", "a" * 64, "a b", "a\nb", "swarm.x"])
def test_case_93_names_that_are_no_names_are_refused(ask: httpx.Client, id: str) -> None:
    assert ask.post("/api/tasks", json={"type": "echo", "anyway": True, "id": id}).status_code == 422
    assert ask.get(f"/api/agents/{quote(id, safe='')}").status_code in (400, 422)


def test_case_94_nothing_of_a_request_breaks_a_line_of_the_log(api: Coordinator, ask: httpx.Client) -> None:
    ask.get("/api/tasks/x%0d%0aWARNING%20forged")
    ask.get("/api/tasks", params={"q": "\r\nWARNING forged"})
    ask.post("/api/tasks", json={"type": "x\nWARNING forged"})
    assert "forged" not in api.said


def test_a_body_of_another_type_is_refused(ask: httpx.Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/x+json"):
        said = ask.post("/api/tasks", content=json.dumps({"type": "echo"}), headers={"content-type": kind})
        assert said.status_code == 415, kind
    nothing_said = ask.build_request("POST", "/api/tasks", content=b"{}")
    assert "content-type" not in nothing_said.headers and ask.send(nothing_said).status_code == 415
