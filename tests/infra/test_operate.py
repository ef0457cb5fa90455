"""The day-to-day on two hosts: status, logs, stop and start, maintenance, and reconcile putting right what fails."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from swarmops.lab import Guest
from tests.infra.small import Small, until

HOSTS = {"web-1": "10.71.0.11", "web-2": "10.71.0.12"}
UNIT = """[Unit]
Description=A page
[Service]
ExecStart=/usr/bin/python3 -u -m http.server --directory /srv 8000
DynamicUser=yes
[Install]
WantedBy=multi-user.target
"""
ROLE = f"""role: web
tasks:
  - {{name: make the folder, file: {{path: /srv, state: directory, mode: "0755"}}}}
  - name: write the unit
    copy: {{content: {json.dumps(UNIT)}, dest: /etc/systemd/system/page.service, mode: "0644"}}
  - {{name: keep the page up, systemd: {{name: page, enabled: true, state: started}}}}
checks:
  - {{name: page answers, http: {{url: "http://127.0.0.1:8000/"}}}}
"""


@pytest.fixture(scope="module")
def pages(can_lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    small = Small.up("operate", [Guest(n, a) for n, a in HOSTS.items()], tmp_path_factory.mktemp("operate"))
    try:
        small.declare(
            {
                "deployment": {"name": "operate", "tier": "lan"},
                "infrastructure": {"web": "web", "journal": "all"},
                "services": {"web": {"port": 8000, "path": "/"}},
            },
            {"web": {n: {"ansible_host": a} for n, a in HOSTS.items()}},
            journal_collector="web-1",
        )
        assert small.controller.run("secrets", "init").code == 0
        small.file("roles/web/role.yaml", ROLE)
        yield small
    finally:
        small.lab.down(now=True)


def spoil(small: Small, host: str) -> None:
    """From now on no start of the page works."""
    bad = "/run/systemd/system/page.service.d"
    small.on(
        host,
        f"mkdir -p {bad}; printf '[Service]\\nExecStartPre=/bin/false\\n' > {bad}/bad.conf; systemctl daemon-reload",
    )


def mend(small: Small, host: str) -> None:
    small.on(host, "rm -r /run/systemd/system/page.service.d; systemctl daemon-reload")


def status(small: Small) -> dict[str, str]:
    said = small.controller.run("status", "lan", "--json")
    return {n["node"]: n["status"] for n in said.json["nodes"]}


@pytest.fixture(scope="module")
def deployed(pages: Small) -> Small:
    assert status(pages) == {"web-1": "pending", "web-2": "pending"}
    said = pages.controller.deploy()
    assert said.code == 0, said
    return pages


def test_status_names_states_and_urls(deployed: Small) -> None:
    said = deployed.controller.run("status")
    assert said.code == 0, said
    assert "http://10.71.0.11:8000" in said.out and said.out.count("online") == 2
    deployed.lab.fault("pause", "web-2")
    try:
        said = deployed.controller.run("status", "--json")
        found = {n["node"]: (n["status"], n["why"]) for n in said.json["nodes"]}
        assert said.code == 1 and found["web-1"][0] == "online"
        assert found["web-2"][0] == "offline" and "frozen" in found["web-2"][1]
        assert [s["state"] for s in said.json["services"]] == ["well", "down"]
    finally:
        deployed.lab.heal()


def test_stop_and_start_by_role_host_and_unit(deployed: Small) -> None:
    run = deployed.controller.run
    said = run("stop", "web", "--json")
    assert said.code == 0 and [s["text"] for s in said.json["services"]] == ["stopped", "stopped"]
    assert deployed.on("web-1", "systemctl is-active page", well=False) == "inactive"
    assert status(deployed) == {"web-1": "degraded", "web-2": "degraded"}
    assert run("start", "web-1").code == 0
    assert status(deployed) == {"web-1": "online", "web-2": "degraded"}
    spoil(deployed, "web-2")
    try:
        said = run("restart", "page")
        assert said.code == 1 and "web-1  page  restarted" in said.out and "web-2  page  restarted" not in said.out
    finally:
        mend(deployed, "web-2")
    assert run("start", "all").code == 0
    assert set(status(deployed).values()) == {"online"}
    said = run("stop", "wbe", "nobody")
    assert said.code == 2 and "wbe, nobody" in said.err and "Traceback" not in said.err


def test_logs_of_all_hosts_in_order_and_followed(deployed: Small) -> None:
    get = "python3 -c \"import urllib.request as u; u.urlopen('http://127.0.0.1:8000/?{}').read()\""
    for n, host in enumerate(["web-1", "web-2", "web-1"]):
        deployed.on(host, get.format(f"mark{n}"))
    said = deployed.controller.run("logs", "web", "--json", "--since=-5min")
    lines = [json.loads(line) for line in said.out.splitlines()]
    marks = [(line["host"], line["text"].split("?")[1][:5]) for line in lines if "?mark" in line["text"]]
    assert marks == [("web-1", "mark0"), ("web-2", "mark1"), ("web-1", "mark2")]
    assert {line["unit"] for line in lines} == {"page"}

    child = deployed.controller.start("logs", "web", "-f", "-n", "0")
    assert child.stdout
    followers = "pgrep -cx journalctl || true"
    until(lambda: deployed.on("web-2", followers) != "0", 20, "somebody follows")
    deployed.on("web-2", get.format("later"))
    line = child.stdout.readline()
    while "?later" not in line:
        line = child.stdout.readline()
    assert "web-2 page: " in line
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 130
    until(lambda: deployed.on("web-2", followers) == "0", 20, "its follower ends with it")

    # The collector has it too, and still has it when the host is gone.
    has = ("logs", "web-2", "--collected", "--since=-10min")
    until(lambda: "?later" in deployed.controller.run(*has).out, 60, "web-2's journal at the collector")
    deployed.lab.stop(["web-2"])
    try:
        said = deployed.controller.run(*has)
        assert said.code == 0 and "web-2 page: " in said.out and "web-1 page: " not in said.out
        said = deployed.controller.run("logs", "web", "-n", "5")
        assert said.code == 3 and "web-2" in said.err and "web-1" in said.out
    finally:
        deployed.lab.start(["web-2"])
        deployed.lab.wait()


def rounds(small: Small, *more: str) -> tuple[int, list[dict[str, Any]]]:
    said = small.controller.run("reconcile", "lan", "--once", "--json", *more)
    return said.code, [json.loads(line) for line in said.out.splitlines()]


def test_reconcile_restarts_and_then_gives_up(deployed: Small) -> None:
    code, told = rounds(deployed)
    assert code == 0, told
    assert told[-1]["nodes"] == {"online": 2}
    deployed.on("web-1", "systemctl kill -s KILL page")
    code, told = rounds(deployed)
    assert code == 1 and [t["type"] for t in told] == ["node", "remedy", "round"]
    assert (told[0]["to"], told[1]["unit"], told[1]["code"], told[1]["try"]) == ("degraded", "page", 0, 1)
    code, told = rounds(deployed)
    assert code == 0 and told[0]["to"] == "online"

    # What no restart mends: the cooldown between two tries, three in all, and then a hand is needed.
    spoil(deployed, "web-1")
    deployed.on("web-1", "systemctl kill -s KILL page")
    until(lambda: deployed.on("web-1", "systemctl is-active page", well=False) == "failed", 10, "the page is down")
    code, told = rounds(deployed)
    assert code == 1 and not [t for t in told if t["type"] == "remedy"]
    tries = []
    for _ in range(4):
        code, told = rounds(deployed, "--cooldown", "0")
        tries += [(t["try"], t["code"]) for t in told if t["type"] == "remedy"]
    assert tries == [(2, 1), (3, 1)]
    assert (code, status(deployed)["web-1"]) == (1, "error")
    mend(deployed, "web-1")
    assert deployed.controller.run("start", "web-1").code == 0
    assert status(deployed)["web-1"] == "online"


def test_a_node_in_maintenance_is_left_alone(deployed: Small) -> None:
    run = deployed.controller.run
    assert run("node", "maintenance", "web-2", "--why", "new disk").code == 0
    assert run("stop", "web-2").code == 0
    code, told = rounds(deployed)
    assert code == 0 and not [t for t in told if t["type"] == "remedy"]
    assert status(deployed)["web-2"] == "maintenance"
    assert run("node", "maintenance", "web-2", "--off").code == 0
    rounds(deployed)
    assert status(deployed)["web-2"] == "online"
    assert run("node", "decommission", "web-9").code == 2
