"""What the API does when Redis, or it itself, goes away: S1-07, F4, F8; and how it ends."""

from __future__ import annotations

import concurrent.futures
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from swarmops.runtime import Runtime
from swarmops.runtime.tasks import Outcome
from tests.runtime.server import Server
from tests.services.api import client, rest, talk, until
from tests.services.coordinator import Coordinator

SOON = 3.0  # seconds in which everybody is told that Redis is away
TASK = {"type": "echo", "anyway": True}


def test_a_task_survives_the_server(server: Server, rt: Runtime, tmp_path: Path) -> None:
    """S1-07: killed with -9 right after it accepted a task, and started again."""
    api = Coordinator(tmp_path, server)
    api.start()
    with client(api) as ask:
        id = ask.post("/api/submit-task", json=TASK).json()["id"]
        api.kill()
        api.start()
        assert ask.get(f"/api/tasks/{id}").json()["status"] == "ready"
    (claim,) = rt.tasks.step("w", want=1).tasks
    rt.tasks.step("w", [Outcome.done(claim, 42)])
    with client(api) as ask:
        assert ask.get(f"/api/tasks/{id}/result", params={"wait": 10}).json()["result"] == 42
    api.close()


def test_redis_killed_is_said_soon_and_forgotten_soon(own_server: Callable[..., Server], tmp_path: Path) -> None:
    redis = own_server()
    api = Coordinator(tmp_path, redis)
    api.start()
    with client(api) as ask:
        id = ask.post("/api/tasks", json=TASK).json()["id"]
        redis.kill()
        assert ask.get("/api/status").status_code == 503  # before it was noticed too
        _all_say_so(ask)
        assert ask.get("/docs").status_code == 200  # what needs no Redis is there
        redis.start()
        until(lambda: ask.get("/api/health").status_code == 200, "it is well again", within=5)
        assert ask.get(f"/api/tasks/{id}").status_code == 200
        assert ask.post("/api/tasks", json=TASK).status_code == 202
        until(lambda: ask.get("/api/leader").json()["leader"], "somebody leads again")
    api.close()


def test_redis_frozen_ends_requests_that_wait(own_server: Callable[..., Server], tmp_path: Path) -> None:
    redis = own_server()
    api = Coordinator(tmp_path, redis)
    api.start()
    with client(api) as ask, concurrent.futures.ThreadPoolExecutor(4) as pool:
        id = ask.post("/api/tasks", json=TASK).json()["id"]
        waiting = [pool.submit(ask.get, f"/api/tasks/{id}/result", params={"wait": 60}) for _ in range(3)]
        until(lambda: "under_way 4" in ask.get("/metrics").text, "three wait, and one asks")
        redis.stop()
        began = time.monotonic()
        assert [one.result(30).status_code for one in waiting] == [503] * 3
        assert time.monotonic() - began < SOON
        _all_say_so(ask)
        redis.go_on()
        until(lambda: ask.get("/api/status").status_code == 200, "it is well again", within=10)
    api.close()


def _all_say_so(ask: httpx.Client) -> None:
    """503 for everything that needs Redis, each within SOON, the first time too."""
    until(lambda: ask.get("/api/health").status_code == 503, "health says so", within=SOON)
    for path in ("/api/health", "/api/status", "/api/tasks", "/metrics", "/api/agents"):
        began = time.monotonic()
        said = ask.get(path)
        assert said.status_code == 503 and time.monotonic() - began < SOON, f"{path}: {said.status_code}"
        assert said.json() == {"status": "down"} if path == "/api/health" else said.json()["error"]
    assert ask.post("/api/tasks", json=TASK).status_code == 503


def test_a_full_redis_takes_no_more_and_still_answers(own_server: Callable[..., Server], tmp_path: Path) -> None:
    """F22: nothing that was accepted is dropped, and who asks is told when to come again."""
    api = Coordinator(tmp_path, own_server("--maxmemory", "8mb", "--maxmemory-policy", "noeviction"))
    api.start()
    with client(api) as ask:
        answers = [ask.post("/api/tasks", json={**TASK, "args": "x" * 900_000}) for _ in range(12)]
        refused = [a for a in answers if a.status_code != 202]
        assert refused and {a.status_code for a in refused} == {429}
        assert all(int(a.headers["retry-after"]) >= 1 for a in refused)
        accepted = [a.json()["id"] for a in answers if a.status_code == 202]
        assert accepted and all(ask.get(f"/api/tasks/{id}").status_code == 200 for id in accepted)
        assert ask.get("/api/health").status_code == 200
    api.close()


def test_it_starts_without_redis_and_waits_for_it(own_server: Callable[..., Server], tmp_path: Path) -> None:
    redis = own_server()
    redis.kill()
    api = Coordinator(tmp_path, redis)
    api.health = ""
    api.start()
    with client(api) as ask:
        until(lambda: api.get(f"{api.url}/api/health"), "it listens")
        _all_say_so(ask)
        redis.start()
        until(lambda: ask.get("/api/health").status_code == 200, "it is well", within=5)
    api.close()


def test_sigterm_lets_requests_end_and_leads_no_more(server: Server, rt: Runtime, tmp_path: Path) -> None:
    api = Coordinator(tmp_path, server)
    api.start()
    with client(api) as ask, concurrent.futures.ThreadPoolExecutor(4) as pool, talk(api) as half, talk(api) as idle:
        until(lambda: ask.get("/api/leader").json()["leader"], "it leads")
        id = ask.post("/api/tasks", json=TASK).json()["id"]
        waits = pool.submit(ask.get, f"/api/tasks/{id}/result", params={"wait": 60})
        head = f"POST /api/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {api.tokens['admin']}\r\n"
        body = b'{"type":"echo","anyway":true,"id":"late"}'
        half.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:9])
        until(lambda: "under_way 3" in ask.get("/metrics").text, "both are under way")
        api.signal(signal.SIGTERM)
        said = waits.result(10)
        assert (said.status_code, said.json()["status"]) == (202, "ready")  # told to ask again, not cut off
        half.sendall(body[9:])
        assert b" 202 " in rest(half).split(b"\r\n")[0]
        assert rest(idle) == b""
        assert api.process and api.process.wait(60) == 0
    assert rt.tasks.get("late").status == "ready" and rt.leader.who() is None
    assert "Traceback" not in api.said, api.said
