"""Runs swarmops on a lab's controller, as a user would, and reads what it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from swarmops.lab import Lab

ROOT = Path(__file__).parents[2]
SERVICES = ("coordinator", "frontend", "npu", "ai", "browser")


def shipped(folder: Path, without: Collection[str] = (), **common: Any) -> Path:
    """A copy of the project that ships, for six hosts, `without` some of its roles and with variables for all hosts."""
    shutil.copytree(ROOT / "inventory/lan", folder / "inventory/lan", ignore=shutil.ignore_patterns(".swarmops"))
    declared = yaml.safe_load((ROOT / "distributed.yaml").read_text())
    for role in without:
        del declared["infrastructure"][role]
    (folder / "distributed.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    with open(folder / "inventory/lan/group_vars/all.yaml", "a") as f:
        f.write(yaml.safe_dump(common) if common else "")
    return folder


@dataclass
class Said:
    """How one run ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out[-6000:]}\n{self.err[-6000:]}"


@dataclass
class Controller:
    """This machine in the lab's network. `project` is the folder that swarmops works on."""

    lab: Lab
    project: Path
    env: dict[str, str] = field(default_factory=dict)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.lab.environment(), **self.env}

    def _argv(self, args: tuple[str, ...]) -> list[str]:
        return self.lab.controller_argv([sys.executable, "-m", "swarmops", *args])

    def run(self, *args: str, timeout: float = 240) -> Said:
        done = subprocess.run(
            self._argv(args),
            cwd=self.project,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._argv(args),
            cwd=self.project,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def deploy(self, *args: str, **how: Any) -> Said:
        return self.run("deploy", "lan", "--yes", "--json", *args, **how)

    def changed(self, said: Said) -> list[str]:
        return sorted(f"{s['host']} {s['id']}" for s in said.json["steps"] if s["status"] in ("changed", "would"))

    def failed(self, said: Said) -> dict[str, str]:
        return {f"{s['host']} {s['id']}": s.get("why", "") for s in said.json["steps"] if s["status"] == "failed"}


def records(child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The records of a `deploy --format jsonl` as they come."""
    assert child.stdout is not None
    for line in child.stdout:
        yield json.loads(line)


def when(child: subprocess.Popen[str], step: str, do: Callable[[], None]) -> list[dict[str, Any]]:
    """Do something the moment a step is reported; returns all records when the run has ended."""
    seen, done = [], False
    for record in records(child):
        seen.append(record)
        if not done and record.get("id") == step:
            done = True
            do()
    child.wait(60)
    assert done, f"{step} was never reported: {seen[-3:]} {child.stderr.read() if child.stderr else ''}"
    return seen
