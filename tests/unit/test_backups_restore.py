"""Restoring: the drill (F37), the refusals before anything is touched (cases 69-71), and the way back."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from backups_hosts import Redis, files_item, gather, play, redis_item

from swarmops.backups import manifest, sets
from swarmops.backups.landing import BackupError
from swarmops.backups.restore import Options, Restore, to_folder
from swarmops.target.system import Failed, Result, System

HOST = "redis-1"


class Units(System):
    """This host, with a real Redis that systemctl starts and stops. No systemd runs where these tests do; the tests
    on lab hosts have the real one."""

    redis: Redis

    def __init__(self, link: object):
        super().__init__(link, state=str(self.redis.folder / "state"))

    def run(self, argv: list[str], **more: object) -> Result:  # type: ignore[override]
        if argv[0] != "systemctl":
            return super().run(argv, **more)
        if argv[1] == "stop":
            self.redis.stop()
        elif argv[1] == "start":
            self.redis.start(wait=False)
        process = self.redis.process
        active = process is not None and process.poll() is None
        return Result(0, "active" if active else "failed", "")


@pytest.fixture
def system_of(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    def bind(redis: Redis) -> type[Units]:
        monkeypatch.setattr(Units, "redis", redis, raising=False)
        return Units

    yield bind


def runner(make: type) -> object:
    def run(envelopes: dict, contents: dict) -> Iterator:
        for name, envelope in envelopes.items():
            for event in play({"by": "test", "run": "1", **envelope}, contents[name], make):
                yield name, event

    return run


@pytest.fixture
def kept(tmp_path: Path) -> tuple[sets.Set, int]:
    with Redis() as redis:
        redis.fill(300, lives_ms=2500)  # long enough to be in the dump
        outcome = gather(tmp_path / "b", {HOST: [redis_item(redis.socket)]})
    return sets.load(outcome.path), outcome.manifest["hosts"][HOST]["backups"]["redis/redis dump"]["facts"]["keys"]


def restore(one: sets.Set, redis: Redis, make: type, keys: object = None, target: str = HOST, **options: bool) -> dict:
    with Restore(one, HOST, target, [redis_item(redis.socket)], "swarm") as work:
        work.prepare(keys, Options(**options))  # type: ignore[arg-type]
        (result,) = work.play(runner(make), Options(**options))  # type: ignore[arg-type]
        return result


def test_drill_to_a_folder(kept: tuple, tmp_path: Path) -> None:
    one, keys = kept
    report = to_folder(one, HOST, tmp_path / "out")
    assert report.good
    assert f"{keys} keys of {keys}" in report.findings[-1].detail
    assert (tmp_path / "out/redis-redis-dump/dump.rdb").exists()
    with pytest.raises(BackupError, match="is not empty"):
        to_folder(one, HOST, tmp_path / "out")


@pytest.mark.parametrize("append_only", ["no", "yes"])
def test_into_an_empty_redis(kept: tuple, system_of, append_only: str) -> None:
    one, keys = kept
    time.sleep(2.6)  # the one that lived so long is over
    with Redis("--appendonly", append_only) as redis:
        make = system_of(redis)
        would = restore(one, redis, make, check=True)
        assert would["status"] == "would" and redis.keys() == 0
        done = restore(one, redis, make)
        assert done["status"] == "restored", done
        assert done["facts"]["keys"] == keys
        assert redis.keys() == keys - 1  # it has expired
        with redis.client() as c:
            c.call("SET", "after", "1")
        redis.stop()
        redis.start()
        assert redis.keys() == (keys if append_only == "yes" else keys - 1)


def test_redis_with_data_is_refused_then_replaced_and_the_old_data_is_kept(kept: tuple, system_of) -> None:
    """Case 71."""
    one, keys = kept
    with Redis("--appendonly", "yes") as redis:
        redis.fill(7, prefix="old")
        result = restore(one, redis, system_of(redis))
        assert result["status"] == "refused" and "--replace" in result["reason"]
        assert redis.keys() >= 8
        result = restore(one, redis, system_of(redis), replace=True)
        assert result["facts"]["keys"] == keys
        before = Path(result["facts"]["before"])
        assert (before / "appendonlydir").is_dir() and before.parent == redis.folder


def test_stopped_redis_is_read_from_its_files(kept: tuple, system_of, tmp_path: Path) -> None:
    """F38: Redis does not come up on its damaged file; the restore puts a good one there."""
    one, keys = kept
    with Redis() as redis:
        redis.fill(20)
        with redis.client() as c:
            c.call("SAVE")
        redis.stop()
        dump = redis.folder / "dump.rdb"
        data = bytearray(dump.read_bytes())
        data[60] ^= 0xFF
        dump.write_bytes(data)
        conf = redis.folder / "redis.conf"
        conf.write_text(f"dir {redis.folder}\nappendonly no\n")
        item = redis_item(redis.socket, conf=str(conf))
        with Restore(one, HOST, HOST, [item], "swarm") as work:
            work.prepare(None, Options())
            (refused,) = work.play(runner(system_of(redis)), Options())
            assert "could not be counted" in refused["reason"]
            (done,) = work.play(runner(system_of(redis)), Options(replace=True))
        assert done["facts"]["keys"] == keys


def test_what_does_not_come_up_is_undone(kept: tuple, system_of) -> None:
    """A dump that loads here and not there: the old Redis is back, with its data."""
    one, _ = kept
    with Redis("--appendonly", "yes") as redis:
        redis.fill(7, prefix="old")
        old = redis.keys()
        with Restore(one, HOST, HOST, [redis_item(redis.socket)], "swarm") as work:
            work.prepare(None, Options())
            work._keys = dict.fromkeys(work._keys, 12345)
            (result,) = work.play(runner(system_of(redis)), Options(replace=True))
            assert result["status"] == "failed" and "back in place" in result["reason"], result
            redis.start()
            assert redis.keys() in (old, old - 1)
            work._send[0]["files"][0]["parts"] = []  # a piece got lost on the way
            (result,) = work.play(runner(system_of(redis)), Options(replace=True))
            assert "nothing was changed" in result["reason"]
            assert redis.keys() in (old, old - 1)
        left = [p.name for p in redis.folder.iterdir()]
        assert not [n for n in left if "restore" in n], left


def test_wrong_host_machine_and_deployment(kept: tuple, system_of) -> None:
    """Case 70."""
    one, keys = kept
    with Redis() as redis:
        with pytest.raises(BackupError, match="it is a backup of redis-1, not of redis-2"):
            restore(one, redis, system_of(redis), target="redis-2")
        with Restore(one, HOST, HOST, [redis_item(redis.socket)], "other") as work:
            with pytest.raises(BackupError, match="of the deployment 'swarm', this is 'other'"):
                work.prepare(None, Options())
        body = json.loads((one.path / manifest.NAME).read_text())
        body["hosts"][HOST]["machine_id"] = "0" * 32
        (one.path / manifest.NAME).write_bytes(manifest.encode(body))
        other = sets.load(one.path)
        result = restore(other, redis, system_of(redis))
        assert result["status"] == "refused" and "another machine" in result["reason"]
        assert restore(other, redis, system_of(redis), force=True)["facts"]["keys"] == keys


def test_damaged_set_touches_nothing(kept: tuple, system_of, tmp_path: Path) -> None:
    """Case 69, F36."""
    one, _ = kept
    (dump,) = one.path.rglob("dump.rdb")
    data = bytearray(dump.read_bytes())
    data[40] ^= 4
    dump.write_bytes(data)
    with Redis() as redis:
        with pytest.raises(BackupError, match=r"is damaged, nothing was touched: .*checksum differs"):
            restore(one, redis, system_of(redis))
    with pytest.raises(BackupError, match="damaged"):
        to_folder(one, HOST, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_encrypted(tmp_path: Path, system_of) -> None:
    key = pyrage.x25519.Identity.generate()
    with Redis() as redis:
        redis.fill(30)
        outcome = gather(tmp_path / "b", {HOST: [redis_item(redis.socket)]}, recipients=[str(key.to_public())])
    one = sets.load(outcome.path)
    with pytest.raises(BackupError, match="--identity FILE opens it"):
        to_folder(one, HOST, tmp_path / "out")
    assert to_folder(one, HOST, tmp_path / "out", keys=[key]).good
    with Redis() as redis:
        assert restore(one, redis, system_of(redis), keys=[key])["facts"]["keys"] == 32


def test_what_is_not_in_the_set(kept: tuple, tmp_path: Path) -> None:
    one, _ = kept
    with pytest.raises(BackupError, match=r"has nothing of web-9 \(it has redis-1\)"):
        to_folder(one, "web-9", tmp_path / "out")
    with Restore(one, HOST, HOST, [], "swarm") as work:
        with pytest.raises(BackupError, match="declare no backup 'redis/redis dump'"):
            work.prepare(None, Options())


def test_files(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    (etc / "sub").mkdir(parents=True)
    (etc / "a").write_text("a")
    (etc / "sub/b").write_bytes(b"b" * 9_000_000)
    (etc / "a").chmod(0o640)
    item = files_item(etc)
    one = sets.load(gather(tmp_path / "b", {HOST: [item]}).path)

    def put(**options: bool) -> dict:
        with Restore(one, HOST, HOST, [item], "swarm") as work:
            work.prepare(None, Options(**options))
            (result,) = work.play(runner(lambda link: System(link, state=str(tmp_path / "s"))), Options(**options))  # type: ignore[arg-type]
            return result

    assert put()["facts"] == {"files": 2, "changed": []}
    shutil.rmtree(etc)
    assert len(put(check=True)["facts"]["changed"]) == 2 and not etc.exists()
    assert put()["ok"]
    assert (etc / "a").read_text() == "a" and (etc / "a").stat().st_mode & 0o777 == 0o640
    assert (etc / "sub/b").stat().st_size == 9_000_000
    (etc / "a").write_text("edited")
    assert put()["status"] == "refused" and (etc / "a").read_text() == "edited"
    assert put(replace=True)["ok"] and (etc / "a").read_text() == "a"


def test_failed_is_a_sentence() -> None:
    from swarmops.target.backup import sentence

    assert sentence(Failed("no luck")) == "no luck"
    assert sentence(FileNotFoundError(2, "No such file", "/x")) == "/x: No such file"
    assert sentence(KeyError("x")) == "KeyError: 'x'"
