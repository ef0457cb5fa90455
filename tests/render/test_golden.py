"""Whole plans of a small project, kept as files: a change of planning shows here as a difference to be read.

SWARMOPS_GOLDEN=write renews them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarmops.model.faults import Faults
from swarmops.model.project import Project
from swarmops.planning.plan import Plan, make_plans, waves

HERE = Path(__file__).parent
HOSTS = ("redis-1", "web-1", "web-2")


def plans() -> dict[str, Plan]:
    faults = Faults()
    project = Project.open(HERE / "project", None, faults)
    made = make_plans(project, extra={}, faults=faults)
    assert not faults, [str(f) for f in faults]
    return made


def shown(plan: Plan) -> str:
    """A plan for people: steps, checks, backups, and each file's text line by line."""
    files = [
        {
            "path": f.path,
            "from": f.template or "content",
            "declared": str(f.mark),
            "secret": f.secret,
            "sha256": f.sha,
            "text": plan.contents[f.sha].decode().splitlines(),
        }
        for f in plan.files
    ]
    made = {"roles": plan.roles, "needs": plan.needs, "after": plan.after, "files": files}
    made |= {"steps": plan.steps, "checks": plan.checks, "backups": plan.backups}
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMOPS_SECRET_REDIS_APP", 'p4ss%word$with"quotes#1')
    monkeypatch.delenv("SWARMOPS_SECRETS", raising=False)


@pytest.mark.parametrize("host", HOSTS)
def test_the_plan_is_as_kept(host: str) -> None:
    file = HERE / "golden" / f"{host}.json"
    text = shown(plans()[host])
    if os.environ.get("SWARMOPS_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_waves() -> None:
    assert waves(plans()) == [["redis-1"], ["web-1", "web-2"]]


def test_another_process_plans_the_same() -> None:
    """Nothing depends on the order of sets or on the clock."""
    code = "import test_golden as g; print(''.join(map(g.shown, g.plans().values())), end='')"
    env = {**os.environ, "PYTHONPATH": str(HERE)}
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**env, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] == "".join(map(shown, plans().values()))
