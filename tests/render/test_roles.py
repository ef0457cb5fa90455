"""The shipped roles rendered for a small fleet, judged by the real programs, and run where they can be run here."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from pathlib import Path

import pytest

from swarmops.model.faults import Faults, InputError
from swarmops.model.project import Project
from swarmops.model.secrets import Store
from swarmops.planning import validators
from swarmops.planning.plan import Plan, make_plans, waves
from swarmops.planning.validators.wireguard import public_of

SECRETS = ("admin", "app", "health", "backup", "replica")
DISTRIBUTED = """
version: 1
deployment: {name: small, tier: lan}
infrastructure: {base: all, %(mesh)s: all, firewall: all, redis: data, client: clients}
services:
  redis: {maxmemory: 64mb}
  npu: {port: 8081}
  ollama: {port: 11434}
network:
  subnet: 10.99.0.0/24
  controllers: [10.99.0.1/32]
  mesh: {mode: %(mesh)s, range: 100.64.7.0/24, hub: redis-1}
security: {tls: %(tls)s, firewall: %(firewall)s}
"""
HOSTS = """
all:
  children:
    clients:
      hosts:
        web-1: {ansible_host: 10.99.0.20, mesh_address: 100.64.7.20}
        web-2: {ansible_host: 10.99.0.21, mesh_address: 100.64.7.21, wireguard_nat: true}
    npu: {hosts: {web-2: {}}}
    data:
      hosts:
        redis-1: {ansible_host: 10.99.0.23, mesh_address: 100.64.7.23}
        redis-2: {ansible_host: 10.99.0.24, mesh_address: 100.64.7.24, redis_primary: redis-1}
"""


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """plan(hosts text, **options) -> (plans, text of a host's file)."""
    monkeypatch.setenv("SWARMOPS_SECRETS", str(tmp_path / "store" / "secrets.yaml"))
    monkeypatch.setenv("SWARMOPS_STATE", str(tmp_path / "state"))
    root = tmp_path / "project"
    (root / "inventory" / "lan").mkdir(parents=True)

    def plan(hosts: str = HOSTS, extra=None, known: bool = True, **options) -> Fleet:
        options = {"mesh": "wireguard", "tls": "false", "firewall": "nftables", **options}
        (root / "distributed.yaml").write_text(DISTRIBUTED % options)
        (root / "inventory" / "lan" / "hosts.yaml").write_text(hosts)
        faults = Faults()
        project = Project.open(root, None, faults)
        faults.stop_if_any()
        for name in ("wireguard.mesh", "tls.ca", "tailscale.authkey", *(f"redis.{u}" for u in SECRETS)):
            project.store.create(name)
        if known:
            keys = {name: public_of(_private(i)) for i, name in enumerate(project.inventory.hosts, 1)}
            project.state.mkdir(exist_ok=True)
            (project.state / "peers.json").write_text(json.dumps(keys))
        plans = make_plans(project, extra=extra or {}, faults=faults)
        faults.stop_if_any()
        return Fleet(plans)

    return plan


def _private(number: int) -> str:
    import base64

    return base64.b64encode(bytes([number * 8]) + bytes(30) + bytes([64])).decode()


class Fleet:
    def __init__(self, plans: dict[str, Plan]):
        self.plans = plans

    def text(self, host: str, path: str) -> str:
        plan = self.plans[host]
        file = next(f for f in plan.files if f.path == path)
        return plan.contents[file.sha].decode()

    def judged(self) -> tuple[list[str], validators.Tools]:
        contents = {sha: data for plan in self.plans.values() for sha, data in plan.contents.items()}
        with validators.Tools(contents) as tools:
            found = [
                f"{host} {file.path}:{line}: {sentence}"
                for host, plan in self.plans.items()
                for file, line, sentence in validators.validate_all(plan.files, tools)
            ]
        return found, tools


@pytest.mark.parametrize(
    "options",
    [{}, {"tls": "true"}, {"mesh": "tailscale", "firewall": "ufw"}],
    ids=["wireguard and nftables", "with TLS", "tailscale and ufw"],
)
def test_every_rendered_file_passes_its_judge(fleet, options) -> None:
    found, tools = fleet(**options).judged()
    assert found == []
    assert {"redis-server", "sshd", "systemd-analyze"} <= set(tools.ran)


def test_only_clients_and_the_other_redis_reach_redis(fleet) -> None:
    rules = fleet().text("redis-1", "/etc/nftables.conf")
    lines = [line.strip() for line in rules.splitlines() if "6379" in line]
    assert lines == [
        "ip saddr { 10.99.0.20, 10.99.0.21 } tcp dport 6379 accept",
        'iifname "wg0" ip saddr { 100.64.7.20, 100.64.7.21 } tcp dport 6379 accept',
        "ip saddr 10.99.0.24 tcp dport 6379 accept",
        'iifname "wg0" ip saddr 100.64.7.24 tcp dport 6379 accept',
    ]
    assert "6379" not in fleet().text("web-1", "/etc/nftables.conf")


def test_without_controllers_nothing_is_planned(fleet, monkeypatch) -> None:
    text = DISTRIBUTED.replace("controllers: [10.99.0.1/32]", "controllers: []")
    monkeypatch.setitem(globals(), "DISTRIBUTED", text)
    with pytest.raises(InputError, match="nobody may reach SSH"):
        fleet()


def test_no_private_key_is_rendered_and_keys_of_pairs_stay_when_a_host_is_added(fleet) -> None:
    before = fleet().text("redis-1", "/etc/wireguard/wg0.conf")
    more = HOSTS.replace(
        "        redis-2:", "        redis-3: {ansible_host: 10.99.0.29, mesh_address: 100.64.7.29}\n        redis-2:"
    )
    after = fleet(more).text("redis-1", "/etc/wireguard/wg0.conf")
    shared = {line for line in before.splitlines() if line.startswith("PresharedKey")}
    assert len(shared) == 3 and shared < set(after.splitlines())
    assert "PrivateKey" not in before


def test_the_first_pass_knows_no_keys_and_is_valid_all_the_same(fleet) -> None:
    made = fleet(known=False)
    assert "[Peer]" not in made.text("redis-1", "/etc/wireguard/wg0.conf")
    assert made.judged()[0] == []


def test_users_acl_holds_hashes_only_and_both_while_a_password_is_rotated(fleet, tmp_path) -> None:
    made = fleet()
    acl = made.text("redis-1", "/etc/redis/users.acl")
    assert acl.count("#") == len(SECRETS) and ">" not in acl
    password = made.text("web-1", "/etc/swarmops/redis-app.pass").strip()
    assert password not in acl and password not in made.text("redis-1", "/etc/redis/redis.conf")
    assert len(waves(made.plans)) == 1
    Store.at(None, "any").rotate("redis.app")
    rotated = fleet()
    both = rotated.text("redis-1", "/etc/redis/users.acl")
    assert both.count("#") == len(SECRETS) + 1 and hashlib.sha256(password.encode()).hexdigest() in both
    new = rotated.text("web-1", "/etc/swarmops/redis-app.pass").strip()
    assert new != password and hashlib.sha256(new.encode()).hexdigest() in both
    # Redis knows the new one before the first client shows it.
    assert waves(rotated.plans) == [["redis-1", "redis-2"], ["web-1", "web-2"]]


def test_while_the_ca_is_rotated_the_old_one_signs_and_both_are_trusted(fleet) -> None:
    made = fleet(tls="true")
    Store.at(None, "any").rotate("tls.ca")
    rotated = fleet(tls="true")
    for host, folder, name in (("redis-1", "/etc/redis/tls", "redis"), ("web-1", "/etc/swarmops", "client")):
        old = made.text(host, f"{folder}/ca.crt")
        trusted = rotated.text(host, f"{folder}/ca.crt")
        assert old.strip() in trusted and trusted.count("BEGIN CERTIFICATE") == 2
        assert made.text(host, f"{folder}/{name}.crt") == rotated.text(host, f"{folder}/{name}.crt")
    Store.at(None, "any").finish("tls.ca")
    done = fleet(tls="true")
    assert old.strip() not in done.text("web-1", "/etc/swarmops/ca.crt")
    assert done.text("web-1", "/etc/swarmops/client.crt") != made.text("web-1", "/etc/swarmops/client.crt")


def test_who_is_behind_nat_goes_through_the_tunnel(fleet) -> None:
    env = fleet(tls="true").text("web-2", "/etc/swarmops/.env")
    assert "REDIS_HOST=100.64.7.23\n" in env and "REDIS_PORT=6379\n" in env and "REDIS_TLS" not in env
    assert "REDIS_HOST=10.99.0.23\n" in fleet(tls="true").text("web-1", "/etc/swarmops/.env")


def test_env_has_every_service_once_and_no_password(fleet) -> None:
    made = fleet()
    env = dict(line.split("=", 1) for line in made.text("web-1", "/etc/swarmops/.env").splitlines() if "=" in line[:40])
    assert env["AUTOBOT_REDIS_HOST"] == env["REDIS_HOST"] == "10.99.0.23"
    # web-2 is behind NAT: who wants it goes through the tunnel, and so does it.
    assert env["AUTOBOT_NPU_WORKER_HOST"] == "100.64.7.21" and env["AUTOBOT_NPU_WORKER_PORT"] == "8081"
    assert env["AUTOBOT_OLLAMA_HOST"] == "127.0.0.1"
    assert made.text("web-1", "/etc/swarmops/redis-app.pass").strip() not in str(env)
    file = next(f for f in made.plans["web-1"].files if f.path == "/etc/swarmops/.env")
    assert file.mode == "0600"


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"redis_maxmemory_policy": "allkeys-lru"}, "may drop queues and leases"),
        ({"redis_primary": "web-1"}, "no host of the role redis"),
        ({"redis_save": ["900 1 300 10"]}, "one pair a line"),
        ({"redis_listen": "all"}, "known: auto, lan, mesh, both, loopback"),
        ({"base_time_server": "web-9"}, "no host of this inventory"),
        ({"wireguard_nat": True}, "the hub redis-1 must be reachable"),
    ],
)
def test_what_cannot_work_is_refused_before_any_host(fleet, extra, said) -> None:
    with pytest.raises(InputError) as refused:
        fleet(extra=extra)
    assert any(said in line for line in refused.value.lines()), refused.value.lines()


def test_case_38_a_public_address_is_refused(fleet) -> None:
    hosts = HOSTS.replace("10.99.0.23", "8.8.4.4")
    text = DISTRIBUTED.replace("  subnet: 10.99.0.0/24\n", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "DISTRIBUTED", text)
        with pytest.raises(InputError, match="is a public address"):
            fleet(hosts)


# The rendered users.acl on a real server (S2, S3, S34).


def _listens(door: Path) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as s:
            if door.exists() and s.connect_ex(str(door)) == 0:
                return True
        time.sleep(0.01)
    return False


@pytest.fixture
def redis_with_users(fleet, tmp_path: Path):
    made = fleet()
    (tmp_path / "users.acl").write_text(made.text("redis-1", "/etc/redis/users.acl"))
    door = tmp_path / "redis.sock"
    words = ["--port", "0", "--unixsocket", str(door), "--aclfile", str(tmp_path / "users.acl"), "--save", ""]
    server = subprocess.Popen(["redis-server", *words], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        assert _listens(door), "redis-server did not start"
        password = made.text("web-1", "/etc/swarmops/redis-app.pass").strip()

        def ask(*words: str, user: str = "app", known: str = password) -> str:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(30)
                s.connect(str(door))
                lines = ([["AUTH", user, known]] if known else []) + [list(words)]
                for line in lines:
                    packed = b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in line)
                    s.sendall(b"*%d\r\n" % len(line) + packed)
                    said = s.recv(4096).decode(errors="replace")
                return said

        yield ask
    finally:
        server.kill()
        server.wait()


def test_s2_the_default_user_is_off(redis_with_users) -> None:
    assert redis_with_users("PING", known="").startswith("-NOAUTH")


@pytest.mark.parametrize(
    "command",
    [
        *("CONFIG GET dir", "KEYS *", "FLUSHALL", "FLUSHDB", "EVAL return 0", "MODULE LIST", "SHUTDOWN"),
        *("REPLICAOF NO ONE", "ACL LIST", "MONITOR", "CLIENT KILL x", "CLIENT LIST", "SAVE", "BGSAVE", "SWAPDB 0 1"),
        *(
            "GET other",
            "SET other 1",
            "PUBLISH other x",
            "FUNCTION FLUSH",
            "SCRIPT FLUSH",
            "CLUSTER INFO",
            "SLOWLOG GET",
        ),
    ],
)
def test_s3_what_the_app_may_not(redis_with_users, command: str) -> None:
    assert redis_with_users(*command.split()).startswith("-NOPERM")


@pytest.mark.parametrize(
    "command",
    [
        *("PING", "TIME", "INFO server", "SET swarm:a 1", "GET swarm:a", "XADD swarm:s * a 1", "ZADD swarm:z 1 a"),
        *("PUBLISH swarm:x y", "SUBSCRIBE swarm:x", "MULTI", "SCRIPT LOAD return(1)", "WAIT 0 10", "CLIENT SETNAME x"),
        *("BLMOVE swarm:a swarm:b LEFT RIGHT 0.01",),
    ],
)
def test_what_the_app_needs(redis_with_users, command: str) -> None:
    assert not redis_with_users(*command.split()).startswith("-")
