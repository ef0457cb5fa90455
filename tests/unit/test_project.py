"""Finding a project, its inventory and its state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarmops.model.faults import Faults
from swarmops.model.project import Project


def opened(root: Path | None, inventory: str | None = None) -> tuple[Project, list[str]]:
    faults = Faults()
    return Project.open(root, inventory, faults), [str(f) for f in faults]


def test_the_nearest_folder_above_is_the_project(declared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    below = declared.root / "roles" / "x"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    project, faults = opened(None)
    assert (project.root, project.tier, faults) == (declared.root, "lan", [])
    assert list(project.inventory.hosts) == ["c1", "r1"]


def test_an_inventory_by_path_finds_its_project(declared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project, faults = opened(None, "project/inventory/lan")
    assert (project.root, project.tier, faults) == (declared.root, "lan", [])


@pytest.mark.parametrize("name", ["lan", "inventory/lan", "inventory/lan/hosts.yaml"])
def test_names_and_paths(declared: Any, name: str) -> None:
    project, faults = opened(declared.root, name)
    assert faults == [] and list(project.inventory.hosts) == ["c1", "r1"]


def test_a_single_file_is_a_tier(declared: Any) -> None:
    (declared.root / "inventory" / "edge.ini").write_text("[redis]\nr9\n")
    project, faults = opened(declared.root, "edge")
    assert (faults, project.tier, list(project.inventory.hosts)) == ([], "edge", ["r9"])


def test_case_54_an_unknown_tier_on_the_command_line(declared: Any) -> None:
    assert opened(declared.root, "lam")[1] == [
        "<command line>: inventory lam: there is no inventory 'lam' (did you mean 'lan'?)"
    ]
    assert opened(declared.root, "no/such")[1] == [
        "<command line>: inventory no/such: the file or folder is not there (known: lan)"
    ]


def test_case_01_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert opened(tmp_path / "nope")[1][0].startswith(f"{tmp_path}/nope: there is no such folder")


def test_without_distributed_yaml_all_is_default(declared: Any) -> None:
    declared.file.unlink()
    project, faults = opened(declared.root)
    assert (faults, project.name, project.tier) == ([], "swarmops", "lan")


def test_state_is_beside_the_inventory(declared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened(declared.root)[0].state == declared.root / "inventory" / "lan" / ".swarmops"
    path = declared.root / "inventory" / "edge.ini"
    path.write_text("r9\n")
    assert opened(declared.root, "edge")[0].state == declared.root / "inventory" / ".swarmops"
    monkeypatch.setenv("SWARMOPS_STATE", "/elsewhere")
    assert opened(declared.root)[0].state == Path("/elsewhere")


def test_roles_of_the_project_or_those_that_ship(declared: Any) -> None:
    own, shipped = opened(declared.root)[0].roles_paths
    assert own == declared.root / "roles" and (shipped / "base" / "role.yaml").is_file()


def test_a_project_with_a_role_of_its_own_keeps_the_others(declared: Any) -> None:
    """Its own role is used, and the secrets of a role that ships are still known."""
    from swarmops.model.secretrefs import wanted

    declared.write("version: 1\ninfrastructure: {redis: redis, app: all}\n")
    role = declared.root / "roles" / "app" / "role.yaml"
    role.parent.mkdir(parents=True)
    role.write_text("role: app\nsecrets: [app.key]\n")
    project, faults = opened(declared.root)
    assert not faults and {"app.key", "redis.app"} <= set(wanted(project))


def test_state_files_are_not_hosts(declared: Any) -> None:
    state = declared.root / "inventory" / "lan" / ".swarmops"
    state.mkdir()
    (state / "peers.json").write_text('{"r1": "key"}')
    assert list(opened(declared.root)[0].inventory.hosts) == ["c1", "r1"]
