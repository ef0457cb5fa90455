"""collect-backups and restore on real hosts: one dead, one cut in the middle, back onto the host, onto another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.lab.guest import Guest
from swarmops.lab.lab import Lab

pytestmark = pytest.mark.infra

ADDRESS = {"redis-1": "10.94.8.20", "redis-2": "10.94.8.21", "web-1": "10.94.8.22"}
PASSWORD = "canary-of-the-backup-test"
ROLES = {
    "redis": """
backups:
  - {name: dump, redis_dump: {port: 6379, password_file: /etc/backup.pass}, keep: 3}
""",
    "config": """
backups:
  - {name: config, files: {paths: [/etc/ssh, /etc/hostname], exclude: [/etc/ssh/moduli]}, keep: 3}
""",
}


class Fleet:
    """A lab of this module's own, and a project whose roles only keep backups."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lab = Lab(f"backups-{os.getpid()}", [Guest(n, a) for n, a in ADDRESS.items()])
        self.env: dict[str, str] = {}

    def write(self) -> None:
        hosts = "".join(f"    {n}: {{ansible_host: {a}}}\n" for n, a in ADDRESS.items())
        common = "  vars: {ansible_user: ops, ansible_become: true, ansible_python_interpreter: /usr/bin/python3}\n"
        self._file("inventory/lan.yaml", f"all:\n  hosts:\n{hosts}{common}")
        placed = "infrastructure: {redis: 'redis-1,redis-2', config: all}\n"
        self._file("distributed.yaml", f"version: 1\ndeployment: {{name: drill, tier: lan}}\n{placed}")
        for name, text in ROLES.items():
            self._file(f"roles/{name}/role.yaml", f"role: {name}\n{text}")
        self._file("templates/.keep", "")

    def _file(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def argv(self, *words: str) -> list[str]:
        extra = [f"{k}={v}" for k, v in self.env.items()]
        return ["env", *extra, sys.executable, "-m", "swarmops", *words, "--project", str(self.root)]

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self.lab.exec(None, self.argv(*words), cwd=self.root)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert PASSWORD not in done.stdout + done.stderr
        return done

    def collect(self, *words: str, code: int = 0) -> dict[str, Any]:
        return json.loads(self.run("collect-backups", "--json", *words, code=code).stdout)

    def on(self, host: str, script: str) -> str:
        done = self.lab.exec(host, ["sh", "-ec", script])
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def redis(self, host: str, command: str) -> str:
        return self.on(host, f"REDISCLI_AUTH={PASSWORD} redis-cli -e {command}")


def wait_for(true: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not become so"
        threading.Event().wait(0.05)


INSTALL = f"""
apt-get update -q >/dev/null; apt-get install -qy redis-server >/dev/null 2>&1
sed -i 's/^appendonly .*/appendonly yes/' /etc/redis/redis.conf
echo 'requirepass {PASSWORD}' >> /etc/redis/redis.conf
umask 077; echo {PASSWORD} > /etc/backup.pass
systemctl restart redis-server
"""
FILL = "eval \"for i=1,{n} do redis.call('SET', 'swarm:'..i, string.rep('v', {size})..i) end\" 0"


@pytest.fixture(scope="module")
def fleet(can_lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("project"))
    made.write()
    made.lab.up()
    try:
        for host in ("redis-1", "redis-2"):
            made.on(host, INSTALL)
        yield made
    finally:
        made.lab.down(now=True)


@pytest.fixture(autouse=True)
def as_before(fleet: Fleet) -> Iterator[None]:
    yield
    fleet.lab.heal()
    fleet.lab.start()
    fleet.lab.wait()
    shutil.rmtree(fleet.root / "backups", ignore_errors=True)


def test_collect_verify_restore_onto_the_host_and_onto_another(fleet: Fleet) -> None:
    """S4-26 to S4-28, F37."""
    fleet.redis("redis-1", "flushall")
    fleet.redis("redis-1", FILL.format(n=5000, size=20))
    fleet.redis("redis-1", "set soon gone px 6000")
    made = fleet.collect()
    assert made["complete"] and set(made["hosts"]) == set(ADDRESS)
    dump = made["hosts"]["redis-1"]["backups"]["redis/dump"]
    assert dump["facts"]["keys"] == dump["proof"]["keys"] == 5001
    assert dump["facts"]["check"] == "redis-check-rdb: ok"
    config = made["hosts"]["web-1"]["backups"]["config/config"]
    assert "etc/hostname" in [f["name"] for f in config["files"]]
    assert any("ssh_host_ed25519_key" in p for p in config["facts"]["left_out"])
    wait_for(lambda: fleet.redis("redis-1", "exists soon") == "0")  # the count must not change for it
    said = fleet.run("backups", "verify").stdout
    assert said.splitlines()[-1].endswith(": good") and "5001 keys" in said
    assert "complete" in fleet.run("backups", "list").stdout

    refused = fleet.run("backups", "restore", "latest", "--host", "redis-1", "--backup", "redis/dump", "--yes", code=1)
    assert "--replace" in refused.stdout and fleet.redis("redis-1", "dbsize") == "5000"
    fleet.redis("redis-1", "set after 1")
    fleet.redis("redis-1", "del swarm:1 swarm:2")
    words = ["backups", "restore", "latest", "--host", "redis-1", "--backup", "redis/dump", "--replace"]
    assert "would" in fleet.run(*words, "--check").stdout and fleet.redis("redis-1", "dbsize") == "4999"
    done = fleet.run(*words, "--yes")
    assert "restored" in done.stdout and "keys 5001" in done.stdout
    print("restore onto the host:", done.stdout)
    assert fleet.redis("redis-1", "dbsize") == "5000" and fleet.redis("redis-1", "exists after") == "0"
    assert fleet.redis("redis-1", "config get appendonly").split() == ["appendonly", "yes"]
    fleet.on("redis-1", "systemctl restart redis-server")
    assert fleet.redis("redis-1", "dbsize") == "5000"

    words = ["backups", "restore", "latest", "--host", "redis-1", "--onto", "redis-2", "--backup", "redis/dump"]
    assert "not of redis-2" in fleet.run(*words, "--yes", code=1).stderr
    fleet.redis("redis-2", "flushall")
    done = fleet.run(*words, "--yes", "--force")
    assert "restored" in done.stdout and fleet.redis("redis-2", "dbsize") == "5000"


def test_one_host_without_power_is_named_and_the_rest_is_kept(fleet: Fleet) -> None:
    fleet.lab.fault("poweroff", "web-1")
    done = fleet.run("collect-backups", code=1)
    assert "web-1: unreachable" in done.stderr and "2 of 3 hosts are whole" in done.stderr
    assert "web-1(failed)" in fleet.run("backups", "list").stdout
    assert "web-1" in fleet.run("backups", "verify", code=1).stdout


@pytest.mark.parametrize("fault", ["cut", "poweroff"])
def test_lost_in_the_middle_leaves_nothing_half(fleet: Fleet, fault: str) -> None:
    """F35: the host's files go, the set is written, and the next run is whole."""
    fleet.on("web-1", "head -c 400000000 /dev/urandom > /etc/ssh/large")
    try:
        results: list[subprocess.CompletedProcess[str]] = []
        words = fleet.argv("collect-backups")
        started = threading.Thread(target=lambda: results.append(fleet.lab.exec(None, words, cwd=fleet.root)))
        started.start()
        home = fleet.root / "backups/lan"
        wait_for(lambda: results or any(p.stat().st_size > 1 << 20 for p in home.rglob("large")))
        fleet.lab.fault(fault, "web-1")
        started.join(60)
        assert not started.is_alive()
        done = results[0]
        assert done.returncode == 1 and "web-1: lost" in done.stderr, done.stderr
        assert not list(home.rglob("large")) and not list(home.glob("*/web-1"))
    finally:
        fleet.lab.heal()
        fleet.lab.start()
        fleet.lab.wait()
        fleet.on("web-1", "rm -f /etc/ssh/large")
    assert fleet.collect()["complete"]
    fleet.run("backups", "verify")


def test_full_disk_of_redis_is_named_and_redis_goes_on(fleet: Fleet) -> None:
    """F21 on the host: no save is tried that would fail, since Redis refuses writes after a failed one."""
    fleet.lab.fault("full", "redis-1", value=1 << 20)
    done = fleet.run("collect-backups", "-l", "redis-1", code=1)
    assert "redis-1: redis/dump: the disk is full: /var/lib/redis has " in done.stderr, done.stderr
    assert "bytes free" in done.stderr
    assert fleet.redis("redis-1", "set still 1") == "OK"
    fleet.lab.heal("redis-1")
    assert fleet.collect("-l", "redis-1")["complete"]


def test_encrypted_set_and_its_way_back(fleet: Fleet, tmp_path: Path) -> None:
    import pyrage

    key = pyrage.x25519.Identity.generate()
    (tmp_path / "key").write_text(f"{key}\n")
    fleet.redis("redis-1", "flushall")
    fleet.redis("redis-1", FILL.format(n=100, size=20))
    fleet.collect("--encrypt-to", str(key.to_public()))
    assert "not run" in fleet.run("backups", "verify", code=1).stdout
    fleet.run("backups", "verify", "--identity", str(tmp_path / "key"))
    out = fleet.run(
        "backups",
        "restore",
        "latest",
        "--host",
        "redis-1",
        "--identity",
        str(tmp_path / "key"),
        "--to-dir",
        str(tmp_path / "out"),
    )
    assert "100 keys of 100" in out.stdout


def test_prune(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.collect("-l", "web-1")
    said = fleet.run("backups", "prune", "--keep", "1", "--dry-run").stdout
    assert said.count("would remove") == 2
    fleet.run("backups", "prune", "--keep", "1")
    assert len(fleet.run("backups", "list").stdout.splitlines()) == 1
