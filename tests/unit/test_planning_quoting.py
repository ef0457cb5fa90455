"""Rendering: line breaks (56), texts that arrive unchanged (57), data that stays data (59)."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from planning_project import Planned

from tests.conftest import lacking

ODD = [
    "pa\"ss'w%rd",
    "$HOME `id` $(id)",
    "back\\slash\\",
    "# no comment",
    "{{ 7*7 }} {% x %}",
    "%n %h 100%%",
    "ü€",
    "a  b",
]


# -- line breaks and control characters


@pytest.mark.parametrize("odd", ["a\nb", "a\rb", "a\x1b[31m", "a\u2028b", "a\u202eb", "a\x85b", "a\0b"])
@pytest.mark.parametrize(
    "use", ["{{ motto }}", "{{ motto | redis_quote }}", "{{ [motto] | lines }}", "x{{ motto ~ 'c' }}"]
)
def test_no_value_brings_a_line_of_its_own(small: Planned, odd: str, use: str) -> None:
    small.rendering(use).plan(extra={"motto": odd})
    assert small.lines and "a value holds" in small.lines[0], small.lines


def test_nor_into_arguments(small: Planned) -> None:
    small.task("{name: a, lineinfile: {path: /etc/x, line: '{{ motto }}'}}").plan(extra={"motto": "a\nb"})
    assert "tasks[a].lineinfile.line: a value holds a line break" in small.lines[0]
    small.task("{name: a, apt: {name: '{{ motto }}'}}").plan(extra={"motto": ["curl", "a\nb"]})
    assert "a value holds a line break" in small.lines[0]


def test_lines_that_the_role_makes_are_welcome(small: Planned) -> None:
    small.rendering(
        "{{ [1, 2] | lines }}\n{{ banner }}{% macro m(x) %}<\n{{ x }}>{% endmacro %}{{ m(3) | indent(2) }}\n"
        "{% set y %}u\nv{% endset %}{{ y }}\n{{ {'a': [1]} | to_json(indent=1) }}\n",
        '{banner: "one\\ntwo\\n"}',
    )
    assert small.text() == '1\n2\none\ntwo\n<\n  3>\nu\nv\n{\n "a": [\n  1\n ]\n}\n'


@pytest.mark.parametrize(
    ("value", "said"), [("{{ none }}", "null"), ("{{ [1] }}", "a list"), ("{{ network }}", "a map")]
)
def test_what_is_no_text_is_not_written(small: Planned, value: str, said: str) -> None:
    assert said in small.rendering(value).fault()


# -- quoting


@pytest.mark.parametrize("odd", ODD)
def test_odd_texts_arrive_unchanged(small: Planned, odd: str) -> None:
    small.rendering("{{ v }}\n{{ v | json }}\n{{ v | sh_quote }}\n")
    plain, as_json, as_sh = small.text(extra={"v": odd}).splitlines()
    assert plain == odd and json.loads(as_json) == odd
    shell = subprocess.run(["sh", "-c", f"printf %s {as_sh}"], capture_output=True, text=True, check=True)
    assert shell.stdout == odd


def test_inventory_values_are_not_templates(small: Planned) -> None:
    small.rendering("{{ motto }} {{ app_own }} {{ own }}", '{own: "{{ motto }}"}')
    small.write("inventory/lan/group_vars/all.yaml", 'motto: "{{ 7*7 }}"\n')
    assert small.text() == "{{ 7*7 }} {{ 7*7 }} {{ 7*7 }}"


@pytest.mark.runtime
def test_redis_reads_back_what_redis_quote_wrote(small: Planned, tmp_path: Path) -> None:
    if not shutil.which("redis-server"):
        lacking("redis-server is not installed (apt install redis-server)")
    small.rendering('unixsocket {{ socket }}\nport 0\nsave ""\nproc-title-template {{ v | redis_quote }}\n')
    for odd in (o for o in ODD if "{" not in o):
        conf, sock = tmp_path / "r.conf", tmp_path / "r.sock"
        conf.write_text(small.text(extra={"v": odd, "socket": str(sock)}).replace("proc-title-template", "requirepass"))
        server = subprocess.Popen(["redis-server", str(conf), "--daemonize", "no"], stdout=subprocess.DEVNULL)
        try:
            assert _ask(sock, ["AUTH", odd]) == b"+OK\r\n", odd
        finally:
            server.terminate()
            server.wait(60)


def _ask(path: Path, words: list[str]) -> bytes:
    """One command over a unix socket, once it listens."""
    end = time.monotonic() + 30
    while True:
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(path))
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
                continue
            data = [w.encode() for w in words]
            s.sendall(b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%s\r\n" % (len(d), d) for d in data))
            return s.recv(4096)


@pytest.mark.parametrize("odd", [o for o in ODD if "{" not in o])
def test_systemd_accepts_what_systemd_escape_wrote(small: Planned, tmp_path: Path, odd: str) -> None:
    if not shutil.which("systemd-analyze"):
        lacking("systemd-analyze is not installed (apt install systemd)")
    small.rendering("[Service]\nType=oneshot\nEnvironment={{ ('X=' ~ v) | systemd_escape }}\n"
                    "ExecStart=/bin/echo {{ v | systemd_escape(exec=true) }}\n")  # fmt: skip
    unit = tmp_path / "odd.service"
    unit.write_text(small.text(extra={"v": odd}))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert "odd.service" not in done.stderr, done.stderr
