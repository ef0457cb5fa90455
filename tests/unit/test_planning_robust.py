"""Whatever stands in a role file: faults or a plan, never a traceback; and quickly."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from planning_project import Planned

from swarmops.model.faults import Faults, InputError
from swarmops.model.project import Project
from swarmops.planning.plan import make_plans

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "tests" / "render" / "project"
ODD: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        10**30,
        "",
        " ",
        "x",
        "{{ x",
        "{{ nope }}",
        "{{ [1] }}",
        "{% if %}",
        "{{ item }}",
        "a\nb",
    ),
    *(
        [],
        [None],
        [[]],
        {},
        {"a": 1},
        {1: 2},
        {"secret": "redis.app"},
        {"secret": "no.such"},
        "{{ groups }}",
        "facts.x",
    ),
    *(
        "{{ secret('x') }}",
        "{{ 1/0 }}",
        "../x",
        "{{ hostvars }}",
        "tools.rc in hostvars",
        "tools.rc == hosts_of",
        "/etc/x",
        "{{ hostvars.zz.y }}",
        ["{{ omit }}"],
        "{{ omit }}",
        "a is b",
    ),
]


def nodes(tree: Any, path: tuple = ()) -> list[tuple]:
    """The path of every value in a tree."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(found for key, value in inner for found in nodes(value, (*path, key)))]


def change(tree: Any, chance: random.Random) -> Any:
    tree = copy.deepcopy(tree)
    path = chance.choice(nodes(tree)[1:])
    box = tree
    for key in path[:-1]:
        box = box[key]
    odd, what = copy.deepcopy(chance.choice(ODD)), chance.random()
    if what < 0.6:
        box[path[-1]] = odd
    elif isinstance(box, dict):
        box[chance.choice(["when", "loop", "notify", "tags", "x", "needs", "vars", "port", "name", 5])] = odd
    else:
        box.append(odd)
    return tree


@pytest.mark.parametrize("seed", range(int(os.environ.get("SWARMOPS_FUZZ", "60"))))
def test_no_role_file_breaks_planning(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMOPS_SECRET_REDIS_APP", "s3cret-of-16-letters")
    chance = random.Random(seed)
    shutil.copytree(FIXTURE, tmp_path / "p")
    for name in ("base", "redis", "web"):
        file = tmp_path / "p" / "roles" / name / "role.yaml"
        file.write_text(yaml.safe_dump(change(yaml.safe_load(file.read_text()), chance), sort_keys=False))
    faults = Faults()
    try:
        plans = make_plans(Project.open(tmp_path / "p", None, faults), extra={}, faults=faults)
    except InputError:
        return
    assert "Traceback" not in "".join(map(str, faults))
    if not faults:
        json.dumps([[p.steps, p.checks, p.backups] for p in plans.values()])


def test_a_hundred_hosts_take_seconds_and_not_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU time, of the roles that are shipped: it took 2 s when this was written, and CI has slower machines."""
    small = Planned(tmp_path)
    declared = (ROOT / "distributed.yaml").read_text().replace("172.16.168.0/24", "172.16.0.0/16")
    small.write("distributed.yaml", declared.replace("10.77.0.0/24", "10.77.0.0/16"))
    hosts = {f"npu-{i}": {"ansible_host": f"172.16.1.{i}", "mesh_address": f"10.77.1.{i}"} for i in range(1, 99)}
    one = {"ansible_host": "172.16.2.1", "mesh_address": "10.77.2.1"}
    two = {"ansible_host": "172.16.2.2", "mesh_address": "10.77.2.2"}
    groups = {"npu": hosts, "redis": {"redis-1": one}, "coordinator": {"coordinator-1": two}}
    groups |= {name: {} for name in ("frontend", "ai", "browser")}
    tree = {"all": {"children": {name: {"hosts": members} for name, members in groups.items()}}}
    small.write("inventory/lan/hosts.yaml", yaml.safe_dump(tree, sort_keys=False))
    for role in (ROOT / "roles").glob("*/role.yaml"):
        for name in yaml.safe_load(role.read_text()).get("secrets", []):
            value = f"long-enough-for-{name}"
            monkeypatch.setenv("SWARMOPS_SECRET_" + name.upper().replace(".", "_").replace("-", "_"), value)
    faults = Faults()
    project = Project.open(tmp_path, None, faults)
    began = time.process_time()
    plans = make_plans(project, extra={}, faults=faults)
    took = time.process_time() - began
    assert not faults, [str(f) for f in faults][:5]
    assert len(plans) == 100 and took < 30, took
