"""Small projects to declare things in, and to plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from planning_project import Planned

from swarmops.model import rules
from swarmops.model.faults import Faults
from swarmops.model.project import Project

HOSTS = """\
all:
  children:
    coordinator: {hosts: {c1: {ansible_host: 172.16.168.20, mesh_address: 10.77.0.20}}}
    redis: {hosts: {r1: {ansible_host: 172.16.168.23, mesh_address: 10.77.0.23}}}
"""
ROLES = "infrastructure: {redis: redis, client: 'all:!redis'}\n"


class Declared:
    """A project in a folder of its own, and what is wrong with it."""

    def __init__(self, root: Path):
        self.root = root
        self.file = root / "distributed.yaml"
        self.hosts = root / "inventory" / "lan" / "hosts.yaml"
        self.hosts.parent.mkdir(parents=True)
        self.write("version: 1\n" + ROLES)

    def write(self, text: str, hosts: str = HOSTS) -> Declared:
        self.file.write_text(text)
        self.hosts.write_text(hosts)
        return self

    def open(self, inventory: str | None = None) -> tuple[Project, Faults]:
        faults = Faults()
        project = Project.open(self.root, inventory, faults)
        rules.check(project, faults)
        return project, faults

    def faults(self, text: str = "version: 1\n" + ROLES, hosts: str = HOSTS) -> list[str]:
        """Every fault of these two files, as the user sees it."""
        return [str(f) for f in sorted(self.write(text, hosts).open()[1].errors)]

    def warnings(self, text: str = "version: 1\n" + ROLES, hosts: str = HOSTS) -> list[str]:
        return [str(f) for f in sorted(self.write(text, hosts).open()[1].warnings)]

    def one(self, text: str, hosts: str = HOSTS) -> str:
        """The only fault there is."""
        found = self.faults(text, hosts)
        assert len(found) == 1, "\n".join(found) or "no fault"
        return found[0]


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declared:
    for name in ("SWARMOPS_SECRETS", "SWARMOPS_STATE", "SWARMOPS_AGE_IDENTITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = tmp_path / "project"
    root.mkdir()
    return Declared(root)


@pytest.fixture
def small(tmp_path: Path) -> Planned:
    """A small project of roles and templates, to be planned."""
    return Planned(tmp_path)


@pytest.fixture
def run(declared: Declared, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a verb in the declared project: (exit code, stdout, stderr)."""
    import sys

    from swarmops.cli import run as main

    def command(*argv: str) -> tuple[int, str, str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["swarmops", *argv])
            patch.chdir(declared.root)
            with pytest.raises(SystemExit) as end:
                main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return command
