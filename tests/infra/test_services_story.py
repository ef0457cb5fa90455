"""Six hosts at work: deployed once, given tasks from outside, each stopped and started again (issue 4, section 4)."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swarmops.delivery.release import locks
from swarmops.delivery.release.lock import locked
from swarmops.delivery.release.parts import ReleaseError, Target
from swarmops.lab import Lab
from swarmops.model.secrets import Store
from tests.conftest import lacking
from tests.infra.caller import Answer, Caller
from tests.infra.fleet import Controller, shipped
from tests.infra.small import until
from tests.services import dashboard

DEBIAN_13 = Target("3.13", "x86_64", "glibc 2.41")
EXTRAS = (["api"], ["page"], ["npu", "worker"], ["ai", "worker"], ["browser", "worker"])
ADDRESS = {"coordinator": 20, "frontend": 21, "npu": 22, "redis": 23, "ai": 24, "browser": 25}
PORT = {"coordinator": 8002, "frontend": 5173, "npu": 8081, "redis": 6379, "ai": 8080, "browser": 3000}
OURS = [role for role in ADDRESS if role != "redis"]
PAGE = "http://172.16.168.21:5173/"
# The browser may look at one page of the LAN, and the page lets it in.
WISHES = {
    "base_time_sync": "none",
    "redis_vector_sets": True,
    "frontend_clients": ["coordinator", "controller", "browser"],
    "browser_options": {"allow": ["172.16.168.21:5173"], "allow_private": ["172.16.168.21/32"]},
}


def base(role: str) -> str:
    return f"http://172.16.168.{ADDRESS[role]}:{PORT[role]}"


class Fleet:
    """The deployed fleet, and a client of it."""

    def __init__(self, lab: Lab, controller: Controller, store: Store):
        self.lab, self.controller, self.store = lab, controller, store
        self.http = Caller(lab.controller_argv([]))

    def token(self, name: str) -> str:
        return f"{name}.{self.store.get(f'api.{name}').open()}"

    def ask(self, path: str, token: str = "read", **how: Any) -> Answer:
        return self.http("GET", base("coordinator") + path, self.token(token) if token else "", **how)

    def work(self, kind: str, args: dict[str, Any], timeout: float = 60, **more: Any) -> dict[str, Any]:
        """A task given by the API, and its record when it is done."""
        task = {"type": kind, "args": args, **more}
        given = self.http("POST", base("coordinator") + "/api/tasks", self.token("worker"), task)
        assert given.status == 202, given
        id, end = given.json["id"], time.monotonic() + timeout
        while (told := self.ask(f"/api/tasks/{id}/result?wait=10", "worker")).status == 202:
            assert time.monotonic() < end, f"{kind} is not done within {timeout:g} s: {self.ask(f'/api/tasks/{id}')}"
        assert told.status == 200 and told.json["status"] == "done", told
        return {**self.ask(f"/api/tasks/{id}").json, **told.json}

    def health(self, role: str) -> Answer:
        return self.http("GET", base(role) + ("/api/health" if role == "coordinator" else "/health"), timeout=3)

    def on(self, role: str, script: str) -> str:
        done = self.lab.exec(f"{role}-1", ["sh", "-c", script], timeout=60)
        assert done.returncode == 0, f"{role}-1: {script}: {done.stdout}{done.stderr}"
        return str(done.stdout).strip()

    def deploy(self, *args: str) -> Any:
        return self.controller.deploy(*args)


@pytest.fixture(scope="module")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    lab.reset()
    state = lab.files.controller
    for name in ("peers.json", "machines.json", "failed.json"):
        (state / name).unlink(missing_ok=True)
    try:  # here, since the lab's network has no way out
        for extras in EXTRAS:
            locked(locks(state), extras, DEBIAN_13)
    except ReleaseError as e:
        lacking(f"wheels for the hosts: {e}")
    folder = tmp_path_factory.mktemp("secrets")
    folder.chmod(0o700)
    project = shipped(tmp_path_factory.mktemp("project"), **WISHES)
    controller = Controller(lab, project, {"SWARMOPS_SECRETS": str(folder / "secrets.yaml")})
    made = controller.run("secrets", "init", "-i", "lan")
    assert made.code == 0, made
    found = Fleet(lab, controller, Store.at(None, "swarm", controller.env))
    try:
        found.first = found.deploy()  # type: ignore[attr-defined]
        assert found.first.code == 0, found.first  # type: ignore[attr-defined]
        yield found
    finally:
        found.http.close()


def test_after_one_deploy_all_is_well_and_a_second_changes_nothing(fleet: Fleet) -> None:
    for role in OURS:
        assert fleet.health(role).json["status"] == "ok", role
    second = fleet.deploy()
    assert second.code == 0 and fleet.controller.changed(second) == [], second
    print("deploy:", fleet.first.json["recap"]["seconds"], "again:", second.json["recap"]["seconds"])  # type: ignore[attr-defined]


# -- work: given from outside, done on the host that can do it


def test_texts_are_embedded_on_npu(fleet: Fleet) -> None:
    done = fleet.work("embed", {"texts": ["a cat", "a dog"]}, needs=["infer"])  # which of the two hosts: the NPU's
    assert done["worker"].startswith("npu-1")
    assert [len(vector) for vector in done["result"]["vectors"]] == [384, 384] and done["result"]["device"]
    here = fleet.http("GET", base("npu") + "/health", fleet.token("read")).json
    assert here["status"] == "ok" and "npu" in here["lacking"]  # reported, and no failure (S4-25)


def test_notes_are_indexed_and_found_on_ai(fleet: Fleet) -> None:
    notes = {"a": "The cat sleeps on the sofa", "b": "Redis keeps the queue", "c": "Rain is expected tomorrow"}
    items = [{"id": id, "text": text} for id, text in notes.items()]
    assert fleet.work("index", {"collection": "story", "items": items})["result"]["indexed"] == 3
    done = fleet.work("search", {"collection": "story", "text": "what is the weather going to be?", "k": 1})
    assert done["worker"].startswith("ai-1") and done["result"]["results"][0]["id"] == "c"
    told = fleet.http("GET", base("ai") + "/health", fleet.token("read")).json
    assert told["facts"]["vectors"] == "set", told  # the vector sets of Redis 8


def test_a_page_of_the_lan_is_drawn_on_browser(fleet: Fleet) -> None:
    done = fleet.work("screenshot", {"url": PAGE}, timeout=90)
    assert done["worker"].startswith("browser-1") and done["result"]["type"] == "image/png"
    picture = fleet.ask(f"/api/contexts/{done['result']['ref']}")
    assert picture.status == 200 and picture.raw[:8] == b"\x89PNG\r\n\x1a\n" and len(picture.raw) > 2000, picture
    refused = fleet.http(
        "POST",
        base("coordinator") + "/api/tasks",
        fleet.token("worker"),
        {"type": "fetch", "args": {"url": "http://172.16.168.20:8002/api/health"}, "retries": 0},
    )
    told = until(lambda: _ended(fleet, refused.json["id"]), 30, "the fetch of a page that is not allowed")
    assert told["status"] in ("failed", "dead") and "172.16.168.20" in told["error"], told


@dataclass
class Dashboard:
    url: str
    tokens: dict[str, str]


def test_the_dashboard_shows_it_all(fleet: Fleet, tmp_path: Path) -> None:
    """S4-02, S4-44: in a real browser on the operator's network, with what check-health saw of the hosts."""
    told = fleet.controller.run("check-health", "lan", "--publish", "auto")
    assert told.code == 0, told
    inside = tmp_path / "chromium-in-the-lab"
    inside.write_text(f'#!/bin/sh\nexec {shlex.join(fleet.lab.controller_argv([dashboard.CHROMIUM or ""]))} "$@"\n')
    inside.chmod(0o755)
    place = Dashboard(PAGE.rstrip("/"), {"read": fleet.token("read")})
    with dashboard.chromium(str(inside) if dashboard.CHROMIUM else None) as browser:
        context = browser.new_context(viewport=dashboard.DESK)
        visit = dashboard.Visit(context, place)
        page = visit.login()
        for role in ADDRESS:
            page.get_by_text(f"{role}-1", exact=True).first.wait_for()
        visit.picture("story-overview")
        page = visit.go("network")
        page.get_by_role("radio", name="Handshake age").check(force=True)
        visit.picture("story-network")
        page = visit.go("tasks")
        for kind in ("embed", "search", "screenshot"):
            page.get_by_text(kind, exact=True).first.wait_for()
        visit.picture("story-tasks")
        page.get_by_label("Search").fill("embed")
        page.get_by_role("button", name="embed").first.click()
        page.get_by_role("dialog").get_by_text("npu-1").first.wait_for()
        visit.picture("story-task", whole=False)
        visit.expect_complaint("Cross-Origin-Opener-Policy")  # a browser heeds it over HTTPS only, and says so
        assert visit.hosts == {place.url, base("coordinator")} and visit.complaints == []


def _ended(fleet: Fleet, id: str) -> dict[str, Any] | None:
    told = fleet.ask(f"/api/tasks/{id}").json
    return told if told["status"] not in ("queued", "ready", "running", "delayed", "blocked") else None


def test_what_happened_can_be_read(fleet: Fleet) -> None:
    events = fleet.ask("/api/events/recent?limit=200").json["events"]
    assert {"agent.registered", "task.submitted", "task.done"} <= {e["what"] for e in events}
    kinds = fleet.ask("/api/kinds").json["kinds"]
    assert {"embed", "infer", "index", "search", "screenshot", "fetch"} <= set(kinds)
    leader = fleet.ask("/api/status").json["leader"]
    assert leader and leader["id"]


# -- who may do what


def test_without_a_token_there_is_nothing_but_ok(fleet: Fleet) -> None:
    """S15: and the page's address is the only one that a browser may ask from (S17, S4-35)."""
    for role in OURS:
        told = fleet.health(role).json
        assert set(told) <= {"status", "role"}, (role, told)
    for role, path in {
        "coordinator": "/api/status",
        "npu": "/metrics",
        "ai": "/v1/models",
        "browser": "/metrics",
    }.items():
        for token in ("", "admin.x", fleet.token("read").replace("read.", "admin.")):
            assert fleet.http("GET", base(role) + path, token).status == 401, (role, token[:5])
    denied = fleet.http("POST", base("coordinator") + "/api/tasks", fleet.token("read"), {"type": "embed", "args": {}})
    assert denied.status == 403, denied


def test_only_the_right_hosts_reach_a_service(fleet: Fleet) -> None:
    """S6, S4-33: least privilege, not the subnet; a stranger reaches nothing."""
    wanted = {
        "coordinator": {"frontend"},
        "frontend": {"coordinator", "browser"},
        "npu": {"coordinator"},
        "redis": {"coordinator", "npu", "ai", "browser"},
        "ai": {"coordinator"},
        "browser": {"coordinator"},
    }
    found: dict[str, set[str]] = {role: set() for role in ADDRESS}

    def look(asking: str) -> None:
        others = [f"172.16.168.{ADDRESS[r]}:{PORT[r]}" for r in ADDRESS if r != asking]
        for place in fleet.on(asking, f"python3 -c '{REACHED}' {' '.join(others)}").split():
            last = int(place.split(":")[0].rsplit(".")[-1])
            found[next(r for r, n in ADDRESS.items() if n == last)].add(asking)

    with ThreadPoolExecutor() as pool:
        list(pool.map(look, ADDRESS))
    assert found == wanted
    everything = [f"{net}.{ADDRESS[r]}:{PORT[r]}" for r in ADDRESS for net in ("172.16.168", "10.77.0")]
    assert fleet.lab.outside_exec(["python3", "-c", REACHED, *everything]).stdout == ""


REACHED = """
import socket, sys, threading
def look(place):
    host, port = place.split(":")
    try:
        socket.create_connection((host, int(port)), 2).close()
        print(place)
    except OSError:
        pass
all = [threading.Thread(target=look, args=(p,)) for p in sys.argv[1:]]
[t.start() for t in all]; [t.join() for t in all]
"""


@pytest.mark.parametrize("role", OURS)
def test_units_are_locked_up(fleet: Fleet, role: str) -> None:
    """S14, S21: also the browser's, whose Chromium has its own sandbox on."""
    unit = f"swarmops-{role}.service"
    fleet.on(role, f"systemd-analyze security --no-pager --threshold=20 {unit}")
    shown = dict(line.split("=", 1) for line in fleet.on(role, f"systemctl show {unit}").splitlines() if "=" in line)
    assert shown["User"] == f"swarmops-{role}" and shown["NRestarts"] == "0" and shown["Type"] == "notify"
    users = fleet.on(
        role, f"ps -o user:32= -p $(cat /sys/fs/cgroup/system.slice/{unit}/cgroup.procs | tr '\\n' ,)0 || true"
    )
    assert users == "" or set(users.split()) == {f"swarmops-{role}"}, users


def test_no_secret_is_where_others_see_it(fleet: Fleet) -> None:
    """S12: canaries are all secrets of the store. S11: what holds one is root's alone."""
    canaries = {s.name: s.open() for s in fleet.store.values()}
    assert {"api.admin", "api.worker", "redis.app"} <= set(canaries)
    said = fleet.first.out + fleet.first.err  # type: ignore[attr-defined]
    for role in ADDRESS:
        said += fleet.on(
            role, "journalctl -b --no-pager -o cat; cat /etc/systemd/system/*.service /proc/[0-9]*/cmdline; true"
        )
        said += fleet.on(role, "cat /proc/[0-9]*/environ /opt/swarmops/*/release.json 2>/dev/null; true")
        secret = "find /etc/swarmops -type f -printf '%m %u %p\\n'"
        assert {line.split()[:2] == ["600", "root"] for line in fleet.on(role, secret).splitlines()} == {True}
    assert [name for name, value in canaries.items() if value[:200] in said] == []
    tokens = json.loads(fleet.on("coordinator", "cat /etc/swarmops/coordinator-tokens.json"))
    assert all(re.fullmatch(r"[0-9a-f]{64}", t["sha256"]) for t in tokens)


# -- change, and trouble


def test_a_deploy_of_one_host_touches_no_other(fleet: Fleet) -> None:
    """S4-40; and a configuration with which a service does not come up gives way to the one before."""
    one = fleet.deploy("-l", "npu-1", "-e", "npu_concurrency=8")
    assert one.code == 0 and {s["host"] for s in one.json["steps"]} == {"npu-1"}, one
    assert "npu-1 npu/write the configuration" in fleet.controller.changed(one)
    bad = fleet.deploy("-l", "npu-1", "-e", "npu_options={'device': 'ABACUS'}", "-e", "npu_concurrency=8")
    assert bad.code == 1 and "the previous" in " ".join(fleet.controller.failed(bad).values()), bad
    assert fleet.health("npu").json["status"] == "ok"
    assert json.loads(fleet.on("npu", "cat /etc/swarmops/npu.json"))["concurrency"] == 8
    back = fleet.deploy("-l", "npu-1")
    assert back.code == 0 and fleet.controller.changed(back), back


@pytest.mark.parametrize("role", [*ADDRESS])
def test_one_host_stopped_leaves_the_others_at_work(fleet: Fleet, role: str) -> None:
    """S4-39: they stay up, and who looks is told which one is down; when it is back, all is well with no hand."""
    before = {r: _restarts(fleet, r) for r in OURS if r != role}
    fleet.lab.stop([f"{role}-1"])
    try:
        if role == "coordinator":
            looked = fleet.controller.run("check-health", "lan", "--json")
            assert [h["host"] for h in looked.json["hosts"] if h["state"] == "CRITICAL"] == ["coordinator-1"], looked
        elif role == "redis":
            until(lambda: fleet.health("coordinator").status == 503, 20, "the coordinator says that Redis is away")
            until(lambda: fleet.health("npu").json["status"] == "degraded", 20, "so does the NPU's worker")
        else:
            until(lambda: _down(fleet) == [f"{role}-1"], 30, f"{role}-1 alone is named as down")
        for other in OURS if role != "redis" else []:
            assert other == role or fleet.health(other).json["status"] == "ok", other
        told = fleet.controller.run("status", "lan", "--json").json
        assert {n["node"] for n in told["nodes"] if n["status"] == "offline"} == {f"{role}-1"}, told
        states = {s["service"]: s["state"] for s in told["services"]}
        assert states.pop(role) == "down" and (role == "redis" or set(states.values()) == {"well"}), told
    finally:
        fleet.lab.start([f"{role}-1"])
        fleet.lab.wait([f"{role}-1"])
    until(lambda: all(_ok(fleet, r) for r in OURS), 60, "all are well again")
    assert {r: _restarts(fleet, r) for r in before} == before


def _restarts(fleet: Fleet, role: str) -> str:
    return fleet.on(role, f"systemctl show -p NRestarts --value swarmops-{role}")


def _ok(fleet: Fleet, role: str) -> bool:
    told = fleet.health(role)
    return told.status == 200 and told.json["status"] == "ok"


def _down(fleet: Fleet) -> list[str] | None:
    """The nodes that are not well by the coordinator's own looks."""
    told = fleet.ask("/api/fleet")
    if told.status != 200:
        return None
    return [n["name"] for n in told.json["nodes"] if any(s["state"] == "critical" for s in n["services"])]


def test_after_all_that_tasks_are_done_as_before(fleet: Fleet) -> None:
    until(lambda: _down(fleet) == [], 40, "nobody is said to be down any more")
    assert fleet.work("embed", {"texts": ["still there"]})["result"]["dim"] == 384
    assert fleet.controller.changed(fleet.deploy()) == []
