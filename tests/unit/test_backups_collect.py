"""Collecting: what a set holds, where it may go (case 72), what an interruption leaves (F21, F35)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest
from backups_hosts import Redis, files_item, gather, play, redis_item, run

from swarmops.backups import manifest, sets
from swarmops.backups.landing import BackupError
from swarmops.backups.verify import verify
from tests.conftest import lacking


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.conf").write_text("a = 1\n")
    (folder / "empty").touch()
    (folder / "sub/b.bin").write_bytes(os.urandom(700_000))
    return folder


def test_set_on_disk(tmp_path: Path, etc: Path) -> None:
    with Redis() as redis:
        redis.fill(100)
        items = {"redis-1": [redis_item(redis.socket), files_item(etc)], "web-1": [files_item(etc)]}
        outcome = gather(tmp_path / "backups", items)
    m, path = outcome.manifest, outcome.path
    assert m["complete"] and not outcome.failures
    assert path.parent == tmp_path / "backups/lan" and sets.STAMP.fullmatch(path.name)
    assert (path / "redis-1/redis-redis-dump/dump.rdb").read_bytes().startswith(b"REDIS")
    assert (path / "web-1/app-config" / str(etc).lstrip("/") / "a.conf").read_text() == "a = 1\n"
    for base, folders, files in os.walk(path):
        assert all(stat.S_IMODE((Path(base) / n).stat().st_mode) == 0o700 for n in [*folders, "."])
        assert all(stat.S_IMODE((Path(base) / n).stat().st_mode) == 0o600 for n in files)
    host = m["hosts"]["redis-1"]
    assert host["machine_id"] == Path("/etc/machine-id").read_text().strip()
    dump = host["backups"]["redis/redis dump"]
    assert dump["proof"]["keys"] == dump["facts"]["keys"] == 102
    assert {"schema", "deployment", "tier", "tool", "started", "ended", "sha256"} <= set(
        json.loads((path / manifest.NAME).read_bytes())
    )
    assert verify(sets.load(path)).good
    assert not list(path.glob(".*"))


def test_one_dead_host_is_named_and_the_others_are_kept(tmp_path: Path, etc: Path) -> None:
    def half(envelopes: dict) -> Iterator:
        yield "dead-1", {"e": "end", "status": "unreachable", "reason": "no route to host"}
        yield from run({"web-1": envelopes["web-1"]})

    outcome = gather(tmp_path / "b", {"web-1": [files_item(etc)], "dead-1": [files_item(etc)]}, run=half)
    assert outcome.failures == ["dead-1: unreachable: no route to host"]
    assert not outcome.manifest["complete"] and manifest.good_hosts(outcome.manifest) == {"web-1"}
    report = verify(sets.load(outcome.path))
    assert [f.host for f in report.bad] == ["dead-1"]
    assert not (outcome.path / "dead-1").exists()


def test_failed_backup_of_a_good_host(tmp_path: Path, etc: Path) -> None:
    items = {"web-1": [files_item(etc), files_item("/no/such/file", name="other")]}
    outcome = gather(tmp_path / "b", items)
    assert outcome.failures == ["web-1: app/other: /no/such/file does not exist"]
    assert outcome.manifest["hosts"]["web-1"]["backups"]["app/config"]["ok"]


def test_destination_that_is_a_link_a_file_or_not_writable(tmp_path: Path, etc: Path) -> None:
    """Case 72."""
    items = {"web-1": [files_item(etc)]}
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(BackupError, match="is a link or no folder"):
        gather(tmp_path / "link", items)
    (tmp_path / "to").mkdir()
    (tmp_path / "to/lan").symlink_to(tmp_path / "real")
    with pytest.raises(BackupError, match="is a link or no folder"):
        gather(tmp_path / "to", items)
    (tmp_path / "file").touch()
    with pytest.raises(BackupError, match="is a link or no folder"):
        gather(tmp_path / "file", items)
    with pytest.raises(BackupError, match="/proc/swarmops"):
        gather(Path("/proc/swarmops"), items)
    assert not list((tmp_path / "real").iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=700", "tmpfs", str(disk)], check=False)
    if done.returncode:
        lacking("may not mount a tmpfs here (needs root)")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("encrypted", [False, True])
def test_full_disk_names_host_path_and_free_bytes(tmp_path: Path, small_disk: Path, encrypted: bool) -> None:
    """F21, announced and not: the second host's file fits as announced, but the disk fills meanwhile."""
    big = tmp_path / "big"
    big.write_bytes(os.urandom(30 << 20))
    (tmp_path / "small").write_text("small")
    to = [str(pyrage.x25519.Identity.generate().to_public())] if encrypted else []
    items = {"a-1": [files_item(tmp_path / "small")], "b-1": [files_item(big)]}
    outcome = gather(small_disk / "b", items, recipients=to)
    (failure,) = outcome.failures
    assert failure.startswith("b-1: the disk is full") and str(small_disk) in failure and "free" in failure
    assert manifest.good_hosts(outcome.manifest) == {"a-1"}

    def filling(envelopes: dict) -> Iterator:
        for n, event in enumerate(play(envelopes["b-1"])):
            if n == 4:
                with contextlib.suppress(OSError), open(small_disk / "filler", "wb") as f:
                    f.write(b"x" * (60 << 20))
            if event["e"] == "file":
                event["size"] = 20 << 20
            yield "b-1", event
            if n == 60:
                (small_disk / "filler").unlink()

    big.write_bytes(os.urandom(20 << 20))
    outcome = gather(small_disk / "b", {"b-1": [files_item(big)]}, run=filling, recipients=to)
    (failure,) = outcome.failures
    assert failure.startswith("b-1: the disk is full") and str(small_disk) in failure, failure
    assert not [p for p in outcome.path.rglob("*") if p.is_file() and p.name not in (manifest.NAME, "sealed.json.age")]
    big.write_bytes(os.urandom(10 << 20))
    assert not gather(small_disk / "b", {"b-1": [files_item(big)]}, recipients=to).failures  # room again


CRASH = """
import os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from backups_hosts import files_item, gather, play
def run(envelopes):
    events = play(envelopes["web-1"])
    for n, event in enumerate(events):
        if n >= len(events) * {share}:
            os.kill(os.getpid(), 9)
        yield "web-1", event
gather(Path({to!r}), {{"web-1": [files_item({etc!r})]}}, run=run)
"""


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9])
def test_killed_collector_leaves_no_backup_and_the_next_run_cleans_up(tmp_path: Path, etc: Path, share: float) -> None:
    """F35."""
    to = tmp_path / "b"
    items = {"web-1": [files_item(etc)]}
    first = gather(to, items, now=datetime(2026, 1, 1, tzinfo=UTC))
    script = CRASH.format(here=str(Path(__file__).parent), share=share, to=str(to), etc=str(etc))
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -9
    listed = sets.find(to)
    assert [bool(s.manifest) for s in listed] == [True, False]
    assert listed[1].problem == "partial: no manifest"
    assert verify(sets.load(first.path)).good
    second = gather(to, items)
    assert [s.path for s in sets.find(to)] == [first.path, second.path]
    assert verify(sets.load(second.path)).good


def test_partial_set_of_a_run_that_still_works_is_left_alone(tmp_path: Path, etc: Path) -> None:
    to, items = tmp_path / "b", {"web-1": [files_item(etc)]}

    def with_another_inside(envelopes: dict) -> Iterator:
        events = list(run(envelopes))
        yield from events[:3]
        inner = gather(to, items)
        assert inner.manifest["complete"]
        yield from events[3:]

    outcome = gather(to, items, run=with_another_inside)
    assert outcome.manifest["complete"] and verify(sets.load(outcome.path)).good
    assert len(sets.find(to)) == 2


def test_two_sets_of_one_second(tmp_path: Path, etc: Path) -> None:
    now, items = datetime(2026, 1, 1, tzinfo=UTC), {"web-1": [files_item(etc)]}
    names = [gather(tmp_path / "b", items, now=now).path.name for _ in range(3)]
    assert names == ["20260101T000000Z", "20260101T000000Z-2", "20260101T000000Z-3"]
    assert [s.path.name for s in sets.find(tmp_path / "b")] == names


def test_encrypted_set(tmp_path: Path, etc: Path) -> None:
    key = pyrage.x25519.Identity.generate()
    with Redis() as redis:
        redis.fill(50, prefix="canary-in-a-coal-mine")
        items = {"redis-1": [redis_item(redis.socket), files_item(etc)]}
        outcome = gather(tmp_path / "b", items, recipients=[str(key.to_public())])
    assert outcome.manifest["complete"], outcome.failures
    stored = [p for p in outcome.path.rglob("*") if p.is_file()]
    assert all(p.name.endswith(".age") or p.name == manifest.NAME for p in stored)
    assert not [p for p in stored if b"canary" in p.read_bytes() or b"a = 1" in p.read_bytes()]
    text = (outcome.path / manifest.NAME).read_text()
    plain = hashlib.sha256((etc / "a.conf").read_bytes()).hexdigest()
    assert plain not in text  # the checksum of a guessable file would give it away
    one = sets.load(outcome.path)
    assert verify(one, keys=[key]).good
    without = verify(one)
    assert not without.bad and [f.what for f in without.not_run] == ["scratch Redis"]
    other = verify(one, keys=[pyrage.x25519.Identity.generate()])
    assert "does not open it" in other.bad[0].detail


@pytest.mark.parametrize("kind", ["age", "ssh"])
def test_opens_with_the_age_command(tmp_path: Path, etc: Path, kind: str) -> None:
    import shutil

    if not shutil.which("age"):
        lacking("age is not installed (apt install age)")
    identity = tmp_path / "key"
    if kind == "age":
        key = pyrage.x25519.Identity.generate()
        identity.write_text(str(key))
        public = str(key.to_public())
    else:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(identity)], check=True)
        public = Path(f"{identity}.pub").read_text()
    outcome = gather(tmp_path / "b", {"web-1": [files_item(etc / "a.conf")]}, recipients=[public])
    (stored,) = outcome.path.rglob("a.conf.age")
    opened = subprocess.check_output(["age", "-d", "-i", str(identity), str(stored)], text=True)
    assert opened == "a = 1\n"
