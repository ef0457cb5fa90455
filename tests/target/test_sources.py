"""Sources against real files and a real redis-server: what is sent is whole, proven, and of one moment."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmops.target import backup, resp
from swarmops.target.system import Failed, System


class Loop:
    """The controller's end, in this process: keeps events and the bytes that follow each file."""

    gone = False

    def __init__(self) -> None:
        self.events: list[dict] = []
        self.files: dict[str, bytes] = {}
        self.largest = 0
        self._open = ""

    def flush(self) -> None:
        pass

    def emit(self, event: dict, now: bool = True) -> None:
        self.events.append(event)
        if event["e"] == "file":
            self._open = event["name"]
            self.files[self._open] = b""

    def emit_bytes(self, chunk: bytes) -> None:
        assert isinstance(chunk, bytes)
        self.largest = max(self.largest, len(chunk))
        self.files[self._open] += chunk

    def of(self, kind: str) -> list[dict]:
        return [e for e in self.events if e["e"] == kind]


def collect(source: str, **args: object) -> tuple[dict, Loop]:
    loop = Loop()
    item = {"id": "redis/dump", "role": "redis", "name": "dump", "source": source, "args": args, "keep": 7}
    backup.run({"backups": [item]}, System(loop))
    for event in loop.of("file"):
        data = loop.files[event["name"]]
        assert len(data) == event["size"]
        assert hashlib.sha256(data).hexdigest() == event["sha256"]
    (result,) = loop.of("backup")
    return result, loop


class Redis:
    """A redis-server of one test, on a unix socket."""

    def __init__(self, folder: Path, *options: str):
        self.folder, self.socket = folder, str(folder / "s")
        self.argv = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", str(folder)]
        self.argv += ["--save", "", "--logfile", str(folder / "log"), *options]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.argv)
        end = time.monotonic() + 10
        while True:
            try:
                with self.client() as c:
                    if c.info("persistence")["loading"] == "0":
                        return
            except resp.AuthFailed:
                return
            except resp.RedisError:
                assert time.monotonic() < end, (self.folder / "log").read_text()
                time.sleep(0.01)

    def client(self, **args: str) -> resp.Client:
        return resp.connect({"socket": self.socket, **args}, time.monotonic() + 10)

    def fill(self, n: int, size: int = 10) -> None:
        with self.client() as c:
            c.many([("SET", f"swarm:{i}", os.urandom(size // 2).hex()) for i in range(n)])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a unix socket's path."""
    path = Path(subprocess.check_output(["mktemp", "-d", "/tmp/bk.XXXXXX"], text=True).strip())
    yield path
    shutil.rmtree(path)


@pytest.fixture
def redis(folder: Path) -> Iterator[Redis]:
    server = Redis(folder)
    yield server
    server.stop()


def test_dump_is_proven_and_counted(redis: Redis) -> None:
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


def test_every_dump_is_newer_than_the_call_before(redis: Redis) -> None:
    """Three within one second: seconds do not tell them apart, contents must."""
    for n in (1, 2, 3):
        redis.fill(n)
        assert collect("redis_dump", socket=redis.socket)[0]["facts"]["keys"] == n


def test_count_is_exact_while_others_write_and_save(redis: Redis) -> None:
    stop = threading.Event()

    def write() -> None:
        with redis.client() as c:
            c.deadline = time.monotonic() + 60
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
            result, _ = collect("redis_dump", socket=redis.socket, timeout=20)
            # redis-check-rdb counted the copy itself; a difference would have been a failure
            assert result["ok"] or "another save ended" in result["reason"], result
    finally:
        stop.set()
        writer.join()


def test_failed_save_is_a_failure(redis: Redis) -> None:
    redis.fill(10)
    shutil.rmtree(redis.folder / "x", ignore_errors=True)
    (redis.folder / "x").mkdir()
    other = Redis(redis.folder / "x")
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
    server = Redis(folder, "--rdb-key-save-delay", "100000")
    try:
        server.fill(100)
        start = time.monotonic()
        result, _ = collect("redis_dump", socket=server.socket, timeout=0.5)
        assert not result["ok"] and "gave up waiting" in result["reason"]
        assert time.monotonic() - start < 2
    finally:
        server.stop()


def test_dump_in_another_folder_than_redis_says_is_not_taken(redis: Redis) -> None:
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
    server = Redis(folder, "--aclfile", str(acl))
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
    server = Redis(folder, "--appendonly", "yes", "--auto-aof-rewrite-min-size", "1kb")
    stop = threading.Event()

    def write() -> None:
        with server.client() as c:
            c.deadline = time.monotonic() + 60
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
        results = [collect("redis_dump", socket=server.socket, aof=True, timeout=20) for _ in range(3)]
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
        copy = Redis(again, "--appendonly", "yes")
        with copy.client() as c:
            assert c.call("DBSIZE") > 0
        copy.stop()


def test_redis_that_is_not_there(folder: Path) -> None:
    result, _ = collect("redis_dump", socket=str(folder / "none"))
    assert not result["ok"] and "cannot connect" in result["reason"]


def test_files_folders_links_and_keys(tmp_path: Path) -> None:
    (tmp_path / "etc/sub").mkdir(parents=True)
    (tmp_path / "etc/a.conf").write_text("a")
    (tmp_path / "etc/sub/b.conf").write_text("b" * 300_000)
    (tmp_path / "etc/c.tmp").write_text("c")
    (tmp_path / "etc/key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    (tmp_path / "etc/link").symlink_to("/etc/shadow")
    os.mkfifo(tmp_path / "etc/fifo")
    etc = str(tmp_path / "etc")
    result, loop = collect("files", paths=[etc], exclude=["*.tmp"], secrets=False)
    base = etc.lstrip("/")
    assert set(loop.files) == {f"{base}/a.conf", f"{base}/sub/b.conf"}
    assert result["facts"] == {"left_out": [f"{etc}/key"], "links": {f"{etc}/link": "/etc/shadow"}}
    assert loop.largest <= 256 * 1024 and loop.of("file")[0]["owner"] == "root"
    assert len(collect("files", paths=[etc], secrets=True)[1].files) == 4


def test_missing_file_and_file_that_never_holds_still(tmp_path: Path) -> None:
    result, _ = collect("files", paths=["/nowhere/at/all"])
    assert not result["ok"] and "/nowhere/at/all does not exist" in result["reason"]
    assert collect("files", paths=["/nowhere/at/all"], optional=True)[0]["facts"]["absent"]
    busy = tmp_path / "busy"
    busy.write_bytes(b"x" * 3000)
    fd = os.open(busy, os.O_RDWR)

    def read_and_be_written(size: int) -> bytes:
        data = os.pread(fd, size, 0)
        os.pwrite(fd, os.urandom(100), 0)
        return data

    with pytest.raises(Failed, match="changed each of the 5 times"):
        backup._steady(fd, str(busy), None, read_and_be_written)
    assert len(backup._steady(fd, str(busy), None, lambda n: os.pread(fd, n, 0))) == 3000
    assert backup._steady(fd, str(busy), 10, read_and_be_written)  # a log that grows: its beginning is what counts
    os.close(fd)


def test_big_file_goes_in_chunks_with_flat_memory(tmp_path: Path) -> None:
    import resource

    class Counting(Loop):
        total = 0

        def emit_bytes(self, chunk: bytes) -> None:
            self.total += len(chunk)
            self.largest = max(self.largest, len(chunk))

    big = tmp_path / "big"
    with big.open("wb") as f:
        f.truncate(300 << 20)
    loop = Counting()
    item = {"id": "x", "source": "files", "args": {"paths": [str(big)]}}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    backup.run({"backups": [item]}, System(loop))
    assert loop.of("backup")[0]["ok"] and loop.total == 300 << 20 and loop.largest <= 256 * 1024
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


def test_command_output_is_whole_or_a_failure() -> None:
    result, loop = collect("command", argv=["seq", "100000"], name="numbers")
    assert result["ok"] and loop.files["numbers"].endswith(b"\n100000\n")
    result, loop = collect("command", argv=["sh", "-c", "echo half; echo no luck >&2; exit 3"], name="n")
    assert not result["ok"] and "exit code 3: no luck" in result["reason"] and not loop.files
    result, _ = collect("command", argv=["sleep", "9"], name="n", timeout=0.2)
    assert "took longer than 0.2 s" in result["reason"]
    assert "not-a-command" in collect("command", argv=["not-a-command"], name="n")[0]["reason"]


def test_one_bad_backup_does_not_stop_the_next(tmp_path: Path) -> None:
    loop = Loop()
    (tmp_path / "a").write_text("a")
    items = [
        {"id": "1", "source": "files", "args": {"paths": ["/nowhere"]}},
        {"id": "2", "source": "no_such_source", "args": {}},
        {"id": "3", "source": "files", "args": {"paths": [str(tmp_path / "a")]}},
    ]
    backup.run({"backups": items}, System(loop))
    assert [e["ok"] for e in loop.of("backup")] == [False, False, True]


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
        with resp.connect({"socket": str(folder / "s")}, time.monotonic() + 5) as c:
            c.call("PING")
    thread.join()
    with pytest.raises(resp.TimedOut):
        with resp.connect({"socket": str(folder / "s")}, time.monotonic() + 0.2) as c:
            c.call("PING")
    listener.close()
