"""Small fleets of a test's own: a lab with few hosts, a project that uses the shipped roles, secrets, a controller."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from swarmops.lab import Guest, Lab
from tests.infra.fleet import Controller

HERE = Path(__file__).parent
T = TypeVar("T")


def until(look: Callable[[], T], within: float, what: str) -> T:
    """What `look` gives as soon as it is something. For events that nobody announces."""
    end = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < end, f"not within {within:g} s: {what}"
        time.sleep(0.05)
    return found


class Small:
    """A lab and the project for it. `declare` writes the project's files; `controller` runs swarmops on them."""

    def __init__(self, lab: Lab, folder: Path):
        self.lab, self.root = lab, folder / "project"
        secrets = folder / "secrets"
        secrets.mkdir(mode=0o700)
        self.root.mkdir()
        self.controller = Controller(lab, self.root, {"SWARMOPS_SECRETS": str(secrets / "secrets.yaml")})

    @classmethod
    def up(cls, name: str, guests: Sequence[Guest], folder: Path, release: str = "trixie") -> Small:
        lab = Lab(f"{name}-{os.getpid()}", guests, release)
        lab.up()
        return cls(lab, folder)

    def declare(self, sections: Mapping[str, Any], groups: Mapping[str, Any], **common: Any) -> None:
        """distributed.yaml and inventory/lan/hosts.yaml. `groups`: name -> {host: variables}."""
        children = {group: {"hosts": dict(hosts)} for group, hosts in groups.items()}
        everyone = {"ansible_user": "ops", "ansible_become": True, "base_time_sync": "none", **common}
        self.file("distributed.yaml", yaml.safe_dump({"version": 1, **sections}, sort_keys=False))
        self.file("inventory/lan/hosts.yaml", yaml.safe_dump({"all": {"vars": everyone, "children": children}}))

    def file(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def on(self, host: str, script: str, *, well: bool = True, timeout: float = 60) -> str:
        """What a shell script says on the host's console."""
        done = self.lab.exec(host, ["sh", "-c", script], timeout=timeout)
        assert not well or done.returncode == 0, f"{host}: {script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def ask(self, host: str, *command: str) -> str:
        """What the host's Redis answers the health user."""
        return self.on(host, "/usr/local/lib/swarmops/redis ask " + " ".join(command))

    def pid(self, host: str) -> int:
        return next(r["pid"] for r in self.lab.status()["hosts"] if r["host"] == host)

    def files_of(self, host: str) -> Path:
        """The host's file system, seen from here."""
        return Path(f"/proc/{self.pid(host)}/root")

    def network_of(self, host: str, argv: Sequence[str]) -> list[str]:
        """`argv` in the host's network, with this machine's programs."""
        return ["nsenter", "--target", str(self.pid(host)), "--net", "--", *argv]

    def python(self, host: str, script: str, *args: str) -> str:
        """What a Python script says that runs in the host's network with this machine's libraries."""
        argv = self.network_of(host, [sys.executable, "-c", script, *args])
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=HERE)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def user(self, host: str) -> User:
        return User(self.network_of(host, [sys.executable, str(HERE / "redis_user.py"), str(self.files_of(host))]))

    def health(self, *args: str) -> dict[str, Any]:
        """check-health's document, with the finding of each check that is not OK by "host role/check"."""
        said = self.controller.run("check-health", "lan", "--json", *args)
        assert said.out, said
        document: dict[str, Any] = said.json
        document["bad"] = {
            f"{h['host']} {c.get('name', '?')}": c.get("detail", "")
            for h in document["hosts"]
            for c in h["checks"]
            if c["state"] != "OK"
        }
        return document


class User:
    """A program at work (see redis_user.py), for as long as the block lasts. Then `.said` is what it went through."""

    def __init__(self, argv: Sequence[str]):
        self.argv = argv
        self.said: dict[str, Any] = {}

    def __enter__(self) -> User:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        out, err = self.process.communicate("\n", timeout=30)
        if kind is None:
            assert self.process.returncode == 0, err
            self.said = json.loads(out)
