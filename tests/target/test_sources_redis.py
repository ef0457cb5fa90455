"""The source redis_dump against a real redis-server: what is sent is whole, proven, and of one moment."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from swarmops.target import resp
from swarmops.target.sources import redis_dump
from tests.target.sending import SocketRedis, collect


def test_dump_is_proven_and_counted(redis: SocketRedis) -> None:
    redis.fill(500)
    with redis.client() as c:
        c.call("SET", "gone soon", "1", "PX", "1")
        c.call("SELECT", "3")
        c.call("SET", "other", "1")
    result, loop = collect("redis_dump", socket=redis.socket)
    assert result["ok"], result
    assert loop.files["dump.rdb"].startswith(b"REDIS00")
    facts = result["facts"]
    assert facts["keys"] in (501, 502) and facts["databases"]["db3"] == 1
    assert facts["check"] == "redis-check-rdb: ok" and facts["version"] and facts["run_id"]
    assert loop.of("about")[0]["machine_id"] == Path("/etc/machine-id").read_text().strip()


def test_every_dump_is_newer_than_the_call_before(redis: SocketRedis) -> None:
    """Three within one second: seconds do not tell them apart, contents must."""
    for n in (1, 2, 3):
        redis.fill(n)
        assert collect("redis_dump", socket=redis.socket)[0]["facts"]["keys"] == n


def test_count_is_exact_while_others_write_and_save(redis: SocketRedis) -> None:
    stop = threading.Event()

    def write() -> None:
        with redis.client() as c:
            c.deadline = time.monotonic() + 300
            for i in range(10**9):
                if stop.is_set():
                    return
                c.many([("SET", f"live:{i % 500}:{j}", "x" * 100) for j in range(20)])
                if i % 700 == 0:
                    with contextlib.suppress(resp.ReplyError):
                        c.call("BGSAVE")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            result, _ = collect("redis_dump", socket=redis.socket, timeout=60)
            # redis-check-rdb counted the copy itself; a difference would have been a failure
            assert result["ok"] or "another save ended" in result["reason"], result
    finally:
        stop.set()
        writer.join()


def test_a_save_of_others_that_ends_before_we_look_is_not_taken_for_ours(
    redis: SocketRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen when the machine was slow: ours and the next had both ended when its end was looked for."""
    redis.fill(10)
    start, begun = redis_dump._start, []

    def slow(client: resp.Client, deadline: float, before: dict[str, int]) -> tuple[dict, int | None, int | None]:
        found = start(client, deadline, before)
        begun.append(found)
        if len(begun) == 1:
            with redis.client() as other:
                redis_dump._until_idle(other, deadline)
                other.call("SET", "later", "1")
                other.call("BGSAVE")
                redis_dump._until_idle(other, deadline)
        return found

    monkeypatch.setattr(redis_dump, "_start", slow)
    result, _ = collect("redis_dump", socket=redis.socket)
    assert result["ok"], result
    assert result["facts"]["keys"] == 11 and len(begun) == 2


def test_failed_save_is_a_failure(redis: SocketRedis) -> None:
    redis.fill(10)
    shutil.rmtree(redis.folder / "x", ignore_errors=True)
    (redis.folder / "x").mkdir()
    other = SocketRedis(redis.folder / "x")
    try:
        other.fill(10)
        assert collect("redis_dump", socket=other.socket)[0]["ok"]
        (redis.folder / "x" / "dump.rdb").unlink()
        (redis.folder / "x" / "dump.rdb").mkdir()  # rename of the new dump onto it fails
        (redis.folder / "x" / "dump.rdb" / "in the way").touch()
        result, loop = collect("redis_dump", socket=other.socket)
        assert not result["ok"] and "rdb_last_bgsave_status:err" in result["reason"]
        assert not loop.files
    finally:
        other.stop()


def test_save_that_takes_too_long_is_given_up(folder: Path) -> None:
    server = SocketRedis(folder, "--rdb-key-save-delay", "100000")
    try:
        server.fill(100)
        start = time.monotonic()
        result, _ = collect("redis_dump", socket=server.socket, timeout=0.5)
        assert not result["ok"] and "gave up waiting" in result["reason"]
        assert time.monotonic() - start < 10  # saving takes as long, at 0.1 s a key
    finally:
        server.stop()


def test_dump_in_another_folder_than_redis_says_is_not_taken(redis: SocketRedis) -> None:
    redis.fill(3)
    assert collect("redis_dump", socket=redis.socket)[0]["ok"]
    (redis.folder / "old").mkdir()
    shutil.copy(redis.folder / "dump.rdb", redis.folder / "old" / "dump.rdb")
    os.utime(redis.folder / "old" / "dump.rdb", (1, 1))
    result, _ = collect("redis_dump", socket=redis.socket, dir=str(redis.folder / "old"), dbfilename="dump.rdb")
    assert not result["ok"] and "older than the save" in result["reason"]


def test_least_rights_and_password_never_shown(folder: Path) -> None:
    acl = folder / "users.acl"
    rights = "+ping +info +bgsave +config|get"
    acl.write_text(f"user default off\nuser backup on >sesame-opens-it resetkeys {rights}\n")
    server = SocketRedis(folder, "--aclfile", str(acl))
    try:
        (folder / "pw").write_text("sesame-opens-it\n")
        args = {"socket": server.socket, "user": "backup", "password_file": str(folder / "pw")}
        result, loop = collect("redis_dump", **args)
        assert result["ok"], result
        assert "sesame" not in repr(loop.events)
        result, _ = collect("redis_dump", socket=server.socket)
        assert not result["ok"] and "NOAUTH" in result["reason"]
        (folder / "pw").write_text("wrong\n")
        result, loop = collect("redis_dump", **args)
        assert not result["ok"] and "WRONGPASS" in result["reason"] and "wrong\\n" not in repr(loop.events)
    finally:
        server.stop()


def test_append_only_files_of_one_generation(folder: Path) -> None:
    server = SocketRedis(folder, "--appendonly", "yes", "--auto-aof-rewrite-min-size", "1kb")
    stop = threading.Event()

    def write() -> None:
        with server.client() as c:
            c.deadline = time.monotonic() + 300
            for i in range(10**9):
                if stop.is_set():
                    return
                c.many([("SET", f"live:{i % 100}:{j}", "x" * 200) for j in range(20)])
                if i % 100 == 0:
                    with contextlib.suppress(resp.ReplyError):
                        c.call("BGREWRITEAOF")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        results = [collect("redis_dump", socket=server.socket, aof=True, timeout=60) for _ in range(3)]
    finally:
        stop.set()
        writer.join()
        server.stop()
    for n, (result, loop) in enumerate(results):
        assert result["ok"], result
        again = folder / f"again{n}"
        (again / "appendonlydir").mkdir(parents=True)
        for name, data in loop.files.items():
            (again / name).write_bytes(data)
        copy = SocketRedis(again, "--appendonly", "yes")
        with copy.client() as c:
            assert c.call("DBSIZE") > 0
        copy.stop()


def test_redis_that_is_not_there(folder: Path) -> None:
    result, _ = collect("redis_dump", socket=str(folder / "none"))
    assert not result["ok"] and "cannot connect" in result["reason"]


def test_what_is_not_redis_is_named(folder: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    listener.listen()

    def answer() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(100)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(resp.ProtocolError, match="does not speak Redis"):
        with resp.connect({"socket": str(folder / "s")}, time.monotonic() + 30) as c:
            c.call("PING")
    thread.join()
    with pytest.raises(resp.TimedOut):
        with resp.connect({"socket": str(folder / "s")}, time.monotonic() + 0.2) as c:
            c.call("PING")
    listener.close()
