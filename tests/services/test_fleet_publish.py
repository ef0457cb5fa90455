"""`check-health --publish` and `collect-backups --publish`: what a command found reaches the coordinator."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmops.cli._publish import newest_backups
from swarmops.delivery import records
from swarmops.model.faults import InputError
from swarmops.operate.nodes import Book, Node, Status
from tests.runtime.commands import Command, in_process
from tests.runtime.server import Server, free_port
from tests.services.coordinator import Coordinator

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))
ROLE = """\
role: coordinator
vars: {port: 1}
checks:
  - {name: answers, tcp: {host: "{{ address }}", port: "{{ port }}"}, from: controller, within: 2s}
"""


@pytest.fixture(scope="module")
def api(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    nodes = [{"name": "coordinator-1", "roles": ["coordinator"], "address": "127.0.0.1"}]
    coordinator = Coordinator(tmp_path_factory.mktemp("api"), redis, nodes=nodes).start()
    yield coordinator
    coordinator.close()


@pytest.fixture
def project(tmp_path: Path, api: Coordinator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One coordinator, which is looked at from here only."""
    host = f"{{ansible_host: 127.0.0.1, kind: managed, coordinator_port: {api.port}}}"
    files = {
        "distributed.yaml": "version: 1\ninfrastructure: {coordinator: coordinator}\n"
        "services: {coordinator: {port: 8002}}\nnetwork: {subnet: 127.0.0.0/24, controllers: [127.0.0.1/32]}\n",
        "inventory/lan/hosts.yaml": f"coordinator: {{hosts: {{coordinator-1: {host}}}}}\n",
        "roles/coordinator/role.yaml": ROLE,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("SWARMOPS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SWARMOPS_TOKEN", api.tokens["admin"])
    return tmp_path


@pytest.fixture
def swarmops(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return in_process(monkeypatch, capsys)


def test_the_verdict_reaches_the_coordinator(project: Path, api: Coordinator, swarmops: Command) -> None:
    said = swarmops("check-health", "lan", "--project", str(project), "--publish", "auto", "--json")
    assert said.code == 0, said.err
    node = api.ask("GET", "/api/fleet", who="read").json()["nodes"][0]
    assert node["state"] == "ok" and node["checked_ms"]
    assert {"coordinator: answers"} <= {c["name"] for c in node["checks"]}


def test_a_node_that_went_back_is_shown(project: Path, api: Coordinator, swarmops: Command) -> None:
    """What reconcile knows of a node is no check of it, and is shown all the same, until a deploy ends it."""
    state = project / "state"
    why = "coordinator went back from coordinator-b to coordinator-a: answers: it did not"
    records.end_deploy(state, ["coordinator-1"], [])
    book = Book(state)
    book.put("coordinator-1", Node(Status.ERROR, why, gone_back=why, gone_back_at=time.time() + 60))
    book.save()
    said = swarmops("reconcile", "lan", "--project", str(project), "--once", "--publish", "auto")
    assert said.code == 1 and "1 error" in said.out, said
    node = api.ask("GET", "/api/fleet", who="read").json()["nodes"][0]
    assert node["state"] == "critical" and why in node["why"]
    book.put("coordinator-1", Node(Status.ERROR, why, gone_back=why, gone_back_at=1.0))
    book.save()
    assert swarmops("reconcile", "lan", "--project", str(project), "--once", "--publish", "auto").code == 0
    assert api.ask("GET", "/api/fleet", who="read").json()["nodes"][0]["state"] == "ok"


def test_a_coordinator_that_is_away_is_said(project: Path, swarmops: Command) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    said = swarmops("check-health", "lan", "--project", str(project), "--publish", url)
    assert said.code == 3 and "not published at" in said.err and "Traceback" not in said.err


def test_a_bad_token_is_said_and_not_shown(
    project: Path, api: Coordinator, swarmops: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARMOPS_TOKEN", "admin.notTheSecretOfAnybody")
    said = swarmops("check-health", "lan", "--project", str(project), "--publish", api.url)
    assert said.code == 3 and "a good token is needed" in said.err and "notTheSecret" not in said.err + said.out


def test_without_a_token_it_says_how_to_get_one(
    project: Path, api: Coordinator, swarmops: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWARMOPS_TOKEN")
    said = swarmops("check-health", "lan", "--project", str(project), "--publish", "auto")
    assert said.code == 2 and "api.admin" in said.err and "SWARMOPS_TOKEN" in said.err


def test_the_secret_of_the_store_is_shown_to_the_coordinator(
    project: Path, api: Coordinator, swarmops: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWARMOPS_TOKEN")
    monkeypatch.setenv("SWARMOPS_SECRET_API_ADMIN", api.tokens["admin"].removeprefix("admin."))
    said = swarmops("check-health", "lan", "--project", str(project), "--publish", "auto")
    assert said.code == 0, said.err


def test_what_backups_there_are(tmp_path: Path, api: Coordinator) -> None:
    from backups_hosts import files_item, gather

    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/a.conf").write_text("a = 1\n")
    outcome = gather(tmp_path / "backups", {"web-1": [files_item(tmp_path / "etc")]})
    (newest,) = newest_backups(tmp_path / "backups", outcome.manifest["tier"])
    assert newest["host"] == "web-1" and newest["bytes"] == 6 and newest["verified"] is None
    assert newest["at_ms"] > 1_600_000_000_000
    assert api.ask("POST", "/api/backups", {"sets": [newest]}, "admin").status_code == 200
    assert newest_backups(tmp_path / "none", "lan") == []


def test_an_inventory_without_a_coordinator(project: Path, swarmops: Command) -> None:
    (project / "distributed.yaml").write_text(
        "version: 1\ninfrastructure: {coordinator: coordinator}\n"
        "network: {subnet: 127.0.0.0/24, controllers: [127.0.0.1/32]}\n"
    )
    from swarmops.cli import _publish
    from swarmops.model.faults import Faults
    from swarmops.model.project import Project

    (project / "inventory/lan/hosts.yaml").write_text("others: {hosts: {x: {ansible_host: 127.0.0.1}}}\n")
    with pytest.raises(InputError, match="no host of this inventory is a coordinator"):
        _publish.coordinator(Project.open(str(project), None, Faults()))
