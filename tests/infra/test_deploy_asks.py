"""deploy without --yes, on a terminal: shows first, asks, and the same run applies or stops."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from swarmops.lab import Lab
from tests.infra.fleet import Controller

ROLE = """
role: work
vars: {word: one}
tasks:
  - {name: write, copy: {content: "{{ word }}\\n", dest: /srv/asked.conf, mode: "0644"}}
"""


@pytest.fixture
def controller(lab: Lab, tmp_path: Path) -> Controller:
    for folder in ("inventory/lan", "roles/work"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "distributed.yaml").write_text(
        "version: 1\ndeployment: {name: asks, tier: lan}\ninfrastructure: {work: all}\n"
        "network: {subnet: 172.16.168.0/24, controllers: [172.16.168.1/32]}\n"
    )
    (tmp_path / "inventory/lan/hosts.yaml").write_text(
        "all:\n  vars: {ansible_user: ops, ansible_become: true}\n  hosts:\n"
        "    ai-1: {ansible_host: 172.16.168.24}\n    npu-1: {ansible_host: 172.16.168.22}\n"
    )
    (tmp_path / "roles/work/role.yaml").write_text(ROLE)
    for host in ("ai-1", "npu-1"):
        lab.exec(host, ["rm", "-rf", "/srv/asked.conf", "/var/lib/swarmops"])
    (lab.files.controller / "machines.json").unlink(missing_ok=True)
    return Controller(lab, tmp_path)


def typed(controller: Controller, answer: bytes) -> tuple[int, str]:
    """Run deploy on a terminal of its own and type the answer when it asks."""
    ours, theirs = pty.openpty()
    argv = controller.lab.controller_argv([sys.executable, "-m", "swarmops", "deploy", "lan"])
    env = {**os.environ, **controller.lab.environment(), "TERM": "dumb"}
    child = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=controller.project, env=env)
    os.close(theirs)
    said, answered = b"", False
    while select.select([ours], [], [], 60)[0]:
        try:
            said += os.read(ours, 4096)
        except OSError:  # the terminal is closed: the run is over
            break
        if b"[y/N]" in said and not answered:
            answered = True
            assert not controller.lab.exec("ai-1", ["cat", "/srv/asked.conf"]).stdout
            os.write(ours, answer)
    os.close(ours)
    assert answered, said
    return child.wait(30), said.decode()


def test_no_applies_nothing(controller: Controller) -> None:
    code, said = typed(controller, b"n\n")
    assert code == 1 and "Apply 2 changes?" in said and "+one" in said
    assert not controller.lab.exec("ai-1", ["cat", "/srv/asked.conf"]).stdout


def test_yes_applies_what_was_shown(controller: Controller) -> None:
    code, said = typed(controller, b"y\n")
    assert code == 0 and "2 changed on 2 hosts" in said
    for host in ("ai-1", "npu-1"):
        assert controller.lab.exec(host, ["cat", "/srv/asked.conf"]).stdout == "one\n"


def test_without_a_terminal_there_is_no_asking(controller: Controller) -> None:
    said = controller.run("deploy", "lan")
    assert said.code == 2 and "no terminal to ask on" in said.err and said.out == ""
