"""The API of a coordinator from a program, with nothing but the standard library.

What changes something carries an id of its own, so that a request whose answer was lost is sent again without harm.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from swarmops.client.errors import ApiError, Away, Denied, Late, TaskFailed, Untrusted
from swarmops.client.tls import context, mistaken

SLICE = 30.0  # seconds that one question for a result stays open
TRIES = 3
ENDED = ("done", "dead", "cancelled", "expired", "stopped", "spoilt")
Json = Any


class Client:
    """A coordinator at `url` (https://name:8002). token: `<id>.<secret>`. Any number of threads may use one.

    ca: a file of certificates to trust instead of the system's, or a context. Raises ValueError for what is no address
    and for a file that holds none.
    """

    def __init__(self, url: str, token: str, ca: str | ssl.SSLContext | None = None, timeout: float = 30.0):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{parts.scheme or url!r}: the address of a coordinator begins with http:// or https://")
        if parts.username or parts.password or parts.query:
            raise ValueError("an address holds no secrets: give the token as such")
        self.scheme, self.host, self.port, self.base = parts.scheme, parts.hostname, parts.port, parts.path.rstrip("/")
        self._token, self.timeout = token, timeout
        self._tls = context(ca) if self.scheme == "https" else None
        self._mine = threading.local()

    def __repr__(self) -> str:
        return f"Client({self.scheme}://{self.host}:{self.port})"

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._mine, "connection", None)
        self._mine.connection = None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- tasks

    def submit(self, kind: str, args: Json = None, *, id: str | None = None, **more: Json) -> str:
        """Submit a task; its id. more: needs, priority, delay, expires, timeout, retries, queue, meta, anyway.

        Raises ApiError: 422 for a kind that nobody does (unless anyway=True), 429 when the queue is full.
        """
        body = {"type": kind, "args": args, "id": id or uuid.uuid4().hex, **more}
        return str(self.ask("POST", "/api/tasks", body)["id"])

    def submit_many(self, tasks: Sequence[Mapping[str, Json]]) -> list[str]:
        """Submit up to 1000 tasks ({"type", "args", ...}) at once; their ids."""
        bodies = [{**one, "id": one.get("id") or uuid.uuid4().hex} for one in tasks]
        self.ask("POST", "/api/tasks/batch", {"tasks": bodies})
        return [str(one["id"]) for one in bodies]

    def result(self, id: str, timeout: float = 30.0, queue: str = "default") -> Json:
        """The result of a task, waited for. Raises TaskFailed, Late, ApiError."""
        end = time.monotonic() + timeout
        while True:
            wait = max(0.0, min(SLICE, end - time.monotonic()))
            said = self.ask("GET", f"/api/tasks/{quote(id, safe='')}/result", wait=f"{wait:.3f}", queue=queue)
            if said["status"] in ENDED:
                return _value(id, said)
            if time.monotonic() >= end:
                raise Late(f"task {id} has not ended within {timeout:g} s")

    def run(self, kind: str, args: Json = None, *, timeout: float = 30.0, **more: Json) -> Json:
        """`submit` and `result` in one request, if it ends soon."""
        began, id = time.monotonic(), more.pop("id", None) or uuid.uuid4().hex
        body = {"type": kind, "args": args, "id": id, **more}
        said = self.ask("POST", "/api/tasks", body, wait=f"{min(SLICE, timeout):.3f}")
        if said["status"] in ENDED:
            return _value(id, said)
        return self.result(id, timeout - (time.monotonic() - began), more.get("queue", "default"))

    def task(self, id: str, queue: str = "default") -> Json:
        """All that is known of a task."""
        return self.ask("GET", f"/api/tasks/{quote(id, safe='')}", queue=queue)

    def tasks(self, status: str = "", **more: Json) -> list[Json]:
        """Tasks of a status. more: q (a text in them), limit, offset, queue."""
        found: list[Json] = self.ask("GET", "/api/tasks", status=status or None, **more)["tasks"]
        return found

    def cancel(self, id: str, queue: str = "default") -> Json:
        """End an open task. Needs admin."""
        return self.ask("POST", f"/api/tasks/{quote(id, safe='')}/cancel", {}, queue=queue)

    # -- workflows, messages, the fleet

    def workflow(self, name: str, steps: Sequence[Mapping[str, Json]], **more: Json) -> str:
        """Submit steps ({"name", "type", "args", "after"}) that wait for each other; the id of the whole."""
        body = {"name": name, "steps": list(steps), "id": uuid.uuid4().hex, **more}
        return str(self.ask("POST", "/api/workflows", body)["id"])

    def workflows(self, id: str = "", **more: Json) -> Json:
        """One workflow, or a list of them."""
        if id:
            return self.ask("GET", f"/api/workflows/{quote(id, safe='')}", **more)
        return self.ask("GET", "/api/workflows", **more)["workflows"]

    def send(self, to: str, type: str, payload: Json = None) -> Json:
        """A message to an inbox (agent.x) or a channel."""
        return self.ask("POST", "/api/messages", {"to": to, "type": type, "payload": payload, "id": uuid.uuid4().hex})

    def messages(self, inbox: str, count: int = 64) -> list[Json]:
        """Take messages out of an inbox; acknowledge them when they are handled."""
        found: list[Json] = self.ask("GET", f"/api/messages/{quote(inbox, safe='')}", count=count)["messages"]
        return found

    def acknowledge(self, inbox: str, *marks: str) -> Json:
        """They are handled."""
        return self.ask("POST", f"/api/messages/{quote(inbox, safe='')}/ack", {"marks": list(marks)})

    def status(self) -> Json:
        """How the coordinator and its Redis are, how full the queues, who leads."""
        return self.ask("GET", "/api/status")

    def agents(self, capability: str = "") -> list[Json]:
        """Those that live."""
        found: list[Json] = self.ask("GET", "/api/agents", capability=capability or None)["agents"]
        return found

    def fleet(self) -> Json:
        """All nodes and how they are."""
        return self.ask("GET", "/api/fleet")

    def events(self, since: str | int | None = None) -> Iterator[Json]:
        """What happens, as it happens, without end; from `since` (the mark of an event, or ms) what is kept."""
        from swarmops.client.stream import events

        return events(self, None if since is None else str(since))

    # -- asking

    def ask(self, method: str, path: str, body: Json = None, **query: Json) -> Json:
        """The JSON that is answered, None for nothing. Raises ApiError, Denied, Away."""
        wanted = {k: v for k, v in query.items() if v is not None}
        target = self.base + path + (f"?{urlencode(wanted)}" if wanted else "")
        data = None if body is None else json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        wait = float(query.get("wait") or 0.0)
        for left in reversed(range(TRIES)):
            fresh = getattr(self._mine, "connection", None) is None
            try:
                return self._once(method, target, data, wait)
            except (OSError, http.client.HTTPException) as e:
                self.close()
                # A connection that was kept may have been closed meanwhile: that says nothing of the coordinator.
                if fresh:
                    self.untrusted(e)
                    if not left:
                        raise Away(0, f"{self.host}:{self.port}: {e or type(e).__name__}") from None
                    time.sleep(0.2)
        raise Away(0, f"{self.host}:{self.port} does not answer")

    def _once(self, method: str, target: str, data: bytes | None, wait: float) -> Json:
        connection = self._connection(self.timeout + wait)
        connection.request(method, target, data, self._headers(data))
        answer = connection.getresponse()
        said = answer.read()
        if answer.will_close:
            self.close()
        return _read(answer, said)

    def _headers(self, data: bytes | None = None) -> dict[str, str]:
        found = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        return {**found, "Content-Type": "application/json"} if data is not None else found

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        there: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if there is None:
            there = self._mine.connection = self.connect(timeout)
        there.timeout = timeout
        if there.sock is not None:
            there.sock.settimeout(timeout)
        return there

    def untrusted(self, e: BaseException) -> None:
        """Raises Untrusted where `e`, with which a new connection failed, says so."""
        port = self.port or (443 if self._tls else 80)
        if why := mistaken(e, self.host, port, self._tls is not None):
            raise Untrusted(0, f"{self.host}:{port}: {why}") from None

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        """A connection of its own."""
        if self._tls:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)


def _value(id: str, said: Json) -> Json:
    if said["status"] != "done":
        raise TaskFailed(id, said["status"], said.get("error") or "")
    return said["result"]


def _read(answer: http.client.HTTPResponse, said: bytes) -> Json:
    try:
        value = json.loads(said) if said else None
    except ValueError:
        value = None
    if answer.status < 400:
        return value
    named = value if isinstance(value, dict) else {}
    sentence, path = str(named.get("error") or f"HTTP {answer.status}"), str(named.get("path") or "")
    after = answer.headers.get("Retry-After", "")
    kind = Denied if answer.status in (401, 403) else Away if answer.status == 503 else ApiError
    raise kind(answer.status, sentence, path, float(after) if after.isdigit() else None)
