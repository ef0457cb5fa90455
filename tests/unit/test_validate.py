"""`swarmops validate`: everything at once, nothing contacted; and each bad input has its test."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
V = "version: 1\n"
R = "infrastructure: {redis: redis, client: 'all:!redis'}\n"


@pytest.fixture
def roles(declared: Any) -> Any:
    """Two small roles in the declared project."""
    for name, text in {
        "redis": "role: redis\nvars: {port: 6379, maxmemory: 1gb, password: {secret: redis.app}}\n"
        "tasks:\n  - name: write it\n    template: {src: redis/a.conf.j2, dest: /etc/a.conf, mode: '0644'}\n",
        "client": "role: client\nvars: {}\ntasks: []\n",
    }.items():
        write(declared.root / "roles" / name / "role.yaml", text)
    write(declared.root / "templates" / "redis" / "a.conf.j2", "port {{ port }}\n")
    return declared


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_fine(roles: Any, run: Any) -> None:
    code, out, err = run("validate")
    assert (code, out) == (0, "2 hosts, 2 roles, 1 file: fine\n"), err


def test_a_missing_secret_is_a_warning(roles: Any, run: Any) -> None:
    write(roles.root / "templates" / "redis" / "a.conf.j2", "port {{ port }}\npass {{ password }}\n")
    code, out, err = run("validate")
    assert code == 0 and out.endswith("fine\n")
    assert err.count("there is no secret redis.app in") == 1 and "swarmops secrets init" in err


def test_everything_at_once(roles: Any, run: Any) -> None:
    roles.hosts.write_text(
        "redis: {hosts: {r1: {ansible_hots: 1.2.3.4, redis_password: hunter2}}}\nclients: {hosts: {c1: }}\n"
    )
    roles.file.write_text(V + R + "network: {subnet: 10.0.0.1/8}\nmonitoring: {interval: soon}\n")
    write(roles.root / "templates" / "redis" / "a.conf.j2", "port {{ prot }}\n")
    write(roles.root / "roles" / "client" / "role.yaml", "role: client\ntasks:\n  - {name: a, fiel: {path: /x}}\n")
    code, out, err = run("validate")
    assert (code, out) == (2, "")
    for said in (
        "inventory/lan/hosts.yaml:1:",
        "distributed.yaml:3:19: network.subnet: '10.0.0.1/8' has host bits set (the network is 10.0.0.0/8)",
        "distributed.yaml:4:24: monitoring.interval: 'soon' is not a time",
        "r1.redis_password: a secret stands here in plain text",
        "templates/redis/a.conf.j2:1: 'prot' is not set for r1",
        "roles/client/role.yaml:3:",
    ):
        assert said in err, err
    assert "Nothing was contacted." in err.splitlines()[-1] and "Traceback" not in err and "hunter2" not in err


def test_json(roles: Any, run: Any) -> None:
    code, out, _ = run("validate", "--json")
    assert code == 0 and json.loads(out)["fine"] and json.loads(out)["hosts"] == 2
    roles.file.write_text(V + R + "netwrok: {}\n")
    code, out, err = run("validate", "--json")
    (fault,) = (f for f in json.loads(out)["faults"] if f["level"] == "error")
    assert code == 2 and err == ""
    assert fault == {
        "level": "error",
        "file": "distributed.yaml",
        "line": 3,
        "column": 1,
        "path": "netwrok",
        "sentence": "unknown section",
        "hint": "did you mean 'network'?",
    }


def test_case_23_unknown_role(roles: Any, run: Any) -> None:
    roles.file.write_text(V + "infrastructure: {redis: redis, cleint: coordinator}\n")
    code, _, err = run("validate")
    assert code == 2 and "distributed.yaml:2:40: infrastructure.cleint: there is no role" in err
    assert "did you mean 'client'?" in err


def test_case_43_roles_that_need_each_other(roles: Any, run: Any) -> None:
    write(roles.root / "roles" / "redis" / "role.yaml", "role: redis\nneeds: [client]\n")
    write(roles.root / "roles" / "client" / "role.yaml", "role: client\nneeds: [redis]\n")
    code, _, err = run("validate")
    assert code == 2 and re.search(r"redis -> client -> redis|client -> redis -> client", err), err


def test_case_44_a_role_that_needs_itself_or_nobody(roles: Any, run: Any) -> None:
    write(roles.root / "roles" / "redis" / "role.yaml", "role: redis\nneeds: [redis]\n")
    write(roles.root / "roles" / "client" / "role.yaml", "role: client\nneeds: [reddis]\n")
    code, _, err = run("validate")
    assert code == 2 and "roles/redis/role.yaml:2:" in err and "roles/client/role.yaml:2:" in err, err


def test_case_17_a_variable_that_the_role_does_not_have(roles: Any, run: Any) -> None:
    roles.file.write_text(V + R + "services: {redis: {maxmemroy: 2gb}}\n")
    roles.hosts.write_text(
        "redis: {hosts: {r1: {redis_maxmemroy: 1gb, redis_rack: 4}}}\ncoordinator: {hosts: {c1: }}\n"
    )
    code, _, err = run("validate")
    assert code == 2
    sentence = "the role redis has no variable 'maxmemroy'"
    assert f"distributed.yaml:3:31: services.redis.maxmemroy: {sentence} (did you mean 'maxmemory'?)" in err
    assert f"r1.redis_maxmemroy: warning: {sentence} (did you mean 'redis_maxmemory'?)" in err
    assert "redis_rack" not in err


@pytest.mark.parametrize("address", ["8.8.8.8"])
def test_case_38_public_redis(declared: Any, run: Any, address: str) -> None:
    text = V + "infrastructure: {redis: redis}\nnetwork: {controllers: [192.0.2.1/32]}\n"
    hosts = f"redis: {{hosts: {{r1: {{ansible_host: {address}}}}}}}\n"
    declared.write(text, hosts)
    code, _, err = run("validate")
    assert code == 2 and f"{address} is a public address" in err and "security.public" in err, err
    declared.write(text + "security: {public: [redis]}\n", hosts)
    assert run("validate")[0] == 2
    declared.write(text + "security: {public: [redis], tls: true}\n", hosts)
    code, _, err = run("validate")
    assert code == 0, err


def test_case_50_the_store_is_checked_too(roles: Any, run: Any) -> None:
    assert run("secrets", "init")[0] == 0
    path = roles.root.parent / "config" / "swarmops" / "swarmops" / "secrets.yaml"
    path.chmod(0o644)
    code, _, err = run("validate")
    assert code == 2 and err.count("has mode 0644; others may read it") == 1, err


def test_case_54_unknown_tier(roles: Any, run: Any) -> None:
    code, _, err = run("validate", "-i", "lam")
    assert code == 2 and "there is no inventory 'lam' (did you mean 'lan'?)" in err


def test_case_53_54_a_limit_or_tag_that_matches_nothing(roles: Any) -> None:
    from swarmops.model.faults import Faults, InputError
    from swarmops.planning.plan import make_plans

    project, faults = roles.open()
    with pytest.raises(InputError, match="nobody"):
        make_plans(project, limit="nobody", extra={}, faults=faults)
    with pytest.raises(InputError, match="cnofig"):
        make_plans(project, tags=["cnofig"], extra={}, faults=Faults())


@pytest.mark.parametrize("page", ["secrets", "distributed"])
def test_the_commands_of_the_docs_work(roles: Any, run: Any, page: str) -> None:
    commands = re.findall(r"^\$ swarmops (.+)$", (ROOT / "docs" / f"{page}.md").read_text(), re.M)
    assert commands
    for command in commands:
        code, _, err = run(*command.split())
        assert code == 0, f"{command}\n{err}"


def test_case_58_undefined_variable(roles: Any, run: Any) -> None:
    write(roles.root / "templates" / "redis" / "a.conf.j2", "# one\nport {{ prot }}\n")
    code, _, err = run("validate")
    assert code == 2
    assert "templates/redis/a.conf.j2:2: 'prot' is not set for r1 (close: port, from roles/redis/role.yaml:2)" in err


def test_case_60_a_template_out_of_the_folder(roles: Any, run: Any) -> None:
    write(roles.root / "secret.txt", "hunter2")
    write(roles.root / "templates" / "redis" / "a.conf.j2", "{% include '../secret.txt' %}\n")
    code, out, err = run("validate")
    assert code == 2 and "templates/redis/a.conf.j2:1" in err and "hunter2" not in out + err


@pytest.mark.parametrize("example", ["three-cities", "five-sites", "internet-hub"])
def test_s0_32_the_examples_are_fine(example: str, run: Any) -> None:
    code, out, err = run("validate", "--project", str(ROOT / "inventory" / "examples" / example))
    assert code == 0 and out.endswith(": fine\n"), err


def test_the_shipped_project_is_fine(run: Any) -> None:
    code, out, err = run("validate", "--project", str(ROOT))
    assert code == 0 and out.startswith("6 hosts, 10 roles, "), err


def test_every_bad_input_has_a_test() -> None:
    """Cases 1-60 of the list of bad inputs, by the names of the tests: test_case_14_15_..., test_x[case_27_...]."""
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=", "tests"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert listed.returncode == 0, listed.stdout[-2000:]
    found = set()
    for numbers in re.findall(r"\bcase((?:_\d\d?(?![a-z0-9]))+)", listed.stdout.replace("test_case", "case")):
        found |= {int(n) for n in numbers.strip("_").split("_")}
    assert sorted(set(range(1, 61)) - found) == []
