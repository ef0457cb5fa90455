"""`swarmops vars HOST --why`: every layer of every variable, and never a secret."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]
ROLE = """\
role: redis
secrets: [redis.app]
vars:
  port: 6000
  url: "redis://{{ address }}:{{ port }}"
  password: {secret: redis.app}
  line: "requirepass {{ password }}"
"""
PYTHON = """\
import hashlib


def vars(context):
    password = str(context.vars["password"])
    return {
        "hash": hashlib.sha256(password.encode()).hexdigest(),
        "alone": context.vars["password"],
        "inside": ["user:" + password],
        "own_key": "a public one",
        "hosts": [host.name for host in context.hosts],
    }
"""
VALUE = "n0-Body-Shall-see-Th1s-Value"


@pytest.fixture
def project(declared: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    declared.write("version: 1\ninfrastructure: {redis: redis}\nservices: {redis: {port: 6100}}\n")
    for name, text in (
        ("roles/redis/role.yaml", ROLE),
        ("roles/redis/role.py", PYTHON),
        ("inventory/lan/group_vars/redis.yaml", "redis_port: 6200\n"),
    ):
        file = declared.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setenv("SWARMOPS_SECRET_REDIS_APP", VALUE)
    return declared


def test_role_services_inventory_and_command_line(project: Any, run: Run) -> None:
    code, out, err = run("vars", "r1", "redis_port", "--why", "-e", "redis_port=6300")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "redis_port = 6300",
        "    -e redis_port  command line",
        "    over inventory/lan/group_vars/redis.yaml:1:13  group redis: 6200",
        "    over distributed.yaml:3:26  services.redis: 6100",
        "    over roles/redis/role.yaml:4:3  role redis: 6000",
    ]


def test_a_template_and_what_came_of_it(project: Any, run: Run) -> None:
    _, out, _ = run("vars", "r1", "redis_url", "--why")
    assert out.splitlines() == [
        "redis_url = redis://172.16.168.23:6200",
        "    roles/redis/role.yaml:5:3  role redis: redis://{{ address }}:{{ port }}",
    ]
    _, out, _ = run("vars", "r1", "redis_url", "--json", "-e", "redis_url=x")
    assert json.loads(out)["vars"]["redis_url"]["over"][0]["value"] == "redis://{{ address }}:{{ port }}"


def test_what_role_py_derives_has_its_line(project: Any, run: Run) -> None:
    _, out, _ = run("vars", "r1", "redis_hosts", "--why")
    assert out.splitlines() == ['redis_hosts = ["c1", "r1"]', "    roles/redis/role.py:11  role redis derives it"]


@pytest.mark.parametrize("how", [["--why"], ["--json"], []])
def test_no_secret_is_shown_in_any_form(project: Any, run: Run, how: list[str]) -> None:
    code, out, err = run("vars", "r1", *how)
    assert code == 0 and "redis_inside" in out
    for form in (VALUE, hashlib.sha256(VALUE.encode()).hexdigest(), "n0-Body", "Th1s"):
        assert form not in out + err


def test_secrets_have_their_names(project: Any, run: Run) -> None:
    _, out, _ = run("vars", "r1", "redis_password", "redis_alone", "redis_line")
    reference, alone, line = out.splitlines()
    assert reference == 'redis_password = {"secret": "redis.app"}'
    assert alone.startswith("redis_alone = <secret redis.app ")
    assert line == "redis_line = <secret>"
    assert run("vars", "r1", "redis_own_key")[1] == "redis_own_key = a public one\n"


def test_a_secret_in_plain_text_is_not_shown_either(project: Any, run: Run) -> None:
    (project.root / "inventory/lan/host_vars").mkdir()
    (project.root / "inventory/lan/host_vars/r1.yaml").write_text("api_token: hunter2\nredis_password: letmein\n")
    for how in (["--why"], ["--json"]):
        _, out, err = run("vars", "r1", *how, "-e", "mqtt_password=0-1-2")
        assert "<a secret in plain text>" in out
        assert not any(word in out + err for word in ("hunter2", "letmein", "0-1-2"))


def test_a_missing_secret_hides_only_itself(project: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWARMOPS_SECRET_REDIS_APP")
    code, out, _ = run("vars", "r1", "redis_port", "redis_password")
    assert code == 0 and out == 'redis_port = 6200\nredis_password = {"secret": "redis.app"}\n'


def test_faults_hide_only_what_they_touch(project: Any, run: Run) -> None:
    file = project.root / "roles/redis/role.yaml"
    file.write_text(ROLE.replace("{{ address }}", "{{ adress }}"))
    code, out, err = run("vars", "r1", "redis_port", "redis_url")
    assert code == 2 and out == "redis_port = 6200\nredis_url = <not known>\n"
    assert err.splitlines()[0].startswith(
        "roles/redis/role.yaml:5:3: vars.url: 'adress' is not set for r1 (close: address)"
    )


def test_names_that_nobody_has(project: Any, run: Run) -> None:
    code, out, err = run("vars", "r1", "redis_prt")
    assert (code, out) == (2, "") and "did you mean 'redis_port'?" in err
    code, _, err = run("vars", "r1", "-e", "port=1")
    assert code == 2 and "did you mean redis_port?" in err
