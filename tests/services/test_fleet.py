"""The fleet as the coordinator sees it (S4-39, S4-44), and what commands publish."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from swarmops.runtime import Runtime
from tests.runtime.server import Server, free_port
from tests.services.agents import until
from tests.services.coordinator import Coordinator


class Service:
    """Something with /health that answers as it is told."""

    def __init__(self) -> None:
        self.status, self.body, self.delay = 200, {"status": "ok"}, 0.0
        service = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                time.sleep(service.delay)
                data = json.dumps(service.body).encode()
                self.send_response(service.status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/health"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, Service]]:
    made = {name: Service() for name in ("npu-1", "ai-1", "browser-1", "slow-1")}
    made["ai-1"].body = {"status": "degraded", "why": "no NPU was found"}
    made["browser-1"].status, made["browser-1"].body = 503, {"status": "draining"}
    made["slow-1"].delay = 5.0
    yield made
    for one in made.values():
        one.close()


@pytest.fixture(scope="module")
def api(redis: Server, services: dict[str, Service], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    urls = {name: one.url for name, one in services.items()} | {"gone-1": f"http://127.0.0.1:{free_port()}/health"}
    nodes = [{"name": n, "roles": [n[:-2]], "address": "127.0.0.1", "mesh_address": f"10.77.0.{i}"}
             for i, n in enumerate([*urls, "coordinator-1", "plain-1"], 1)]  # fmt: skip
    listed = [{"name": n, "role": n[:-2], "node": n, "url": url} for n, url in urls.items()]
    coordinator = Coordinator(tmp_path_factory.mktemp("api"), redis, nodes=nodes, services=listed).start()
    yield coordinator
    coordinator.close()


def fleet(api: Coordinator) -> dict[str, Any]:
    found: dict[str, Any] = api.ask("GET", "/api/fleet", who="read").json()
    return found


def nodes(api: Coordinator) -> dict[str, dict[str, Any]]:
    return {n["name"]: n for n in fleet(api)["nodes"]}


def looked_at(api: Coordinator) -> dict[str, dict[str, Any]]:
    """The nodes, once every service was looked at."""

    def all_seen() -> Any:
        found = nodes(api)
        return all(s["at_ms"] for n in found.values() for s in n["services"]) and found

    return until(all_seen, "every service was looked at")


def test_every_node_says_how_it_is_and_why(api: Coordinator) -> None:
    found = looked_at(api)
    assert {n: found[n]["state"] for n in found} == {
        "npu-1": "ok", "ai-1": "warning", "browser-1": "critical", "slow-1": "critical", "gone-1": "critical",
        "coordinator-1": "unknown", "plain-1": "unknown",
    }  # fmt: skip
    assert found["ai-1"]["why"] == "ai: no NPU was found"
    assert "503: it says draining" in found["browser-1"]["why"]
    assert "did not answer within 3 s" in found["slow-1"]["why"] and "nobody listens" in found["gone-1"]["why"]
    service = found["npu-1"]["services"][0]
    assert service["latency_ms"] > 0 and service["why"] == "" and found["npu-1"]["mesh_address"] == "10.77.0.1"
    assert found["gone-1"]["services"][0]["latency_ms"] is None


def test_history_holds_what_was_measured(api: Coordinator) -> None:
    looked_at(api)
    series = until(lambda: api.ask("GET", "/api/fleet/history?minutes=5", who="read").json()["series"])
    at, latency = series["npu-1"][-1]
    assert abs(at / 1000 - time.time()) < 60 and latency > 0
    assert series["gone-1"][-1][1] is None


def test_a_change_is_an_event(api: Coordinator, services: dict[str, Service]) -> None:
    looked_at(api)

    def said() -> dict[str, str]:
        events = api.ask("GET", "/api/events/recent?limit=1000", who="read").json()["events"]
        return {e["id"]: e["fields"]["state"] for e in events if e["what"] == "fleet.service"}

    assert until(lambda: len(said()) == 5 and said())["npu-1"] == "ok"
    services["npu-1"].status = 500
    until(lambda: said()["npu-1"] == "critical" and nodes(api)["npu-1"]["state"] == "critical")
    services["npu-1"].status = 200


HEALTH = {
    "schema": "swarmops.health/1", "state": "WARNING", "exit": 1, "at": 1.0, "seconds": 1.0, "counts": {},
    "services": {},
    "hosts": [
        {"host": "plain-1", "state": "WARNING", "roles": ["base"], "checks": [
            {"id": "base/disk", "role": "base", "name": "disk", "probe": "disk", "state": "WARNING", "value": 91,
             "unit": "%", "detail": "91 % used"},
            {"id": "latency/to npu-1", "role": "latency", "name": "to npu-1", "probe": "latency", "state": "OK",
             "value": 0.4, "unit": "ms", "detail": ""},
            {"id": "wireguard/mesh", "role": "wireguard", "name": "mesh", "probe": "wireguard", "state": "OK",
             "value": 40.0, "unit": "s", "detail": ""}]},
        {"host": "npu-1", "state": "OK", "roles": ["npu"], "checks": [
            {"id": "wireguard/mesh", "role": "wireguard", "name": "mesh", "probe": "wireguard", "state": "OK",
             "value": 15.0, "unit": "s", "detail": ""}]},
        {"host": "not-ours", "state": "OK", "roles": [], "checks": []},
    ],
}  # fmt: skip


def test_what_check_health_found_is_shown(api: Coordinator) -> None:
    assert api.ask("POST", "/api/fleet", HEALTH, "read").status_code == 403
    answer = api.ask("POST", "/api/fleet", HEALTH, "admin")
    assert answer.status_code == 200 and answer.json()["hosts"] == 3
    found = nodes(api)["plain-1"]
    assert found["state"] == "warning" and "disk: 91 % used" in found["why"]
    assert found["checked_ms"] == answer.json()["published_ms"]
    assert {"name": "base: disk", "state": "warning", "detail": "91 % used"} in found["checks"]
    links = {(w["from"], w["to"]): w for w in fleet(api)["links"]}
    assert links["plain-1", "npu-1"]["latency_ms"] == 0.4 and links["plain-1", "npu-1"]["handshake_age_s"] == 15.0
    assert ("coordinator-1", "ai-1") in links and "not-ours" not in str(links)


@pytest.mark.parametrize(
    "document", [{}, {"schema": "swarmops.health/1"}, {"schema": "other", "hosts": []},
                 {"schema": "swarmops.health/1", "hosts": [1]},
                 {"schema": "swarmops.health/1", "hosts": [{"host": "x", "checks": [3]}]}],
)  # fmt: skip
def test_a_document_that_is_none_is_refused(api: Coordinator, document: Any) -> None:
    assert api.ask("POST", "/api/fleet", document, "admin").status_code == 422


def test_backups_are_kept_as_they_were_published(api: Coordinator) -> None:
    assert api.ask("GET", "/api/backups", who="read").json() == {"sets": [], "published_ms": None}
    sets = [{"host": "redis-1", "backup": "redis/dump", "at_ms": 1_700_000_000_000, "bytes": 12, "verified": None}]
    assert api.ask("POST", "/api/backups", {"sets": sets}, "submit").status_code == 403
    said = api.ask("POST", "/api/backups", {"sets": sets}, "admin").json()
    assert api.ask("GET", "/api/backups", who="read").json() == {"sets": sets, "published_ms": said["published_ms"]}
    wrong = [{**sets[0], "bytes": -1}]
    assert api.ask("POST", "/api/backups", {"sets": wrong}, "admin").json()["path"] == "sets[0].bytes"


def test_the_room_keeps_documents_and_samples(redis: Server) -> None:
    with Runtime(redis.settings, namespace="room") as rt:
        assert rt.fleet.published("health") is None
        at = rt.fleet.publish("health", {"a": 1}, "me")
        held = rt.fleet.published("health")
        assert held and held.value == {"a": 1} and held.at_ms == at and held.by == "me"
        assert rt.fleet.sample({"x": 1.5, "y": None}, {"x": ("ok", ""), "y": ("critical", "gone")}) == 2
        assert rt.fleet.sample({"x": 2.5, "y": None}, {"x": ("ok", ""), "y": ("critical", "gone")}) == 0
        assert rt.fleet.sample({"x": 2.5}, {"x": ("warning", "slow")}) == 1
        assert [latencies for _, latencies in rt.fleet.samples(5)] == [
            {"x": 1.5, "y": None}, {"x": 2.5, "y": None}, {"x": 2.5}
        ]  # fmt: skip
        assert rt.fleet.samples(5, limit=1)[0][1] == {"x": 2.5}
        what = [e.what for e in rt.events.read()]
        assert what.count("fleet.service") == 3 and what.count("fleet.published") == 1
