"""Verifying: nothing that was changed since the set was written goes unseen (case 69, faults F36, F38)."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from backups_hosts import Redis, files_item, gather, redis_item

from swarmops.backups import manifest, scratch, sets
from swarmops.backups.landing import BackupError
from swarmops.backups.verify import verify


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good set."""
    folder = tmp_path_factory.mktemp("verify")
    (folder / "etc").mkdir()
    (folder / "etc/a.conf").write_text("a" * 3000)
    (folder / "etc/b.conf").write_text("b" * 3000)
    with Redis("--appendonly", "yes") as redis:
        redis.fill(200)
        items = {"redis-1": [redis_item(redis.socket, aof=True), files_item(folder / "etc")]}
        outcome = gather(folder / "b", items)
    assert outcome.manifest["complete"], outcome.failures
    return outcome.path


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "lan" / kept.name
    shutil.copytree(kept, path)
    yield path


def file(copy: Path, name: str) -> Path:
    (found,) = copy.rglob(name)
    return found


def test_good_set(kept: Path) -> None:
    report = verify(sets.load(kept))
    assert report.good, report.findings
    assert {"manifest", "checksums", "key count", "digest", "append-only files load"} == {
        f.what for f in report.findings
    }


def test_a_hundred_flipped_bytes_are_found(copy: Path) -> None:
    """F36: in every file, the manifest among them, at a hundred places."""
    chance = random.Random(7)
    files = sorted(p for p in copy.rglob("*") if p.is_file() and p.stat().st_size)
    missed = []
    for n in range(100):
        path = files[n % len(files)]
        good = path.read_bytes()
        at = chance.randrange(len(good))
        bad = bytearray(good)
        bad[at] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        if not verify(sets.load(copy), checksums_only=True).bad:
            missed.append((path.name, at))
        path.write_bytes(good)
    assert not missed
    assert verify(sets.load(copy), checksums_only=True).good


def test_every_byte_of_a_manifest_counts(copy: Path) -> None:
    """White space and the digits of its own checksum included."""
    data = (copy / manifest.NAME).read_bytes()
    for at in range(0, len(data), max(1, len(data) // 400)):
        bad = bytearray(data)
        bad[at] ^= 1
        with pytest.raises(BackupError):
            manifest.decode(bytes(bad))


@pytest.mark.parametrize("cut", [b"", b"REDIS", None])
def test_truncated(copy: Path, cut: bytes | None) -> None:
    dump = file(copy, "dump.rdb")
    dump.write_bytes(dump.read_bytes()[:-1] if cut is None else cut)
    assert "bytes, it had" in verify(sets.load(copy)).bad[0].detail


def test_trailing_junk_missing_swapped_link_and_stranger(copy: Path, tmp_path: Path) -> None:
    a, b = file(copy, "a.conf"), file(copy, "b.conf")
    good = a.read_bytes()
    a.write_bytes(good + b"x")
    assert "longer than" in verify(sets.load(copy)).bad[0].detail
    shutil.copy(b, a)
    assert "checksum differs" in verify(sets.load(copy)).bad[0].detail
    a.unlink()
    assert "is missing" in verify(sets.load(copy)).bad[0].detail
    (tmp_path / "elsewhere").write_bytes(good)
    a.symlink_to(tmp_path / "elsewhere")
    assert "is a link" in verify(sets.load(copy)).bad[0].detail
    a.unlink()
    a.write_bytes(good)
    (copy / "redis-1/extra").touch()
    assert "redis-1/extra is not in the manifest" in verify(sets.load(copy)).bad[0].detail
    (copy / "redis-1/extra").unlink()
    assert verify(sets.load(copy), checksums_only=True).good


def test_manifest_missing_edited_newer_or_pointing_out_of_the_set(copy: Path) -> None:
    path = copy / manifest.NAME
    good = json.loads(path.read_text())

    def problem(body: dict, honest: bool = True) -> str:
        path.write_bytes(manifest.encode(body) if honest else json.dumps(body).encode())
        return verify(sets.load(copy)).bad[0].detail

    assert "changed after it was written" in problem({**good, "deployment": "other"}, honest=False)
    assert "schema 99" in problem({**good, "schema": 99})
    assert "shape" in problem({k: v for k, v in good.items() if k != "hosts"})
    backup = good["hosts"]["redis-1"]["backups"]["redis/redis dump"]
    backup["files"][0]["path"] = "../../../etc/passwd"
    assert "leaves its folder" in problem(good)
    path.unlink()
    assert problem_of(copy) == "partial: no manifest"


def problem_of(copy: Path) -> str:
    return verify(sets.load(copy)).bad[0].detail


def test_a_consistent_forgery_is_found_by_the_scratch_redis(copy: Path) -> None:
    """Another dump with a matching checksum: count and digest differ from what was recorded."""
    import hashlib

    with Redis() as other:
        other.fill(200)  # as many keys, other values
        with other.client() as c:
            c.call("SAVE")
        dump = file(copy, "dump.rdb")
        shutil.copy(other.folder / "dump.rdb", dump)
    body = json.loads((copy / manifest.NAME).read_text())
    data = dump.read_bytes()
    entry = next(f for f in body["hosts"]["redis-1"]["backups"]["redis/redis dump"]["files"] if f["name"] == "dump.rdb")
    entry.update(size=len(data), stored_size=len(data))
    entry.update(sha256=hashlib.sha256(data).hexdigest(), stored_sha256=hashlib.sha256(data).hexdigest())
    (copy / manifest.NAME).write_bytes(manifest.encode(body))
    report = verify(sets.load(copy))
    assert "digest" in [f.what for f in report.bad]


def test_no_redis_server_is_not_run_and_not_good(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(scratch.BINARY, "/no/such/redis-server")
    report = verify(sets.load(copy))
    assert not report.bad and not report.good
    assert "does not run" in report.not_run[0].detail
    assert verify(sets.load(copy), checksums_only=True).good


def test_redis_too_old_for_the_dump_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0099" + b"x" * 20)
    with pytest.raises(scratch.NotRun, match=r"RDB version 99, which .* is too old for"):
        scratch.examine(tmp_path / "dump.rdb")


def test_expired_keys_are_counted_like_on_the_day_of_the_backup(tmp_path: Path) -> None:
    with Redis() as redis:
        redis.fill(5, lives_ms=1500)  # long enough to be in the dump
        outcome = gather(tmp_path / "b", {"redis-1": [redis_item(redis.socket)]})
    time.sleep(1.6)  # so that it is over when the copy is looked at
    report = verify(sets.load(outcome.path))
    assert report.good, report.findings


def test_scratch_redis_listens_nowhere_and_leaves_nothing(kept: Path) -> None:
    import subprocess

    with scratch.boot(file(kept, "dump.rdb")) as (client, _):
        assert client.config_get("port") == {"port": "0"}
        pid = client.info("server")["process_id"]
        private = Path(client.config_get("unixsocket")["unixsocket"]).parent
        assert private.stat().st_mode & 0o777 == 0o700
        listening = subprocess.check_output(["ss", "-ltnpH"], text=True)
        assert f"pid={pid}," not in listening
    assert not Path(f"/proc/{pid}").exists() and not private.exists()


def test_identity_of_an_encrypted_set(tmp_path: Path) -> None:
    from swarmops.backups import encrypt
    from swarmops.model.faults import InputError

    (tmp_path / "a").write_text("a")
    key = pyrage.x25519.Identity.generate()
    outcome = gather(tmp_path / "b", {"h": [files_item(tmp_path / "a")]}, recipients=[str(key.to_public())])
    (tmp_path / "key").write_text(f"# created: today\n# public key: {key.to_public()}\n{key}\n")
    assert verify(sets.load(outcome.path), keys=encrypt.identities(tmp_path / "key")).good
    with pytest.raises(InputError, match="holds no age identity"):
        encrypt.identities(tmp_path / "a")
    with pytest.raises(InputError) as refused:
        encrypt.recipients([str(key)])
    assert str(key) not in str(refused.value)
    (stored,) = outcome.path.rglob("a.age")
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(data)
    assert "checksum differs" in verify(sets.load(outcome.path)).bad[0].detail
