"""The commands of the guides that need hosts, as they are written there, on a lab of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarmops.lab import Lab
from tests.pages import ROOT, blocks, shell_lines

HOSTS = """\
all:
  vars: {ansible_user: ops, ansible_become: true, base_time_sync: none}
  children:
    redis: {hosts: {redis-1: {ansible_host: 172.16.168.23}}}
    ai: {hosts: {ai-1: {ansible_host: 172.16.168.24}}}
"""
DECLARED = """\
version: 1
deployment: {name: docs}
infrastructure: {base: all, redis: redis, client: ai, firewall: all}
services: {redis: {port: 6379, maxmemory: 64mb}}
network: {subnet: 172.16.168.0/24, controllers: [172.16.168.1/32]}
"""
# What a guide shows that cannot run unattended as it stands, and what is run in its place.
INSTEAD = {
    "swarmops deploy lan": "",  # asks; tests/infra/test_deploy_asks.py answers it
    "swarmops lab exec -- swarmops deploy lan": "swarmops lab exec -- swarmops deploy lan --yes",
    "swarmops check-health lan --watch 10": "",  # goes on until Ctrl-C; tests/infra/test_health.py presses it
    "swarmops backups restore latest --host redis-1": "swarmops backups restore latest --host redis-1 -C --replace",
}
STRANGER = re.compile(r"lab exec --outside")

Run = Callable[[str], subprocess.CompletedProcess]


def commands(page: str, block: int = 0) -> list[str]:
    """The commands of one block of a guide, counted among those that hold any."""
    found = [list(shell_lines(b)) for b in blocks(ROOT / "docs" / page) if b.language in ("", "sh", "console")]
    holding = [[line for line in lines if line.startswith("swarmops ")] for lines in found]
    return [INSTEAD.get(line, line) for line in [lines for lines in holding if lines][block]]


@pytest.fixture(scope="module")
def run(can_lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a guide's line as a user would, with `swarmops` in PATH; what deals with hosts, in the lab's network."""
    folder = tmp_path_factory.mktemp("docs")
    project, programs = folder / "project", folder / "bin"
    for name in ("roles", "templates"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "inventory/lan").mkdir(parents=True)
    (project / "inventory/lan/hosts.yaml").write_text(HOSTS)
    (project / "distributed.yaml").write_text(DECLARED)
    programs.mkdir()
    (programs / "swarmops").write_text(f'#!/bin/sh\nexec {sys.executable} -m swarmops "$@"\n')
    (programs / "swarmops").chmod(0o755)
    name = f"docs-{os.getpid()}"
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    env |= {"SWARMOPS_LAB": name, "SWARMOPS_SECRETS": str(folder / "store/secrets.yaml")}

    def line(text: str) -> subprocess.CompletedProcess:
        if text.startswith("swarmops lab up"):
            text += f" --lab {name}"
        elif not text.startswith("swarmops lab"):
            text = f"swarmops lab exec -- {text}"
        text = text.replace("/var/lib/node_exporter", str(folder))
        return subprocess.run(
            ["sh", "-c", text],
            cwd=project,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    done = line("swarmops lab up lan")
    assert done.returncode == 0, done.stderr
    try:
        subprocess.run(
            [programs / "swarmops", "secrets", "init"], cwd=project, env=env, check=True, capture_output=True
        )
        yield line
    finally:
        Lab(name).down(now=True)


def well(run: Run, text: str) -> str:
    """What a line says, when it ends as the guide lets one expect."""
    done = run(text)
    said = done.stdout + done.stderr
    if STRANGER.search(text):
        assert done.returncode not in (0, 126, 127), f"a stranger was let in: {text}"
    elif "check-health" in text:  # a busy machine may make a check late: the states are for test_health.py
        assert re.search(r"\d of \d hosts are well|swarmops_fleet_state|swarmops.prom: ", said), f"{text}\n{said}"
    else:
        assert done.returncode == 0, f"{text}\n{said}"
    return said


def test_lab_then_deploy(run: Run) -> None:
    up, *_ = commands("lab.md")
    assert up == "swarmops lab up lan"  # it was: the fixture is that line
    look, ask, apply = commands("deploy.md")
    assert ask == "" and "would change" in well(run, look)
    assert re.search(r"\d+ changed on 2 hosts", well(run, apply))
    assert "0 changed on 2 hosts" in well(run, apply)


def test_keys(run: Run) -> None:
    scan, pin, setup = commands("deploy.md", 1)
    assert well(run, scan).count("pinned") == 2
    assert well(run, pin).endswith("pinned 0\n")
    said = well(run, setup)
    assert "made " in said and Path(re.search(r"made +(\S+)", said)[1]).is_file()  # type: ignore[index]
    assert "0 changed on 2 hosts" in well(run, commands("deploy.md")[2])


@pytest.mark.parametrize("text", [t for t in commands("health.md") if t])
def test_health(run: Run, text: str) -> None:
    well(run, text)


def test_backups(run: Run) -> None:
    collect, listing, verify, restore, prune = commands("backups.md")
    assert "backups/lan/" in well(run, collect)
    assert "complete" in well(run, listing)
    assert ": good" in well(run, verify)
    assert "redis-1" in well(run, restore)
    assert "keep" in well(run, prune)


def test_the_rest_of_lab(run: Run) -> None:
    _, deploy, journal, cut, heal, reset, down = commands("lab.md")
    assert "0 changed on 2 hosts" in well(run, deploy)
    for text in commands("lab.md", 1):
        well(run, text)
    assert "systemd" in well(run, journal)
    well(run, cut)
    assert "cut" in well(run, "swarmops lab status")
    well(run, heal)
    assert "as new after" in well(run, reset)
    assert "is gone" in well(run, down)
