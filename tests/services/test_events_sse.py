"""Events as they happen (S2-13, S4-44): nothing twice, nothing left out, and the slow hold up nobody."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.runtime.server import Server
from tests.services.coordinator import Coordinator


@pytest.fixture(scope="module")
def api(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    coordinator = Coordinator(tmp_path_factory.mktemp("api"), redis, queues=["default", "other"]).start()
    yield coordinator
    coordinator.close()


class Stream:
    """GET /api/events as a program reads it: `event()` is the next (id, event)."""

    def __init__(self, api: Coordinator, last: str = "", **query: Any):
        headers = {"authorization": f"Bearer {api.tokens['read']}"} | ({"last-event-id": last} if last else {})
        self._client = httpx.Client(timeout=20, trust_env=False)
        request = self._client.build_request("GET", f"{api.url}/api/events", params=query, headers=headers)
        self.answer = self._client.send(request, stream=True)
        assert self.answer.status_code == 200
        self._lines = self.answer.iter_lines()
        assert next(self._lines) == "retry: 2000"

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()
        self._client.close()

    def event(self, what: str = "") -> tuple[str, dict[str, Any]]:
        id = ""
        for line in self._lines:
            if line.startswith("id: "):
                id = line[4:]
            elif line.startswith("data: "):
                event = json.loads(line[6:])
                if not what or event["what"] == what:
                    return id, event
        raise AssertionError("the stream has ended")


def test_events_come_as_they_happen(api: Coordinator) -> None:
    with Stream(api) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.answer.headers["cache-control"] == "no-store"
        id = api.submit("anything")
        mark, event = stream.event("task.submitted")
        assert event["id"] == id and event["queue"] == "default" and event["mark"] in mark and event["at"] > 1e12


def test_going_on_from_the_last_id_loses_and_repeats_nothing(api: Coordinator) -> None:
    ids = []
    with Stream(api) as stream:
        ids.append(api.submit("a", queue="default"))
        ids.append(api.submit("b", queue="other"))
        seen = [stream.event("task.submitted") for _ in ids]
    ids += [api.submit("c", queue="other"), api.submit("d", queue="default")]
    with Stream(api, last=seen[-1][0]) as stream:
        found = [stream.event("task.submitted")[1]["id"] for _ in range(2)]
        assert sorted(found) == sorted(ids[2:])
        ids.append(api.submit("e"))
        assert stream.event("task.submitted")[1]["id"] == ids[-1]
    with Stream(api, since=seen[0][1]["at"]) as stream:
        found = [stream.event("task.submitted")[1]["id"] for _ in range(5)]
        assert sorted(found) == sorted(ids)


def test_a_stream_begun_while_much_happens_is_whole(api: Coordinator) -> None:
    """What was there before and what comes meanwhile meet without a gap and without doubles."""
    began = api.ask("GET", "/api/events/recent?limit=1", who="read").json()["events"][-1]["mark"]
    going, ids = threading.Event(), []

    def submit() -> None:
        for n in range(60):
            tasks = [{"type": "many", "id": f"many-{n}-{i}", "anyway": True} for i in range(20)]
            ids.extend(t["id"] for t in tasks)
            assert api.ask("POST", "/api/tasks/batch", {"tasks": tasks}, "submit").status_code == 202
            going.set()

    thread = threading.Thread(target=submit)
    thread.start()
    going.wait(20)
    with Stream(api, since=began) as stream:
        found: list[str] = []
        while len(found) < 1200:
            found += stream.event("task.submitted")[1]["id"].split()
    thread.join()
    assert sorted(found) == sorted(ids)


def test_one_that_does_not_read_holds_up_nobody(api: Coordinator) -> None:
    with socket.create_connection(("127.0.0.1", api.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = (
            f"GET /api/events?since=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.tokens['read']}\r\n\r\n"
        )
        slow.sendall(head.encode())
        with Stream(api) as reads:
            for n in range(5):
                tasks = [{"type": "flood", "id": f"f-{n}-{i}", "anyway": True} for i in range(900)]
                api.ask("POST", "/api/tasks/batch", {"tasks": tasks}, "submit")
            began = time.monotonic()
            found = 0
            while found < 4500:
                found += len(reads.event("task.submitted")[1]["id"].split())
            assert time.monotonic() - began < 60


def test_the_newest_events_for_those_who_poll(api: Coordinator) -> None:
    id = api.submit("recent")
    events = api.ask("GET", "/api/events/recent?limit=50", who="read").json()["events"]
    assert events == sorted(events, key=lambda e: e["at"]) and len(events) <= 50
    assert any(e["id"] == id and e["what"] == "task.submitted" for e in events)
    later = api.ask("GET", f"/api/events/recent?since={events[-1]['at'] + 1}", who="read").json()["events"]
    assert not any(e["id"] == id for e in later)


@pytest.mark.parametrize("since", ["yesterday", "-5", "12-", "1,2", "default=1-1", "9" * 30, "\u0661"])
def test_a_mark_that_is_none_is_refused(api: Coordinator, since: str) -> None:
    answer = httpx.get(f"{api.url}/api/events", params={"since": since}, trust_env=False,
                       headers={"authorization": f"Bearer {api.tokens['read']}"})  # fmt: skip
    assert answer.status_code == 422 and answer.json()["path"] == "since"


def test_only_for_those_who_may_read(api: Coordinator) -> None:
    for path in ("/api/events", "/api/events/recent"):
        assert api.ask("GET", path, who="").status_code == 401
        assert api.ask("GET", path, who="agent").status_code == 403


def test_streams_end_with_the_server(api: Coordinator) -> None:
    """An open stream does not hold up the end. (The last test here: it stops the server.)"""
    with Stream(api) as stream:
        began = time.monotonic()
        assert api.end() == 0
        assert time.monotonic() - began < 8, "nobody waited until the grace was over"
        with pytest.raises((AssertionError, httpx.RemoteProtocolError)):
            stream.event("never.comes")
    assert "Traceback" not in api.said, api.said[-3000:]
