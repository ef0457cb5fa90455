"""The sources files and command: what is sent is whole, in chunks, or a failure that names the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarmops.target import backup
from swarmops.target.system import Failed, System
from tests.target.sending import Loop, collect


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
