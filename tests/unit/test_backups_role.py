"""The role that collects every day: its unit and timer, judged by systemd."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from swarmops.model.faults import Faults
from swarmops.model.project import Project
from swarmops.planning.plan import make_plans
from tests.conftest import lacking

DISTRIBUTED = """
version: 1
deployment: {name: small, tier: lan}
infrastructure: {base: all, backups: web-1}
network: {subnet: 10.99.0.0/24, controllers: [10.99.0.1/32]}
backup: {schedule: "*-*-* 03:30:00"}
"""


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("SWARMOPS_SECRETS", str(tmp_path / "store/secrets.yaml"))
    monkeypatch.setenv("SWARMOPS_STATE", str(tmp_path / "state"))
    (tmp_path / "inventory").mkdir()
    (tmp_path / "distributed.yaml").write_text(DISTRIBUTED)
    (tmp_path / "inventory/lan.yaml").write_text("all: {hosts: {web-1: {ansible_host: 10.99.0.20}}}\n")
    faults = Faults()
    project = Project.open(tmp_path, None, faults)
    plans = make_plans(project, faults=faults)
    assert not faults.errors, [str(f) for f in faults]
    plan = plans["web-1"]
    found = {f.path: plan.contents[f.sha].decode() for f in plan.files if "swarmops-backups" in f.path}
    return {Path(path).name: text for path, text in found.items()}


def test_unit_and_timer(units: dict[str, str], tmp_path: Path) -> None:
    assert "OnCalendar=*-*-* 03:30:00" in units["swarmops-backups.timer"]
    service = units["swarmops-backups.service"]
    assert "collect-backups lan --project /srv/swarmops --to /var/backups/swarmops" in service
    if not shutil.which("systemd-analyze"):
        lacking("systemd-analyze is not installed (apt install systemd)")
    for name, text in units.items():
        here = text.replace("/usr/local/bin/swarmops", "/bin/true")  # it is not installed where the tests run
        (tmp_path / name).write_text(here)
    for name in units:
        done = subprocess.run(["systemd-analyze", "verify", str(tmp_path / name)], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
    judged = ["systemd-analyze", "security", "--offline=true", "--threshold=20"]
    subprocess.run([*judged, str(tmp_path / "swarmops-backups.service")], check=True, capture_output=True)
