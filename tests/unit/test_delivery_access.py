"""How connection variables and ssh_config become the way to a host."""

from __future__ import annotations

import ipaddress
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmops.delivery import access
from swarmops.model.faults import InputError

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,12}(\.[a-z]{2,5})?", fullmatch=True)
USERS = st.none() | st.from_regex(r"[a-z_][a-z0-9_.@-]{0,8}[a-z]", fullmatch=True)
PORTS = st.none() | st.integers(1, 65535)


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    """The ssh_config of a test: write into it, and it is read anew."""
    path = tmp_path / "ssh_config"
    monkeypatch.setenv("SWARMOPS_SSH_CONFIG", str(path))
    monkeypatch.setenv("HOME", str(tmp_path))
    access.ssh_config.cache_clear()
    yield path
    access.ssh_config.cache_clear()


def to(name="h", **vars):
    return access.access_to(SimpleNamespace(name=name, vars=vars))


def args(text):
    return to(ansible_ssh_common_args=text)


@given(
    st.lists(
        st.tuples(USERS, NAMES | st.ip_addresses().map(str), PORTS), min_size=1, max_size=4, unique_by=lambda t: t[1]
    )
)
def test_a_list_of_jumps_comes_as_it_was_written(hops):
    def text(user, host, port):
        host = f"[{host}]" if ":" in host and (port or user) else host
        return (f"{user}@" if user else "") + host + (f":{port}" if port else "")

    jump = ",".join(text(*h) for h in hops)
    for written in (f"-J {jump}", f"-J{jump}", f"-o ProxyJump={jump}", f"-oProxyJump={jump}", f"-o 'ProxyJump {jump}'"):
        made = args(written).jumps
        assert [(j.user, j.address, j.port) for j in made] == [(u, h, p or 22) for u, h, p in hops], written


@given(st.lists(st.text(min_size=1), max_size=6))
def test_odd_arguments_are_read_or_refused_in_one_line(words):
    for text in (shlex.join(words), " ".join(words)):
        try:
            args(text)
        except InputError as e:
            assert len(e.faults.errors) == 1


@pytest.mark.parametrize("text", ["-J none", "-o ProxyJump=None", "-o proxyjump=none"])
def test_none_ends_the_jumps_of_ssh_config(config, text):
    config.write_text("Host *\n  ProxyJump gw\n")
    access.ssh_config.cache_clear()
    assert to(ansible_ssh_common_args=text).jumps == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-J a,,b", "ProxyJump"),
        ("-J ''", "ProxyJump"),
        ("-p abc", "'abc' is not a port"),
        ("-o Port=0", "'0' is not a port"),
        ("-o 'unclosed", "No closing quotation"),
    ],
)
def test_what_cannot_be_meant_is_the_users_fault_and_names_the_host(text, said):
    with pytest.raises(InputError, match=said) as e:
        args(text)
    assert "h: its connection variables" in str(e.value)


def test_the_first_option_counts_and_all_identity_files_do():
    made = args("-o Port=1 -o Port=2 -p 3 -i /a -o IdentityFile=/b").hop
    assert made.port == 1 and made.keys == ("/a", "/b")


def test_a_proxy_command_keeps_its_own_equal_signs_and_knows_the_port():
    made = to(
        ansible_port=2222,
        ansible_user="ops",
        ansible_ssh_common_args="-o 'ProxyCommand ssh -o Port=9 gw -W %h:%p %r %%'",
    )
    assert made.proxy_command == "ssh -o Port=9 gw -W h:2222 ops %"


@given(st.ip_addresses(v=6), PORTS)
def test_ipv6_addresses_are_shown_with_brackets(address, port):
    for written in (str(address), f"[{address}]"):
        made = to(ansible_host=written, **({"ansible_port": port} if port else {}))
        assert ipaddress.ip_address(made.hop.address) == address
        assert made.where == f"[{address}]:{port or 22}"


@pytest.mark.parametrize(
    ("given_", "python"),
    [
        ("auto", "python3"),
        ("auto_silent", "python3"),
        ("/opt/automation/bin/python3", "/opt/automation/bin/python3"),
        ("/usr/bin/env python3", "/usr/bin/env python3"),
    ],
)
def test_the_interpreter_is_taken_as_written(given_, python):
    assert to(ansible_python_interpreter=given_).python == python


@pytest.mark.parametrize(
    ("given_", "become"), [("no", False), ("false", False), ("yes", True), (True, True), (None, False)]
)
def test_become_as_text_of_an_ini_inventory(given_, become):
    assert to(ansible_become=given_).become is become


def test_include_match_and_a_jump_of_a_jump(config, tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/one.conf").write_text("Host gw\n  User inner\n  ProxyJump outer\n")
    (tmp_path / ".ssh/two.conf").write_text("Port 2200\n")
    config.write_text("Host h\n  Include two.conf\n  Include one.conf\n  ProxyJump gw\nMatch host gw\n  Port 99\n")
    made = to()
    assert made.hop.port == 2200
    assert [(j.user, j.address, j.port) for j in made.jumps] == [(None, "outer", 22), ("inner", "gw", 99)]


@pytest.mark.parametrize(
    "text", ["Match host\n", "Include ssh_config\n", "Host h\n  ProxyJump a\nHost a\n ProxyJump h\n"]
)
def test_a_bad_ssh_config_is_told_in_one_line(config, tmp_path, text):
    config.write_text(text.replace("Include ", f"Include {tmp_path}/"))
    with pytest.raises(InputError) as e:
        to()
    assert len(e.value.lines()) == 2


@pytest.mark.parametrize("verb", ["setup", "pin", "scan"])
def test_where_nothing_is_reached_over_ssh_no_key_is_made(
    declared: Any, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    declared.hosts.write_text("all: {hosts: {here: {ansible_connection: local}}}\n")
    declared.file.write_text("version: 1\n")
    code, _, err = run("keys", verb)
    assert code == 0 and "no host of this tier is reached over SSH" in err
    assert not (tmp_path / "home").exists()
