"""Every way to get an inventory wrong (reliability-security 3b) and the sentence that it is answered with."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from inventory_files import ALL, read, write

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i}\n  <<: *a{i - 1}\n  <<: *a{i - 1}\n" for i in range(1, 23))
# (case, what it is, the files, what is said).
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


@pytest.mark.parametrize(("case", "what", "files", "said"), CASES, ids=[f"case_{c[0]}_{c[1]}" for c in CASES])
def test_case(case: int, what: str, files: dict[str, str | bytes], said: str, tmp_path: Path) -> None:
    write(tmp_path, files)
    name = next((n for n in files if n.startswith("hosts")), "hosts.yaml")
    start = time.monotonic()
    _, lines = read(tmp_path, name)
    assert [line for line in lines if said in line and "warning" not in line], "\n".join(lines) or "nothing was said"
    assert time.monotonic() - start < 30, "a bomb went off"
