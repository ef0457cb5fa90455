"""Our inventories and the real ansible-inventory's: host by host, group by group, variable by variable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from swarmops.model.faults import Faults
from swarmops.model.inventory import Inventory, export, load
from swarmops.model.yaml import plain

pytestmark = pytest.mark.timeout(900)  # the first test waits for Ansible's answers to all the others

HERE = Path(__file__).parent
FOLDER = HERE / "inventories"
PASSWORD = FOLDER / "vault_password.txt"
SHIPPED = HERE.parent.parent / "inventory"
PATHS = {p.name: p for p in sorted(FOLDER.iterdir()) if p != PASSWORD} | {
    f"shipped {p.name}": p
    for p in SHIPPED.iterdir()
    if p.name != "examples"  # those are whole projects
}
NAMES = list(PATHS)
VAULT = {"vault_file", "vaulted.yaml"}

Answers = dict[str, dict[str, str]]


def environment(home: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8", "ANSIBLE_LOCALHOST_WARNING": "0"}


def ask(paths: dict[str, Path], options: str, home: Path) -> Answers:
    """Ansible's answers, asked for by two processes at once."""
    start = [sys.executable, str(HERE / "ansible_answers.py"), str(PASSWORD), options]
    running = [
        subprocess.Popen(
            [*start, *map(str, list(paths.values())[half::2])],
            cwd=home,  # an empty folder: Ansible also reads group_vars of the current one
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for half in (0, 1)
    ]
    found: Answers = {}
    for process in running:
        found.update(json.loads(process.communicate(timeout=600)[0]))
    return {name: found[str(path)] for name, path in paths.items()}


@pytest.fixture(scope="session")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    options = "--list,--list --yaml,--list --export,--graph,--graph --vars"
    return ask(PATHS, options, tmp_path_factory.mktemp("ansible"))


@pytest.fixture(scope="session")
def of_exports(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What Ansible says of our exports."""
    folder = tmp_path_factory.mktemp("exports")
    paths = {name: folder / f"{name.replace(' ', '-')}.yaml" for name in NAMES}
    for name, path in paths.items():
        path.write_text(export.to_yaml(export.exported(ours(name))))
    return ask(paths, "--list,--graph --vars", tmp_path_factory.mktemp("ansible"))


def ours(name: str) -> Inventory:
    faults = Faults()
    inventory = load(PATHS[name], faults, vault_password_file=PASSWORD if name in VAULT else None)
    assert not faults.errors, "\n".join(map(str, faults.errors))
    return inventory


def test_there_are_enough_of_them() -> None:
    assert len(NAMES) >= 25


@pytest.mark.parametrize("name", NAMES)
def test_list_agrees(name: str, ansible: Answers) -> None:
    theirs = json.loads(ansible[name]["--list"])
    mine = json.loads(export.to_json(export.listing(ours(name))))
    if name == "vault_file":  # Ansible prints what stands in an encrypted file; we never do
        assert set(mine["_meta"]["hostvars"]["h"]["token"]) == {"__ansible_vault"}
        mine["_meta"]["hostvars"]["h"] = {k: plain(v) for k, v in ours(name).hosts["h"].vars.items()}
    assert mine["_meta"]["hostvars"].keys() == theirs["_meta"]["hostvars"].keys()
    for host, values in theirs["_meta"]["hostvars"].items():
        assert mine["_meta"]["hostvars"][host] == values, host
    assert mine == theirs
    assert typed(mine) == typed(theirs)


def typed(value: object) -> object:
    """Tells 1 from 1.0 and from true."""
    if isinstance(value, dict):
        return {k: typed(v) for k, v in value.items()}
    return [typed(v) for v in value] if isinstance(value, list) else (type(value).__name__, value)


@pytest.mark.parametrize("name", NAMES)
def test_group_variables_agree(name: str, ansible: Answers) -> None:
    theirs = {k: v for k, v in json.loads(ansible[name]["--list --export"]).items() if k != "_meta"}
    groups = ours(name).groups
    for group, body in theirs.items():
        values = json.loads(export.to_json(export.group_vars(groups[group])))
        if name == "vault_file":
            values = {k: plain(v) for k, v in groups[group].vars.items()}
        assert values == body.get("vars", {}), group
    assert set(theirs) <= set(groups)


@pytest.mark.parametrize("name", NAMES)
def test_graph_is_the_same_text(name: str, ansible: Answers) -> None:
    assert export.graph(ours(name)) == ansible[name]["--graph"]


@pytest.mark.parametrize("name", sorted(set(NAMES) - VAULT))
def test_graph_with_variables_is_the_same_text(name: str, ansible: Answers) -> None:
    assert export.graph(ours(name), show_vars=True) == ansible[name]["--graph --vars"]


@pytest.mark.parametrize("name", sorted(set(NAMES) - VAULT))
def test_yaml_list_agrees(name: str, ansible: Answers) -> None:
    theirs = yaml.safe_load(ansible[name]["--list --yaml"])
    mine = yaml.safe_load(export.to_yaml(export.yaml_listing(ours(name))))
    assert mine == theirs


@pytest.mark.parametrize("name", NAMES)
def test_export_is_the_same_inventory(name: str, ansible: Answers, of_exports: Answers) -> None:
    first, second = (json.loads(said["--list"]) for said in (ansible[name], of_exports[name]))
    if name in VAULT:  # --list shows vault texts sealed, and each sealing is another; here Ansible opens them
        first, second = (
            [line for line in said["--graph --vars"].splitlines() if "{list" not in line]  # those it does not open
            for said in (ansible[name], of_exports[name])
        )
        assert second == first
        return
    assert unsafe_as_text(second["_meta"]) == unsafe_as_text(first["_meta"])
    assert second == first or unsafe_as_text(second) == unsafe_as_text(first)


def unsafe_as_text(value: object) -> object:
    """YAML files that ansible-inventory writes drop `!unsafe` too."""
    if isinstance(value, dict):
        return value.get("__ansible_unsafe") or {k: unsafe_as_text(v) for k, v in value.items()}
    return [unsafe_as_text(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", NAMES)
def test_export_read_by_ourselves_is_the_same_inventory(name: str, tmp_path: Path) -> None:
    before = ours(name)
    path = tmp_path / "vault_export.yaml"
    path.write_text(export.to_yaml(export.exported(before)))
    faults = Faults()
    after = load(path, faults, vault_password_file=PASSWORD if name in VAULT else None)
    assert not faults.errors, "\n".join(map(str, faults.errors))
    assert {n: (h.groups, plain(h.vars)) for n, h in after.hosts.items()} == {
        n: (h.groups, plain(h.vars)) for n, h in before.hosts.items()
    }
    assert export.exported(after) == export.exported(before)


def test_the_real_command_says_the_same(ansible: Answers, tmp_path: Path) -> None:
    """Two runs of the program itself, so that our way of asking is known to be right."""
    for name, options in (("vars_forms", ["--list"]), ("mixed", ["--graph", "--vars"])):
        command = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(FOLDER / name), *options]
        done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
        assert done.stdout.strip() == ansible[name][" ".join(options)]
