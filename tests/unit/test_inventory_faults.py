"""Every way to get an inventory wrong (reliability-security 3b) and the sentence that it is answered with."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swarmops.model.faults import Faults
from swarmops.model.inventory import Inventory, load

# (case, what it is, the files, what is said). A file's name ends in "/" for a folder.
ALL = "all: {hosts: {h: {%s}}}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i}\n  <<: *a{i - 1}\n  <<: *a{i - 1}\n" for i in range(1, 23))
CASES = [
    (1, "missing", {}, "hosts.yaml: there is no such file (docs/inventory.md shows one to begin with)"),
    (4, "empty", {"hosts.yaml": ""}, "hosts.yaml: is empty: no hosts"),
    (4, "only comments", {"hosts.yaml": "# soon\n"}, "hosts.yaml: is empty: no hosts"),
    (4, "no host in it", {"hosts.yaml": "web:\n"}, "hosts.yaml: no hosts"),
    (5, "a list on top", {"hosts.yaml": "- web-1\n"}, "hosts.yaml: holds a list, not groups"),
    (5, "a scalar on top", {"hosts.yaml": "web-1\n"}, "hosts.yaml: holds text, not groups"),
    (6, "a tab", {"hosts.yaml": "all:\n  hosts:\n\t  h:\n"}, "hosts.yaml:3:1: a tab in the indentation"),
    (7, "not UTF-8", {"hosts.yaml": b"all:\n  # M\xfcller\n"}, "hosts.yaml:2:6: byte 10 (0xfc) is not UTF-8"),
    (8, "UTF-16", {"hosts.yaml": "all:\n".encode("utf-16")}, "hosts.yaml: is UTF-16 (save it as UTF-8)"),
    (9, "NUL", {"hosts.yaml": "all:\n  a\0b: 1\n"}, "hosts.yaml:2:4: holds a NUL character"),
    (9, "bidi", {"hosts.yaml": "all: #\u202e\n"}, "hosts.yaml:1:7: holds the hidden character U+202E"),
    (9, "escape", {"hosts.ini": "[web]\na\x1b[2Jb\n"}, "hosts.ini:2:2: holds the hidden character U+001B"),
    (10, "too large", {"hosts.yaml": "#" * (1024 * 1024 + 1)}, "hosts.yaml: is larger than 1 MiB"),
    (11, "too deep", {"hosts.yaml": "a: " + "[" * 600 + "]" * 600}, "hosts.yaml:1:23: is nested more than 20 deep"),
    (12, "alias bomb", {"hosts.yaml": BOMB}, "hosts.yaml:4:8: *c stands for 820 nodes, more than 100"),
    (12, "recursive", {"hosts.yaml": "a: &a\n  b: *a\n"}, "hosts.yaml:2:6: *a is inside its own anchor &a"),
    (13, "merge bomb", {"hosts.yaml": MERGE_BOMB}, "hosts.yaml:4:3: << is given twice"),
    (14, "a tag", {"hosts.yaml": "all: !!python/object/apply:os.system [id]\n"}, "hosts.yaml:1:6: the tag !!python/"),
    (14, "any tag", {"hosts.yaml": ALL % "x: !mine 5"}, "the tag !mine is not allowed (only !vault and !unsafe are"),
    (15, "two documents", {"hosts.yaml": "all:\n---\nb:\n"}, "hosts.yaml:2:1: a second document begins here"),
    (
        16,
        "a key twice",
        {"hosts.yaml": "all:\n  hosts:\n    h:\n    h:\n"},
        "4:5: the key 'h' is given twice (first in line 3)",
    ),
    (16, "in JSON", {"hosts.json": '{"all": {}, "all": {}}'}, "hosts.json:1:13: the key 'all' is given twice"),
    (
        17,
        "unknown key",
        {"hosts.yaml": "web:\n  host:\n    h:\n"},
        "2:3: web: unknown key 'host' in a group (did you mean 'hosts'?)",
    ),
    (
        17,
        "a slip",
        {"hosts.yaml": ALL % "ansible_hsot: 10.0.0.1"},
        "1:19: h: unknown variable 'ansible_hsot' (did you mean 'ansible_host'?)",
    ),
    (
        17,
        "a slip in INI",
        {"hosts.ini": "h ansible_usr=me\n"},
        "hosts.ini:1:3: h: unknown variable 'ansible_usr' (did you mean 'ansible_user'?)",
    ),
    (
        17,
        "a section that is none",
        {"hosts.ini": "[web:var]\nx=1\n"},
        "hosts.ini:1:6: web: a section cannot be 'var' (did you mean 'vars'?)",
    ),
    (
        17,
        "vars of no group",
        {"hosts.ini": "[web]\nh\n[wbe:vars]\nx=1\n"},
        "3:2: wbe:vars: there is no group 'wbe' (did you mean 'web'?)",
    ),
    (
        17,
        "child that is none",
        {"hosts.ini": "[web]\nh\n[a:children]\nwbe\n"},
        "4:1: a:children: there is no group 'wbe' (did you mean 'web'?)",
    ),
    (18, "a port of letters", {"hosts.yaml": ALL % "ansible_port: abc"}, '1:33: h.ansible_port: "abc" is not a port'),
    (
        18,
        "list for map",
        {"hosts.yaml": "web:\n  hosts:\n    - h\n"},
        "3:5: web.hosts: must be a map, this is a list (a line each, without '-', such as 'web-1:')",
    ),
    (
        18,
        "text for a host",
        {"hosts.yaml": "web: {hosts: {h: 10.0.0.1}}\n"},
        "1:18: web.hosts.h: a host's variables are a map, this is text",
    ),
    (18, "text for a group", {"hosts.yaml": "web: h\n"}, "1:6: web: a group is a map, this is text"),
    (
        18,
        "a list of variables",
        {"hosts.yaml": "all: {hosts: {h: }}\n", "group_vars/all.yaml": "- a\n"},
        "group_vars/all.yaml:1:1: holds a list, not variables",
    ),
    (
        19,
        "no for a user",
        {"hosts.yaml": ALL % "ansible_user: no"},
        "1:33: h.ansible_user: must be text, 'no' is read as false (quote it)",
    ),
    (
        19,
        "on for a host",
        {"hosts.yaml": "all: {hosts: {on: }}\n"},
        "1:15: all.hosts: on is read as true, not as a name (write 'on' when it is the name)",
    ),
    (
        20,
        "22:22",
        {"hosts.yaml": ALL % "ansible_host: 22:22"},
        "1:33: h.ansible_host: must be text, '22:22' is read as the number 1342 (quote it)",
    ),
    (
        20,
        "0600",
        {"hosts.yaml": "all: {hosts: {0600: }}\n"},
        "1:15: all.hosts: 0600 is read as a number, not as a name (write '0600' when it is the name)",
    ),
    (
        21,
        "an address as a float",
        {"hosts.yaml": ALL % "ansible_host: 10.1"},
        "h.ansible_host: must be text, '10.1' is read as the number 10.1 (quote it)",
    ),
    (
        21,
        "no IPv4 address",
        {"hosts.yaml": ALL % "ansible_host: 10.0.0.300"},
        '1:33: h.ansible_host: "10.0.0.300" is not an IPv4 address (example 10.0.0.30)',
    ),
    (22, "a null host", {"hosts.yaml": "all: {hosts: {~: {a: 1}}}\n"}, "1:15: all.hosts: a host without a name"),
    (22, "an empty host", {"hosts.yaml": 'all: {hosts: {"": {a: 1}}}\n'}, "1:15: '' is not a host name: it is empty"),
    (
        27,
        "names but for case",
        {"hosts.yaml": "all: {hosts: {web-1: , Web-1: }}\n"},
        "1:24: Web-1: is the same name as 'web-1' (hosts.yaml:1:15) but for upper and lower case",
    ),
    (
        28,
        "one address twice",
        {"hosts.yaml": "all: {hosts: {a: {ansible_host: 10.0.0.1}, b: {ansible_host: 10.0.0.1}}}\n"},
        "1:62: b.ansible_host: 10.0.0.1 is the address of a too (hosts.yaml:1:33)",
    ),
    (
        30,
        "port 0",
        {"hosts.yaml": ALL % "ansible_port: 0"},
        "1:33: h.ansible_port: 0 is not a port (a number from 1 to 65535, such as 22)",
    ),
    (30, "port 65536", {"hosts.yaml": ALL % "ansible_port: 65536"}, "65536 is not a port"),
    (30, "port -1", {"hosts.ini": "h ansible_port=-1\n"}, "hosts.ini:1:3: h.ansible_port: -1 is not a port"),
    (30, "port true", {"hosts.yaml": ALL % "ansible_port: true"}, "h.ansible_port: a port cannot be true"),
    (30, "port after a name", {"hosts.ini": "h:70000\n"}, "hosts.ini:1:1: h.ansible_port: 70000 is not a port"),
    (37, "a zone", {"hosts.yaml": ALL % "ansible_host: fe80::1%eth0"}, "names a zone"),
    (
        37,
        "v4 in v6",
        {"hosts.yaml": ALL % "ansible_host: '::ffff:10.0.0.1'"},
        "is an IPv4 address in IPv6 clothes (write 10.0.0.1)",
    ),
    (
        39,
        "an option",
        {"hosts.yaml": "all: {hosts: {-oProxyCommand=id: }}\n"},
        "1:15: '-oProxyCommand=id' is not a host name: it begins with '-' (ssh would take it for an option)",
    ),
    (
        39,
        "an option as address",
        {"hosts.yaml": ALL % "ansible_host: -oProxyCommand=id"},
        "'-oProxyCommand=id' is not a host name or address: it begins with '-'",
    ),
    (
        39,
        "shell characters",
        {"hosts.yaml": 'all: {hosts: {"a;reboot": }}\n'},
        "'a;reboot' is not a host name: it holds ';'",
    ),
    (39, "a space", {"hosts.yaml": 'all: {hosts: {"a b": }}\n'}, "it holds a space"),
    (
        39,
        "a long name",
        {"hosts.yaml": f"all: {{hosts: {{{'x' * 64}: }}}}\n"},
        "a part of it is longer than 63 letters",
    ),
    (39, "look-alike", {"hosts.yaml": "all: {hosts: {r\u0435dis: }}\n"}, "it holds '\u0435' (U+0435)"),
    (39, "a user in it", {"hosts.ini": "me@h\n"}, "it holds '@' (the user goes into ansible_user)"),
    (
        40,
        "a user",
        {"hosts.yaml": ALL % "ansible_user: root;id"},
        '1:33: h.ansible_user: "root;id" is not a user name (such as admin)',
    ),
    (
        40,
        "become user",
        {"group_vars/all.yml": "ansible_become_user: $(id)\n", "hosts.yaml": "all: {hosts: {h: }}\n"},
        'group_vars/all.yml:1:22: all.ansible_become_user: "$(id)" is not a user name',
    ),
    (41, "..", {"hosts.yaml": ALL % "ansible_ssh_private_key_file: /a/../key"}, '"/a/../key" holds ".."'),
    (
        41,
        "a relative key",
        {"hosts.yaml": ALL % "ansible_ssh_private_key_file: keys/id"},
        '"keys/id" is a relative path',
    ),
    (
        41,
        "another's home",
        {"hosts.yaml": ALL % "ansible_ssh_private_key_file: ~bob/id"},
        "another user's home is not looked up",
    ),
    (
        41,
        "~ on a host",
        {"hosts.yaml": ALL % "ansible_python_interpreter: ~/python"},
        "begins with ~ (an absolute path on the host)",
    ),
    (
        41,
        "a line break",
        {"hosts.yaml": ALL % r'ansible_ssh_private_key_file: "/a\nb"'},
        "holds a line break or a control character",
    ),
    (
        43,
        "a circle",
        {"hosts.yaml": "a: {children: {b: }}\nb: {children: {c: }}\nc: {children: {a: }, hosts: {h: }}\n"},
        "3:16: c.children: groups go in a circle: a -> b -> c -> a",
    ),
    (
        44,
        "its own child",
        {"hosts.ini": "[a]\nh\n[a:children]\na\n"},
        "4:1: a.children: the group 'a' is its own child",
    ),
]


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read(folder: Path, name: str = "hosts.yaml") -> tuple[Inventory, list[str]]:
    faults = Faults()
    inventory = load(folder / name, faults, root=folder)
    return inventory, [str(fault) for fault in faults]


@pytest.mark.parametrize(("case", "what", "files", "said"), CASES, ids=[f"case_{c[0]}_{c[1]}" for c in CASES])
def test_case(case: int, what: str, files: dict[str, str | bytes], said: str, tmp_path: Path) -> None:
    write(tmp_path, files)
    name = next((n for n in files if n.startswith("hosts")), "hosts.yaml")
    start = time.monotonic()
    _, lines = read(tmp_path, name)
    assert [line for line in lines if said in line and "warning" not in line], "\n".join(lines) or "nothing was said"
    assert time.monotonic() - start < 2


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
    assert time.monotonic() - start < 5
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
