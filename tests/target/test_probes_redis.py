"""The probe redis against real servers: memory, saves, replicas, passwords, and servers that are none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import swarmops.target.health as health
from swarmops.target.probes import _redis_info
from tests.target.looking import PASSWORD, free_port, listener, look, silent
from tests.waiting import until


@pytest.mark.runtime
def test_redis_idle_server_is_well(redis_at) -> None:
    server = redis_at("--maxmemory", "64mb", "--maxmemory-policy", "noeviction")
    fields = ["ping", "used_memory_ratio", "persistence", "replication", "clients_ratio", "evicted_keys", "modules"]
    for field in [*fields, "rejected_connections", "connected_clients"]:
        event = look("redis", port=server.port, field=field)
        assert event["ok"] is True and not event.get("warn"), event
        assert field == "modules" or isinstance(event["value"], int | float)
    assert look("redis", socket=str(server.socket))["ok"]
    ratio = look("redis", port=server.port, field="used_memory_ratio")
    assert 0 < ratio["value"] < 0.5 and ratio["limits"]["max"] == 0.9 and "noeviction" in ratio["detail"]
    assert look("redis", port=server.port, field="maxmemory_policy", equals="noeviction")["ok"]
    assert look("redis", port=server.port, field="maxmemory_policy", equals="allkeys-lru")["ok"] is False
    assert look("redis", port=server.port, field="no_such")["ok"] is None
    assert look("redis", port=server.port, field="modules", equals="search")["ok"] is False


@pytest.mark.runtime
def test_redis_checks_of_one_server_share_one_connection(redis_at) -> None:
    server = redis_at()
    before = int(server.cli("INFO", "stats").split("total_connections_received:")[1].split()[0])
    fields = ["ping", "persistence", "clients_ratio", "replication", "used_memory_ratio"]
    checks = [{"id": f, "probe": "redis", "args": {"port": server.port, "field": f}} for f in fields]
    assert all(e["ok"] for e in health.results(checks, health.Context(checks)))
    after = int(server.cli("INFO", "stats").split("total_connections_received:")[1].split()[0])
    assert after - before == 2  # ours and that of redis-cli


@pytest.mark.runtime
def test_redis_password_comes_from_a_file_and_is_in_no_event(redis_at, tmp_path: Path) -> None:
    acl = tmp_path / "users.acl"
    acl.write_text(f"user default off\nuser health on >{PASSWORD} +ping +info\nuser deaf on >{PASSWORD} +ping\n")
    server = redis_at("--aclfile", str(acl))
    secret, wrong = tmp_path / "health.password", tmp_path / "wrong.password"
    secret.write_text(PASSWORD + "\n")
    wrong.write_text("not-the-password-9a")
    secret.chmod(0o600)
    good = {"port": server.port, "user": "health", "password_file": str(secret)}
    assert look("redis", **good)["ok"]
    assert look("redis", **good, field="persistence")["ok"]
    anonymous = look("redis", port=server.port)
    assert anonymous["ok"] is False and "wants a password" in anonymous["detail"]
    refused = look("redis", **{**good, "password_file": str(wrong)})
    assert refused["ok"] is False and "WRONGPASS" in refused["detail"] and "not-the-pass" not in str(refused)
    missing = look("redis", **{**good, "password_file": str(tmp_path / "gone")})
    assert missing["ok"] is None and "gone" in missing["detail"]
    deaf = look("redis", **{**good, "user": "deaf"}, field="persistence")
    assert deaf["ok"] is None and "NOPERM" in deaf["detail"]
    assert look("redis", port=server.port, field="noauth")["ok"] is True
    assert PASSWORD not in str([look("redis", **good), refused, missing, deaf, anonymous])


@pytest.mark.runtime
def test_redis_open_to_all_is_found(redis_at) -> None:
    server = redis_at()
    event = look("redis", port=server.port, field="noauth")
    assert event["ok"] is False and "no password" in event["detail"]


@pytest.mark.runtime
def test_redis_full_memory_and_failed_save(redis_at) -> None:
    server = redis_at("--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
    fill = "for i = 1, 100 do redis.call('SETRANGE', 'k' .. i, 40000, 'x') end"  # ends with an OOM error
    server.cli("EVAL", fill, "0")
    event = look("redis", port=server.port, field="used_memory_ratio")
    assert event["value"] > 0.9
    shutil.rmtree(server.folder)  # a save has nowhere to go
    server.cli("BGSAVE")
    until(lambda: not look("redis", port=server.port, field="persistence")["ok"])
    event = look("redis", port=server.port, field="persistence")
    assert event["ok"] is False and "last save failed" in event["detail"]


@pytest.mark.runtime
def test_redis_replication(redis_at) -> None:
    primary = redis_at()
    replica = redis_at("--replicaof", "127.0.0.1", str(primary.port))
    until(lambda: not look("redis", port=primary.port, field="replication", replicas=1).get("warn"))
    event = look("redis", port=primary.port, field="replication", replicas=1)
    assert event["ok"] and "1 replica online" in event["detail"]
    event = look("redis", port=primary.port, field="replication", replicas=2)
    assert event["warn"] and "1 replica online, 2 wanted, started" in event["detail"]
    info = {"role": "master", "connected_slaves": "0", "uptime_in_seconds": str(_redis_info.SETTLED)}
    assert _redis_info._replication(info, {"replicas": 1}, None)["ok"] is False
    assert look("redis", port=replica.port, field="replication", role="replica")["ok"]
    assert look("redis", port=replica.port, field="replication", role="primary")["ok"] is False
    primary.stop()
    until(lambda: not look("redis", port=replica.port, field="replication")["ok"])
    assert "link down" in look("redis", port=replica.port, field="replication")["detail"]


@pytest.mark.runtime
def test_redis_that_lowered_maxclients_warns(redis_at, tmp_path: Path) -> None:
    """S3-59: started with too few open files, Redis lowers maxclients and says so only in its log."""
    port, conf = free_port(), tmp_path / "redis.conf"
    conf.write_text(f'port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsave ""\nmaxclients 10000\n')
    limit = "import os, resource as r; r.setrlimit(r.RLIMIT_NOFILE, (512, 512)); "
    argv = [sys.executable, "-c", f"{limit}os.execvp('redis-server', ['redis-server', '{conf}'])"]
    if os.geteuid() == 0:  # who may raise the limit again must not, here
        argv = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource", *argv]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: look("redis", port=port)["ok"])
        event = look("redis", port=port, field="maxclients")
        assert event["ok"] and event["warn"] and "lowered maxclients from 10000" in event["detail"]
        assert "512" in event["detail"]
    finally:
        process.kill()
        process.wait()


@pytest.mark.runtime
def test_redis_command(redis_at) -> None:
    server = redis_at()
    server.cli("SADD", "swarm:active", "a", "b")
    server.cli("SET", "swarm:leader", "x")
    assert look("redis", port=server.port, command=["SCARD", "swarm:active"])["value"] == 2
    assert look("redis", port=server.port, command=["PTTL", "swarm:leader"])["value"] == -1
    assert look("redis", port=server.port, command=["GET", "swarm:leader"], equals="x")["ok"]
    assert look("redis", port=server.port, command=["GET", "none"])["ok"] is False
    for words in (["FLUSHALL"], ["set", "a", "b"], ["EVAL", "return 1", 0], ["CONFIG", "GET", "*"], ["KEYS", "*"]):
        event = look("redis", port=server.port, command=words)
        assert event["ok"] is None and "may not run" in event["detail"]
    assert server.cli("DBSIZE").strip() == "2"


def test_redis_odd_servers() -> None:
    with listener(silent) as port:
        event = look("redis", within=0.4, port=port)
        assert event["ok"] is False and event["timeout"]
    with listener(lambda c: c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert "protocol" in look("redis", port=port)["detail"]
    with listener(lambda c: c.close()) as port:
        assert look("redis", port=port)["ok"] is False
    with listener(lambda c: c.recv(100) and c.sendall(b"-LOADING Redis is loading the dataset in memory\r\n")) as port:
        assert "LOADING" in look("redis", port=port)["detail"]
    with listener(lambda c: c.recv(100) and c.sendall(b"-MISCONF disk full\r\n")) as port:
        assert "MISCONF" in look("redis", port=port)["detail"]
    event = look("redis", port=free_port())
    assert event["ok"] is False and "refused" in event["detail"]
