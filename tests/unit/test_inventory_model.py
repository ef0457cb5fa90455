"""Origins, ties, the choice of hosts, and the two verbs that show an inventory."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from swarmops.cli import inventory as inventory_verb
from swarmops.cli import vars as vars_verb
from swarmops.model.faults import Faults, InputError
from swarmops.model.inventory import Inventory, load

HOSTS = """\
all:
  vars: {port: 1, note: all}
  children:
    lan:
      vars: {port: 2}
      children:
        redis: {hosts: {redis-1: {port: 4}, redis-2: }}
    ups: {vars: {port: 3}, hosts: {redis-2: }}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    (tmp_path / "group_vars/redis.yaml").write_text("# the port\nport: 5\n")
    (tmp_path / "host_vars/redis-1.yaml").write_text("port: 6\n")
    return tmp_path


def read(folder: Path) -> tuple[Inventory, Faults]:
    faults = Faults()
    return load(folder, faults, root=folder), faults


def test_why_names_every_layer_from_weak_to_strong(folder: Path) -> None:
    inventory, faults = read(folder)
    assert [(o.layer, str(o.mark), o.value) for o in inventory.hosts["redis-1"].why["port"]] == [
        ("group all", "hosts.yaml:2:16", 1),
        ("group lan", "hosts.yaml:5:20", 2),
        ("group redis", "group_vars/redis.yaml:2:7", 5),
        ("host redis-1", "hosts.yaml:7:41", 4),
        ("host redis-1", "host_vars/redis-1.yaml:1:7", 6),
    ]
    assert inventory.hosts["redis-2"].vars == {"port": 5, "note": "all"}
    assert not list(faults)  # lan and ups disagree, but redis decides


def test_groups_of_one_depth_that_disagree(folder: Path) -> None:
    (folder / "group_vars/redis.yaml").unlink()
    _, faults = read(folder)
    assert [str(w) for w in faults.warnings] == [
        "hosts.yaml:8:24: ups.port: warning: groups lan (hosts.yaml:5:20) and ups disagree for redis-2; ups wins "
        "(set it in one of them, in host_vars, or give one a higher ansible_group_priority)"
    ]
    (folder / "hosts.yaml").write_text(HOSTS.replace("{port: 3}", "{port: 3, ansible_group_priority: 2}"))
    assert not read(folder)[1].warnings


def test_vars_files_of_nobody_and_of_two_endings_are_warned_of(folder: Path) -> None:
    (folder / "group_vars/rdis.yml").write_text("a: 1\n")
    (folder / "group_vars/redis.yml").write_text("a: 1\n")
    said = [str(w) for w in read(folder)[1].warnings]
    assert "group_vars/rdis.yml: warning: is not read: there is no group 'rdis' (did you mean 'redis'?)" in said
    assert any(w.startswith("group_vars/redis.yaml: warning: is not read, because redis.yml is there") for w in said)


def test_case_53_a_limit_that_matches_nothing_is_an_error(folder: Path) -> None:
    inventory, _ = read(folder)
    for pattern, sentence in (
        ("rdis", "'rdis' is neither a group nor a host"),
        ("all:!rdis", "did you mean 'redis'?"),
        ("redis:!lan", "matches no host"),
        ("web*", "matches no host"),
        ("redis[7]", "there are 2 hosts, counted from 0"),
        ("~[,", "is not a regular expression"),
        ("", "is not a host pattern"),
        ("redis:&", "is not a host pattern"),
        ("@/no/such/file", "cannot be read"),
    ):
        with pytest.raises(InputError, match="fault") as error:
            inventory.select(pattern)
        assert sentence in str(error.value), pattern


def test_selection(folder: Path) -> None:
    inventory, _ = read(folder)
    limit = folder / "failed"
    limit.write_text("redis-2\n")
    for pattern, wanted in (
        (None, ["redis-2", "redis-1"]),
        ("redis[0]", ["redis-1"]),
        ("redis:!redis-1", ["redis-2"]),
        ("~.*-2,redis-1", ["redis-2", "redis-1"]),
        (f"@{limit}", ["redis-2"]),
    ):
        found = [host.name for host in inventory.select(pattern)]
        assert sorted(found) == sorted(wanted)
    here = inventory.select("localhost")[0]
    assert here.implicit and here.vars["ansible_connection"] == "local" and here.groups == ()
    assert "localhost" not in inventory.hosts


def run(verb: object, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(verb.command, arguments, standalone_mode=True)  # type: ignore[attr-defined]
    if isinstance(done.exception, InputError):
        return 2, done.stdout, str(done.exception)
    return done.exit_code, done.stdout, done.stderr


def test_the_verb_inventory(folder: Path) -> None:
    path = ("-i", str(folder), "--project", str(folder))
    code, out, _ = run(inventory_verb, "--list", *path)
    assert code == 0 and json.loads(out)["_meta"]["hostvars"]["redis-1"]["port"] == 6
    assert json.loads(run(inventory_verb, "--list", "-l", "redis-2", *path)[1])["redis"] == {"hosts": ["redis-2"]}
    assert json.loads(run(inventory_verb, "--host", "redis-2", *path)[1]) == {"note": "all", "port": 5}
    assert run(inventory_verb, *path)[1].startswith("@all:\n  |--@ungrouped:\n  |--@lan:\n  |  |--@redis:\n")
    assert "{port = 6}" in run(inventory_verb, "--graph", "--vars", *path)[1]
    assert "redis-1:" in run(inventory_verb, "export", *path)[1]
    code, _, said = run(inventory_verb, "--host", "redis-3", *path)
    assert code == 2 and "there is no host 'redis-3'" in said and "did you mean" in said
    assert run(inventory_verb, "--list", "--graph", *path)[0] == 2
    code, _, said = run(inventory_verb, "--list", "-l", "rdis", *path)
    assert code == 2 and "did you mean 'redis'?" in said


def test_the_verb_vars(folder: Path) -> None:
    path = ("-i", str(folder), "--project", str(folder))
    assert run(vars_verb, "redis-2", *path)[1] == "note = all\nport = 5\n"
    out = run(vars_verb, "redis-1", "--why", *path)[1]
    assert "port = 6\n    host_vars/redis-1.yaml:1:7  host redis-1\n    over hosts.yaml:7:41  host redis-1: 4\n" in out
    entry = json.loads(run(vars_verb, "redis-1", "--json", *path)[1])["vars"]["port"]
    assert entry["set_by"]["line"] == 1 and [o["value"] for o in entry["over"]] == [4, 5, 2, 1]


def test_vault_texts_are_never_printed() -> None:
    inventories = Path(__file__).parent / "inventories"
    path = ("-i", str(inventories / "vaulted.yaml"), "--vault-password-file", str(inventories / "vault_password.txt"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", "")
        for verb, *arguments in (
            (inventory_verb, "--list"),
            (inventory_verb, "--list", "--yaml"),
            (inventory_verb, "--graph", "--vars"),
            (inventory_verb, "--host", "h"),
            (inventory_verb, "export"),
            (vars_verb, "h", "--why"),
            (vars_verb, "h", "--json"),
        ):
            code, out, said = run(verb, *arguments, *path)
            assert code == 0 and out and "s3cret" not in out + said and "labelled" not in out + said


def test_what_the_docs_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes the files of docs/inventory.md and runs its commands."""
    text = (Path(__file__).parent.parent.parent / "docs/inventory.md").read_text()
    for block in re.findall(r"```yaml\n# (\S+)\n(.*?)```", text, re.S):
        path = tmp_path / block[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{block[1]}")
    monkeypatch.chdir(tmp_path)
    sessions = "".join(re.findall(r"```console\n(.*?)```", text, re.S))
    runs = re.findall(r"^\$ swarmops (\S+) (.*)\n((?:(?!\$ ).*\n)*)", sessions, re.M)
    assert len(runs) >= 4
    for verb, arguments, wanted in runs:
        _, out, said = run({"inventory": inventory_verb, "vars": vars_verb}[verb], *arguments.split())
        assert (out or said).strip() == wanted.strip()
