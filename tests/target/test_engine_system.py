"""What the engine does to its host: commands that do not end or say too much, and writes that cannot be."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from swarmops.target import wire
from swarmops.target.system import Failed
from tests.conftest import lacking
from tests.target.harness import NEW, OLD, Here, command, landed, sha
from tests.waiting import until

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


# -- commands


def test_commands_have_the_usual_umask_and_our_files_do_not(here, tmp_path):
    made = tmp_path / "made"
    here.play([command("r", "mkdir", ["/bin/mkdir", str(made)])])
    assert made.stat().st_mode & 0o777 == 0o755
    assert (here.state).stat().st_mode & 0o777 == 0o700


def test_output_without_end_is_kept_in_bounds(system):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = system.run(["/bin/sh", "-c", "head -c 300000000 /dev/zero; echo end"], timeout=60)
    assert len(result.stdout) <= wire.MAX_TEXT and result.stdout.endswith("end\n")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    result = system.run(["yes"], timeout=0.5, ok=None)
    assert result.rc == -1 and "longer than" in result.stderr


def test_a_daemon_left_behind_is_not_waited_for(system, tmp_path):
    began = time.monotonic()
    result = system.run(["/bin/sh", "-c", f"echo said; sleep 300 & echo $! > {tmp_path}/pid"], timeout=200)
    assert result.stdout == "said\n" and time.monotonic() - began < 60
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_a_command_that_takes_too_long_takes_its_children_along(system, tmp_path):
    system.run(["/bin/sh", "-c", f"sleep 300 & echo $! > {tmp_path}/pid; wait"], timeout=3, ok=None)
    pid = int((tmp_path / "pid").read_text())

    def gone():
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().split()[2] == "Z"
        except FileNotFoundError:
            return True

    until(gone, "the child is gone")


def test_large_input_and_output_at_once(system):
    data = os.urandom(3 << 20)
    result = system.run(["sha256sum"], input=data)
    assert result.stdout.split()[0] == sha(data)
    assert system.run(["/bin/true"], input=data).rc == 0
    assert len(system.run(["head", "-c", "200000", "/dev/zero"], most=1 << 20).stdout) == 200_000


# -- writes


def test_writing_says_what_is_in_the_way(system, tmp_path):
    with pytest.raises(Failed, match=r"the folder .*/none does not exist"):
        system.write(str(tmp_path / "none" / "a"), NEW)


@ROOT_ONLY
def test_a_read_only_file_system_is_named(system, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", disk], check=False).returncode:
        lacking("no mounts here")
    try:
        with pytest.raises(Failed, match="Read-only file system"):
            system.write(str(disk / "a"), NEW)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_validator_keeps_the_old_file(here, tmp_path):
    """F29."""
    conf = tmp_path / "conf"
    conf.write_bytes(OLD)
    step = landed("r", conf, NEW)
    step["args"]["validate"] = "/bin/grep -q 1 %s"
    reports = here.play([step], {sha(NEW): NEW})
    assert reports["r/conf"]["s"] == "failed" and "not valid" in reports["r/conf"]["why"]
    assert conf.read_bytes() == OLD and [p.name for p in tmp_path.iterdir() if "swarmops" in p.name] == []


@ROOT_ONLY
def test_a_full_disk_leaves_the_old_file_and_says_so(here, tmp_path):
    """F21. On a tiny tmpfs of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    assert os.system(f"mount -t tmpfs -o size=64k tmpfs {disk}") == 0
    try:
        (disk / "conf").write_bytes(OLD)
        big = b"x" * 200_000
        reports = here.play([landed("r", disk / "conf", big)], {sha(big): big})
        assert "disk is full" in reports["r/conf"]["why"] and "bytes free" in reports["r/conf"]["why"]
        assert (disk / "conf").read_bytes() == OLD and len(list(disk.iterdir())) == 1
    finally:
        os.system(f"umount {disk}")


@ROOT_ONLY
def test_a_state_folder_on_a_full_disk_is_named_in_one_line(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=2", "tmpfs", disk], check=False).returncode:
        lacking("no mounts here")
    try:
        done = Here(disk / "state").play([landed("r", tmp_path / "a", NEW)], {sha(NEW): NEW}, owner="x/lan")["done"]
        assert not done["ok"] and "No space left" in done["why"] and "trace" not in done, done
    finally:
        subprocess.run(["umount", disk], check=True)
