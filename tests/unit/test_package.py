"""What an installed swarmops needs is in its wheel: a project without roles of its own is planned with them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECLARED = """\
version: 1
infrastructure: {base: all, wireguard: all, redis: redis, client: "all:!redis", firewall: all, backups: redis}
network:
  subnet: 10.9.0.0/24
  controllers: [10.9.0.1/32]
  mesh: {mode: wireguard, range: 10.77.0.0/24}
"""
HOSTS = """\
all:
  children:
    redis: {hosts: {r1: {ansible_host: 10.9.0.10, mesh_address: 10.77.0.10}}}
    web: {hosts: {w1: {ansible_host: 10.9.0.11, mesh_address: 10.77.0.11}}}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_roles_templates_and_all_code_are_inside(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder, below in (("roles", "swarmops/share/"), ("templates", "swarmops/share/"), ("swarmops", "")):
        files = [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        missing = [p for p in files if below + str(p.relative_to(ROOT)) not in inside]
        assert files and not missing
    assert not [name for name in inside if name.endswith((".pyc", "secrets.yaml")) or "/.swarmops/" in name]


def test_an_installed_swarmops_needs_nothing_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site, project = tmp_path / "site", tmp_path / "project"
    zipfile.ZipFile(wheel).extractall(site)
    (project / "inventory").mkdir(parents=True)
    (project / "distributed.yaml").write_text(DECLARED)
    (project / "inventory/lan.yaml").write_text(HOSTS)
    env = {**os.environ, "PYTHONPATH": str(site), "SWARMOPS_SECRETS": str(tmp_path / "store/secrets.yaml")}

    def run(*argv: str) -> str:
        # -P: the current folder is no place for modules, so that only the wheel's are found.
        argv = (sys.executable, "-P", "-m", "swarmops", *argv)
        done = subprocess.run(argv, cwd=project, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("secrets", "init")
    assert run("validate").startswith("2 hosts, 6 roles, ")
    run("render")
    assert (project / "out/lan/r1/etc/redis/redis.conf").is_file()
    assert f"{site}/swarmops/share/roles/redis/role.yaml:" in run("vars", "r1", "redis_port", "--why")
