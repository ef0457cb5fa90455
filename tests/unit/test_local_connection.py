"""Hosts that are deployed without root: what planning gives their roles, and the way to them."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from pathlib import Path

import pytest

from swarmops.delivery.access import access_to
from swarmops.delivery.channel import LocalChannel
from swarmops.delivery.transport import Transport
from swarmops.model import local
from swarmops.model.addresses import address, mesh_address
from swarmops.model.inventory import Host
from swarmops.target.probes.program import judge
from tests.unit.planning_project import DECLARED, Planned

HERE = "all: {hosts: {me: {ansible_connection: local, mesh_address: 10.77.0.9}, other: {ansible_host: 10.0.0.11}}}"
SHOW = "rootless: {{ rootless }}, {{ paths.config }}, {{ address }}, {{ deployment.mode }}, {{ here_program | join }}"


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    monkeypatch.setenv("SWARMOPS_STATE", "/s")
    made = Planned(tmp_path)
    made.write("inventory/lan/hosts.yaml", HERE)
    made.write("distributed.yaml", DECLARED + "deployment: {name: mine}\n")
    return made


def task(text: str, more: str = "") -> str:
    return f"rootless: true\n{more}tasks:\n  - {text}\n"


class TestWhoIsRootless:
    @pytest.mark.parametrize(
        ("vars", "is_"),
        [
            ({}, False),
            ({"ansible_connection": "ssh"}, False),
            ({"ansible_connection": "local"}, True),
            ({"ansible_connection": "local", "ansible_become": False}, True),
            ({"ansible_connection": "local", "ansible_become": "no"}, True),
            ({"ansible_connection": "local", "ansible_become": "yes"}, False),
            ({"ansible_connection": "local", "ansible_become": True}, False),
        ],
    )
    def test_this_machine_without_become(self, vars: dict, is_: bool) -> None:
        assert local.is_rootless(Host("h", vars=vars)) is is_

    def test_it_is_on_loopback_and_in_no_tunnel(self) -> None:
        host = Host("h", vars={"ansible_connection": "local", "ansible_host": "10.0.0.1", "mesh_address": "10.77.0.1"})
        assert (address(host), mesh_address(host)) == ("127.0.0.1", None)
        host.vars["ansible_become"] = True
        assert (address(host), mesh_address(host)) == ("10.0.0.1", "10.77.0.1")

    def test_its_folders_are_the_users(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("SWARMOPS_STATE", "XDG_STATE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert local.paths(True, "mine")["run"] == f"{tmp_path}/.local/state/swarmops/mine/run"
        monkeypatch.setenv("XDG_STATE_HOME", "/x")
        assert local.paths(True, "mine")["state"] == "/x/swarmops/mine/state"
        monkeypatch.setenv("SWARMOPS_STATE", "/s")
        assert local.paths(True, "mine")["logs"] == "/s/swarmops/mine/logs"
        assert local.paths(False, "mine")["config"] == "/etc/swarmops"


class TestPlanning:
    def test_roles_are_told_where_they_are(self, planned: Planned) -> None:
        planned.role(task("{name: x, template: {src: x.j2, dest: '{{ paths.config }}/x'}}")).template(SHOW)
        plans = planned.plan()
        assert not planned.faults.errors
        mine, other = (next(iter(plans[h].contents.values())).decode() for h in ("me", "other"))
        here = f"{sys.executable}-mswarmops"
        assert mine == f"rootless: True, /s/swarmops/mine/config, 127.0.0.1, local, {here}"
        assert other == f"rootless: False, /etc/swarmops, 10.0.0.11, distributed, {here}"
        assert [plans[h].files[0].path for h in ("me", "other")] == ["/s/swarmops/mine/config/x", "/etc/swarmops/x"]

    def test_what_needs_root_is_left_out_and_said(self, planned: Planned) -> None:
        planned.write("distributed.yaml", DECLARED.replace("app: all", "base: all, wall: all, app: all"))
        planned.role("tasks: []\n", "base").role("tasks: []\n", "wall")
        planned.role("needs: [base]\nrootless: true\ntasks: []\n")
        plans = planned.plan()
        assert plans["me"].roles == ["app"] and plans["other"].roles == ["base", "wall", "app"]
        assert plans["me"].notes == ["base, wall need root: left out"] and plans["other"].notes == []

    def test_rootless_is_true_or_false(self, planned: Planned) -> None:
        planned.role("rootless: sometimes\ntasks: []\n").plan()
        assert "rootless: must be true or false, not 'sometimes'" in str(planned.faults.errors[0])

    def test_a_role_has_its_name_and_may_say_something(self, planned: Planned) -> None:
        planned.role(task("{name: x, command: 'echo {{ role_name }} {{ word }}'}"))
        planned.write("roles/app/role.py", "def vars(context):\n    context.note('old')\n    return {'word': 'hi'}\n")
        plan = planned.plan()["me"]
        assert "echo app hi" in str(plan.steps[0]["args"]) and plan.notes == ["old"]

    def test_ports_of_its_roles(self, planned: Planned) -> None:
        plans = planned.role("vars: {port: 7000}\nrootless: true\ntasks: []\n").plan(extra={"app_port": "7001"})
        assert plans["me"].ports == {"app": 7001} and plans["other"].ports == {}

    def test_the_supervisor_is_known_to_its_tasks(self, planned: Planned) -> None:
        plan = planned.role(task("{name: x, supervisorctl: {name: app, state: started}}")).plan()["me"]
        want = {"name": "app", "state": "started"}
        want |= {"config": "/s/swarmops/mine/config/supervisord.conf", "python": sys.executable}
        assert plan.steps[0]["args"] == want | dict.fromkeys(("url", "ca_pem", "server_name"))

    def test_two_handlers_of_one_name_are_two_ways(self, planned: Planned) -> None:
        handlers = "handlers:\n  - {name: h, command: 'echo root', when: not rootless}\n"
        handlers += "  - {name: h, command: 'echo none', when: rootless}\n"
        planned.role(task("{name: x, command: date, notify: h}", handlers))
        plans = planned.plan()
        assert not planned.faults.errors
        said = {name: [s for s in plan.steps if s.get("handler")] for name, plan in plans.items()}
        assert ["echo none" in str(said["me"][0]["args"]), "echo root" in str(said["other"][0]["args"])] == [True] * 2
        assert [len(steps) for steps in said.values()] == [1, 1]

    def test_two_handlers_of_one_name_without_a_condition_are_a_mistake(self, planned: Planned) -> None:
        handlers = "handlers:\n  - {name: h, command: date}\n  - {name: h, command: date, when: rootless}\n"
        planned.role(task("{name: x, command: date, notify: h}", handlers)).plan()
        assert "the name is used twice" in str(planned.faults.errors[0])


class TestTheWay:
    def test_nothing_to_log_in_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SWARMOPS_STATE", "/s")
        way = access_to(Host("h", vars={"ansible_connection": "local"}))
        assert (way.local, way.become, way.where) == (True, False, "this machine")
        assert (way.python, way.state) == (shlex.quote(sys.executable), "/s/swarmops/swarmops/engine-state")

    def test_root_by_sudo_keeps_the_systems_own_places(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        vars = {"ansible_connection": "local", "ansible_become": True, "ansible_python_interpreter": "/usr/bin/python3"}
        way = access_to(Host("h", vars=vars))
        assert (way.local, way.become, way.state, way.python) == (True, True, "", "/usr/bin/python3")

    def test_a_command_here_is_like_one_over_ssh(self, tmp_path: Path) -> None:
        way = access_to(Host("h", vars={"ansible_connection": "local"}))
        transport = Transport(way, tmp_path / "known_hosts").open()
        code, said = transport.run("cat; echo out; echo err >&2; exit 3", b"in\n")
        assert code == 3 and sorted(said.split()) == ["err", "in", "out"]
        with pytest.raises(TimeoutError):
            transport.run("sleep 1", timeout=0.2)

    def test_its_end_and_its_errors_are_heard(self) -> None:
        channel = LocalChannel("echo oh >&2; kill -9 $$")
        channel.settimeout(60)
        assert channel.recv(10) == b"" and channel.status_event.wait(60) and channel.exit_status_ready()
        assert channel.recv_stderr_ready() and channel.recv_stderr(10) == b"oh\n"
        assert channel.recv_exit_status() == 137
        assert not channel.recv_stderr_ready() or channel.recv_stderr(10) == b""
        channel.close()

    def test_what_it_does_not_read_is_no_error(self) -> None:
        channel = LocalChannel("exit 0")
        assert channel.status_event.wait(60)
        channel.sendall(b"x" * 100_000)
        channel.settimeout(60)
        assert channel.recv(10) == b""
        channel.close()

    def test_a_terminals_ctrl_c_is_not_its_affair(self) -> None:
        channel = LocalChannel("ps -o sid= -p $$; echo $$")
        channel.settimeout(60)
        said = b""
        while data := channel.recv(100):
            said += data
        session, pid = said.split()
        assert session == pid and int(session) != os.getsid(0)
        channel.close()


ROW = {"name": "x", "statename": "RUNNING", "now": 100, "start": 40, "spawnerr": "", "exitstatus": 0}


class TestTheProbe:
    @pytest.mark.parametrize(
        ("row", "ok", "words"),
        [
            ({}, True, "x runs, for 60 s"),
            ({"statename": "STARTING"}, True, "x is starting"),
            ({"statename": "BACKOFF", "spawnerr": "Exited too quickly"}, False, "x keeps ending (Exited too quickly)"),
            ({"statename": "FATAL", "spawnerr": "no file"}, False, "x does not start (no file)"),
            ({"statename": "EXITED", "exitstatus": 3}, False, "x has ended (exit code 3)"),
            ({"statename": "STOPPED"}, False, "x is stopped"),
        ],
    )
    def test_each_state(self, row: dict, ok: bool, words: str) -> None:
        found = judge("x", {"x": {**ROW, **row}})
        assert (found["ok"], found["detail"]) == (ok, words)

    def test_one_that_is_not_there(self) -> None:
        assert judge("y", {"x": ROW}) == {"ok": False, "detail": "supervisord has no program y"}


def test_who_has_a_port_is_named() -> None:
    from swarmops.delivery.local import _listening, _open, _stat

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        mine = [name for name, port in _listening() if port == taken.getsockname()[1]]
        assert len(mine) == 1 and mine[0] in _open(os.getpid())
    assert _stat(os.getpid())[1] == str(os.getppid())
