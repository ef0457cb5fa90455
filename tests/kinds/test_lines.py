"""Kinds that edit files others write too: applying twice is applying once, and Ansible's module says the same."""

from __future__ import annotations

import re
from typing import Any

from ansible.modules import lineinfile as ansible_lineinfile
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swarmops.planning.kinds_spec import spec
from swarmops.target.kinds import _publickeys, authorized_key, blockinfile, lineinfile, sysctl

WORDS = st.text(alphabet="ab#= ", max_size=4)
TEXTS = st.builds(
    lambda lines, end: "".join(x + "\n" for x in lines) + end,
    st.lists(WORDS, max_size=6),
    st.sampled_from(["", "a", "b"]),
)
PATTERNS = st.one_of(st.none(), st.sampled_from(["^a", "b$", "^#?a", "=", "^$", "ab", "a.*b"]))
PLACES = st.one_of(st.none(), st.sampled_from(["^a", "=", "EOF", "BOF"]))


def args(kind: str, **given: Any) -> dict[str, Any]:
    made = {a.name: a.default for a in spec("kind", kind).args.values()}
    return dict(made, **given)


@st.composite
def line_tasks(draw):
    line, regexp = draw(WORDS), draw(PATTERNS)
    after, before = draw(st.sampled_from([(None, None), (draw(PLACES), None), (None, draw(PLACES))]))
    state = draw(st.sampled_from(["present", "present", "absent"]))
    made = args("lineinfile", path="/f", line=line, regexp=regexp, insertafter=after, insertbefore=before, state=state)
    lineinfile.want(made)
    return made


@given(TEXTS, line_tasks())
@settings(max_examples=400, deadline=None)
def test_a_line_twice_is_a_line_once(text, task):
    once, _ = lineinfile.edit(text.encode(), task)
    twice, touched = lineinfile.edit(once, task)
    assert twice == once
    assert touched in (None, task["line"])
    if task["state"] == "present":
        assert task["line"].encode() in [x.rstrip(b"\n") for x in once.split(b"\n")]


class Stop(Exception):
    pass


class Module:
    """What Ansible's functions ask of their surroundings; the file is real."""

    check_mode, _diff, params = False, False, {"validate": None, "unsafe_writes": False}
    tmpdir = None

    def exit_json(self, **result):
        raise Stop(result)

    fail_json = exit_json

    def load_file_common_arguments(self, params):
        return {}

    def set_fs_attributes_if_different(self, *args, **kwargs):
        return False

    def backup_local(self, path):
        return ""

    def atomic_move(self, source, dest, **kwargs):
        from pathlib import Path

        Path(dest).write_bytes(Path(source).read_bytes())


def by_ansible(path, task) -> None:
    module = Module()
    module.params = dict(module.params, path=str(path))
    module.tmpdir = str(path.parent)
    try:
        if task["state"] == "present":
            given = [task[k] for k in ("regexp", "line", "insertafter", "insertbefore")]
            regexp, line, after, before = given
            ansible_lineinfile.present(
                module,
                str(path),
                regexp,
                None,
                line,
                after or (None if before else "EOF"),
                before,
                True,
                False,
                False,
                False,
            )
        else:
            ansible_lineinfile.absent(module, str(path), task["regexp"], None, task["line"], False)
    except Stop:
        pass


@given(TEXTS, line_tasks())
@settings(max_examples=300, deadline=None)
def test_ansible_says_the_same(tmp_path_factory, text, task):
    """Where Ansible itself is stable: where its regexp matches its line, or matches nothing."""
    assume(not text or text.endswith("\n"))  # else Ansible's insertafter joins two lines
    if task["regexp"] and task["state"] == "present":
        assume(re.search(task["regexp"], task["line"]) or not re.search(task["regexp"], text, re.M))
    path = tmp_path_factory.mktemp("ansible") / "f"
    path.write_text(text)
    by_ansible(path, task)
    ours, _ = lineinfile.edit(text.encode(), task)
    assert ours.rstrip(b"\n") == path.read_bytes().rstrip(b"\n")


def key(n: int) -> str:
    import base64
    import hashlib
    import struct

    body = struct.pack(">I", 11) + b"ssh-ed25519" + struct.pack(">I", 32) + hashlib.sha256(bytes([n])).digest()
    return "ssh-ed25519 " + base64.b64encode(body).decode()


KEYS = st.builds(
    lambda options, n, comment: " ".join(x for x in (options, key(n), comment) if x),
    st.sampled_from(["", 'from="10.0.0.1, 10.0.0.2"', r'command="echo \"hi there\"",no-pty']),
    st.integers(0, 3),
    st.sampled_from(["", "ada@laptop", "two words"]),
)
OTHERS = st.sampled_from(["", "# a comment", "not a key", "ssh-ed25519 AAAA broken", "  "])


@given(
    st.lists(st.one_of(KEYS, OTHERS), max_size=6),
    st.lists(KEYS, min_size=1, max_size=3),
    st.sampled_from([None, "no-pty"]),
    st.booleans(),
    st.sampled_from(["present", "absent"]),
)
@settings(max_examples=400, deadline=None)
def test_keys_twice_are_keys_once(lines, wanted, options, exclusive, state):
    task = args("authorized_key", user="ada", key="\n".join(wanted), key_options=options, state=state)
    task["exclusive"] = exclusive and state == "present"
    want = authorized_key.want(task)
    once = authorized_key._edit(lines, task).decode()
    assert authorized_key._edit(once.splitlines(), task).decode() == once
    assert state_of(once, task) == want["keys"]
    if not task["exclusive"]:
        ours = set(authorized_key._wanted(task))
        kept = [x for x in lines if not (p := _publickeys.parse(x)) or p[1:3] not in ours]
        assert [x for x in once.splitlines() if x in kept] == kept


def state_of(text: str, task) -> list[str]:
    return authorized_key.names(text.splitlines(), task)


@given(
    TEXTS.filter(lambda t: "BEGIN" not in t), st.lists(WORDS, min_size=1, max_size=3), st.sampled_from([None, "BOF"])
)
@settings(max_examples=200, deadline=None)
def test_a_block_twice_is_a_block_once(tmp_path_factory, text, block, before):
    path = tmp_path_factory.mktemp("block") / "f"
    path.write_text(text)
    task = args("blockinfile", path=str(path), block="\n".join(block), insertbefore=before)
    want = blockinfile.want(task)
    assume(want["block"])
    once = blockinfile._edited(str(path), task, want)
    path.write_bytes(once)
    assert blockinfile.read(task, want, None)["block"] == want["block"]
    assert blockinfile._edited(str(path), task, want) == once
    gone = dict(task, state="absent")
    back = blockinfile._edited(str(path), gone, blockinfile.want(gone))
    assert back.rstrip(b"\n") == text.encode().rstrip(b"\n") or back == text.encode() + b"\n"


SETTINGS = st.lists(st.sampled_from(["net.a = 1", "net/a=2", "-net.a=3", "# net.a = 9", "", "net.b = 1"]), max_size=6)


@given(SETTINGS, st.sampled_from(["1", "4 5", None]))
def test_a_setting_twice_is_a_setting_once(lines, value):
    once = sysctl._edit("\n".join(lines).encode(), "net/a", value)
    assert sysctl._kept(once, "net/a") == value
    assert sysctl._edit(once, "net/a", value) == once
    assert once.count(b"net.b") == lines.count("net.b = 1")
