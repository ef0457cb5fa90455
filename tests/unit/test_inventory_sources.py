"""Where inventories come from: folders, links, executables and vaults that cannot be read, what looks like a mistake
and is none, and very many hosts."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from inventory_files import ALL, read, write

from swarmops.model.faults import Faults
from swarmops.model.inventory import load


def test_case_2_folder_fifo_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    assert read(tmp_path, "fifo.yaml")[1] == ["fifo.yaml: is a fifo, not a file"]
    faults = Faults()
    load(Path("/dev/null"), faults)
    assert str(faults.errors[0]) == "/dev/null: is a device, not a file"
    (tmp_path / "group_vars" / "all.d").mkdir(parents=True)
    write(tmp_path, {"hosts.yaml": "all: {hosts: {h: }}\n"})
    os.mkfifo(tmp_path / "group_vars" / "h.yml")
    os.mkfifo(tmp_path / "group_vars" / "all.yml")
    assert "group_vars/all.yml: is a fifo, not a file" in read(tmp_path)[1]


def test_case_3_unreadable() -> None:
    """As another user when the tests run as root, who may read everything."""
    program = """
import os, sys, pathlib, tempfile
folder = pathlib.Path(tempfile.mkdtemp()); os.chmod(folder, 0o755)
(folder / "hosts.yaml").write_text("all:"); os.chmod(folder / "hosts.yaml", 0)
from swarmops.model.inventory import load
from swarmops.model.faults import Faults
if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)
faults = Faults(); load(folder / "hosts.yaml", faults, root=folder); print(faults.errors[0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/")
    assert done.stdout.startswith("hosts.yaml: may not be read by you (look at 'ls -l "), done.stderr


def test_case_8_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    write(tmp_path, {"hosts.yaml": b"\xef\xbb\xbfall: {hosts: {h: {a: 1}}}\n"})
    inventory, lines = read(tmp_path)
    assert lines == [] and inventory.hosts["h"].vars == {"a": 1}


def test_case_17_own_names_are_no_slips(tmp_path: Path) -> None:
    names = ["ansible_user_id", "ansible_hostname", "ansible_python_version", "my_ansible_hsot", "ansible_custom_thing"]
    write(tmp_path, {"hosts.yaml": ALL % ", ".join(f"{n}: x" for n in names)})
    assert read(tmp_path)[1] == []


def test_case_28_one_address_by_different_ways_is_fine(tmp_path: Path) -> None:
    hosts = ["a: {ansible_host: 10.0.0.1}", "b: {ansible_host: 10.0.0.1, ansible_port: 2222}",
             "c: {ansible_host: 10.0.0.1, ansible_ssh_common_args: -J gate}", "d: {ansible_connection: local}",
             "e: {ansible_connection: local}"]  # fmt: skip
    write(tmp_path, {"hosts.yaml": f"all: {{hosts: {{{', '.join(hosts)}}}}}\n"})
    assert read(tmp_path)[1] == []


def test_case_41_a_key_below_the_own_home_is_fine(tmp_path: Path) -> None:
    write(tmp_path, {"hosts.yaml": ALL % "ansible_ssh_private_key_file: ~/.ssh/id_ed25519"})
    assert read(tmp_path)[1] == []


def test_case_42_links_out_of_the_tree(tmp_path: Path) -> None:
    write(tmp_path, {"away/hosts.yaml": "all: {hosts: {h: }}\n", "away/vars.yml": "x: 1\n"})
    project = tmp_path / "project"
    write(project, {"inventory/lan/hosts.yaml": "all: {hosts: {h: }}\n", "inventory/lan/host_vars/.keep": ""})
    (project / "inventory/linked.yaml").symlink_to(tmp_path / "away/hosts.yaml")
    (project / "inventory/lan/host_vars/h.yml").symlink_to(tmp_path / "away/vars.yml")
    (project / "inventory/lan/sub").symlink_to(tmp_path / "away")
    faults = Faults()
    load(project / "inventory/linked.yaml", faults, root=project)
    load(project / "inventory/lan", faults, root=project)
    said = [str(f) for f in faults]
    for file in ("inventory/linked.yaml", "inventory/lan/host_vars/h.yml", "inventory/lan/sub"):
        assert any(line.startswith(f"{file}: is a link to {tmp_path}/away") for line in said), (file, said)


def test_case_42_links_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path, {"lan/hosts.yaml": "all: {hosts: {h: }}\n", "lan/group_vars/all/x.yml": "a: 1\n"})
    (tmp_path / "lan" / "again").symlink_to(tmp_path / "lan")
    (tmp_path / "lan" / "group_vars" / "all" / "again").symlink_to(tmp_path / "lan" / "group_vars" / "all")
    (tmp_path / "lan" / "self.yaml").symlink_to("self.yaml")
    _, lines = read(tmp_path, "lan")
    assert any(line.startswith("lan/again: is a link to") and "which holds it" in line for line in lines), lines
    assert any("does a link lead back?" in line for line in lines), lines
    assert any(line.startswith("lan/self.yaml: ") for line in lines), lines


def test_case_51_five_thousand_hosts(tmp_path: Path) -> None:
    hosts = "".join(
        f"        host-{i:04}: {{ansible_host: 10.{i // 62500}.{i // 250 % 250}.{i % 250 + 1}, n: {i}, tags: [a, b]}}\n"
        for i in range(5000)
    )
    text = f"all:\n  vars: {{ansible_user: admin}}\n  children:\n    web:\n      vars: {{x: 1}}\n      hosts:\n{hosts}"
    write(tmp_path, {"hosts.yaml": text, "group_vars/web.yml": "y: 2\n", "host_vars/host-0007.yml": "z: 3\n"})
    start = time.monotonic()
    inventory, lines = read(tmp_path)
    assert time.monotonic() - start < 60
    assert lines == [] and len(inventory.hosts) == 5000
    assert inventory.hosts["host-0007"].vars["z"] == 3 and inventory.hosts["host-4999"].vars["y"] == 2


def test_case_59_templates_stay_text_and_are_warned_of(tmp_path: Path) -> None:
    write(tmp_path, {"hosts.yaml": ALL % "a: '{{ 7*7 }}', b: {c: ['x{% y %}']}"})
    inventory, lines = read(tmp_path)
    assert inventory.hosts["h"].vars == {"a": "{{ 7*7 }}", "b": {"c": ["x{% y %}"]}}
    assert lines[0].startswith("hosts.yaml:1:22: h.a: warning: stays as it is written")
    assert lines[1].startswith("hosts.yaml:1:43: h.b.c[0]: warning: stays as it is written")


def test_every_fault_in_one_run(tmp_path: Path) -> None:
    text = """\
all:
  host: {h: }
  children:
    web:
      hosts:
        a b:
        w1: {ansible_port: 0, ansible_hsot: 10.0.0.1}
        w1: {}
      vars: [x]
      children: {web: }
"""
    write(tmp_path, {"hosts.yaml": text, "group_vars/web.yml": "a: [\n"})
    _, lines = read(tmp_path)
    assert sorted(line.split(": ")[0] for line in lines) == [
        "group_vars/web.yml:2:1",
        "hosts.yaml:10:18",
        "hosts.yaml:2:3",
        "hosts.yaml:6:9",
        "hosts.yaml:7:28",
        "hosts.yaml:7:31",
        "hosts.yaml:8:9",
        "hosts.yaml:9:13",
    ]


def test_an_executable_inventory_that_fails(tmp_path: Path) -> None:
    script = tmp_path / "hosts.sh"
    for body, said in (
        ("echo oh no >&2; exit 3", "hosts.sh: --list: failed with 3: oh no"),
        ("echo '[1'", "hosts.sh: --list: printed no JSON"),
        ("echo '[1]'", "hosts.sh: --list: printed a list, not a map of groups"),
        ("""echo '{"web": 5}'""", "hosts.sh: web: a group is a map, this is a number"),
        ("""echo '{"web": {"hosts": {"a": 1}}}'""", "hosts.sh: web.hosts: must be a list, is a map"),
        ("""echo '{"_meta": {"hostvars": []}}'""", "hosts.sh: _meta.hostvars: must be a map, is a list"),
    ):
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        assert any(line.startswith(said) for line in read(tmp_path, "hosts.sh")[1]), read(tmp_path, "hosts.sh")[1]
    script.write_text("#!/no/such/interpreter\n")
    assert read(tmp_path, "hosts.sh")[1][0].startswith("hosts.sh: --list: could not be run: No such file")
    assert script.stat().st_mode & stat.S_IXUSR


def test_vault_without_and_with_the_wrong_password(tmp_path: Path) -> None:
    folder = Path(__file__).parent / "inventories"
    faults = Faults()
    host = load(folder / "vaulted.yaml", faults).hosts["h"]
    assert not faults.errors
    with pytest.raises(Exception, match="is encrypted by ansible-vault and no password was given"):
        f"{host.vars['secret']}"
    load(folder / "vault_file", faults)
    assert "vault_file/group_vars/g.yml: is encrypted by ansible-vault and no password" in str(faults.errors[0])
    wrong = tmp_path / "password"
    wrong.write_text("other\n")
    faults = Faults()
    load(folder / "vaulted.yaml", faults, vault_password_file=wrong)
    assert [f.path for f in faults.errors] == ["h.secret", "h.other"]
    assert "cannot be opened: the password of" in faults.errors[0].sentence
    faults = Faults()
    load(folder / "vaulted.yaml", faults, vault_password_file=tmp_path / "none")
    assert str(faults.errors[0]).startswith("<command line>: --vault-password-file: ")


def test_opened_vault_texts_are_text_that_does_not_show_itself() -> None:
    folder = Path(__file__).parent / "inventories"
    password = folder / "vault_password.txt"
    values = load(folder / "vaulted.yaml", Faults(), vault_password_file=password).hosts["h"].vars
    assert values["secret"] == "s3cret é" and values["other"] == "labelled"
    assert repr(values["secret"]) == "<vault text>" and "s3cret" not in repr(values)
