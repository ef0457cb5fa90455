"""The benchmark compares like with like: what swarmops plans there is what the floor lands."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from swarmops.model.faults import Faults
from swarmops.model.project import Project
from swarmops.planning.plan import make_plans

BENCH = Path(__file__).parents[2] / "benchmarks"
HOSTS = "all:\n  vars: {ansible_user: root}\n  hosts:\n    b01: {ansible_host: 10.88.0.11}\n"


def _plan(tmp_path: Path, **extra: object):
    project = tmp_path / "project"
    if not project.exists():
        shutil.copytree(BENCH / "workload", project)
        (project / "inventory/lan").mkdir(parents=True)
        (project / "inventory/lan/hosts.yaml").write_text(HOSTS)
    faults = Faults()
    plans = make_plans(Project.open(project, "lan", faults), extra=extra, faults=faults)
    assert not faults.errors, faults.errors
    return plans["b01"]


def test_swarmops_and_the_floor_land_the_same_files(tmp_path: Path) -> None:
    sys.path.insert(0, str(BENCH))
    try:
        from bench_provision.floor import files_of
    finally:
        sys.path.remove(str(BENCH))
    steps = _plan(tmp_path, bench_level=2).steps
    ours = {s["args"]["dest"]: s["args"]["content"] for s in steps if s["args"].get("content")}
    theirs = {path: hashlib.sha256(data).hexdigest() for path, _, _, data in files_of(BENCH / "workload", "b01", 2)}
    theirs.pop("/home/benchops/.ssh/authorized_keys")  # a kind of its own
    assert ours == theirs
    assert len(ours) == 26


def test_one_change_is_one_file(tmp_path: Path) -> None:
    before, after = (_plan(tmp_path, bench_level=level).contents for level in (1, 2))
    assert len(set(after) - set(before)) == 1


def test_more_tasks_are_a_hundred(tmp_path: Path) -> None:
    assert len(_plan(tmp_path, bench_extra=100).steps) - len(_plan(tmp_path).steps) == 100
