"""Sets in which something of a host is missing: restore names it and refuses, `latest` goes round it, prune counts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backups_hosts import Redis, files_item, gather, play, redis_item

from swarmops.backups import sets
from swarmops.target.system import System
from tests.unit.conftest import Declared

START = datetime(2026, 1, 1, 3, tzinfo=UTC)
ROLE = """\
role: app
backups:
  - {{name: etc, files: {{paths: [{etc}]}}}}
  - {{name: state, files: {{paths: [{state}]}}}}
"""
DISTRIBUTED = "version: 1\ndeployment: {name: swarm, tier: lan}\ninfrastructure: {app: redis}\n"
Run = Callable[..., tuple[int, str, str]]


@dataclass
class House:
    """A project with one host, r1: this process plays it, on two real folders."""

    run: Run
    to: Path
    etc: Path
    state: Path

    def collect(self, day: int, **hosts: list[dict]) -> str:
        """A set of that day; what is not there when it is made is missing in it."""
        items = hosts or {"r1": [files_item(p, name=p.name) for p in (self.etc, self.state)]}
        return gather(self.to, items, now=START + timedelta(days=day)).path.name

    def broken(self, day: int) -> str:
        """A set in which r1's state is missing."""
        self.state.rename(self.state.with_name("away"))
        made = self.collect(day)
        self.state.with_name("away").rename(self.state)
        return made

    def restore(self, *more: str, named: str = "latest") -> tuple[int, str, str]:
        return self.run("backups", "restore", named, "--to", str(self.to), "--host", "r1", "-i", "lan", *more)

    def prune(self, *more: str) -> list[str]:
        assert self.run("backups", "prune", "--to", str(self.to), *more)[0] == 0
        return [s.path.name for s in sets.find(self.to)]


@pytest.fixture
def house(declared: Declared, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    found = House(run, tmp_path / "b", tmp_path / "h/etc", tmp_path / "h/state")
    for folder in (found.etc, found.state):
        folder.mkdir(parents=True)
        (folder / "a").write_text(f"first {folder.name}")
    role = declared.root / "roles/app/role.yaml"
    role.parent.mkdir(parents=True)
    role.write_text(ROLE.format(etc=found.etc, state=found.state))
    declared.write(DISTRIBUTED)

    def here(
        project: object, hosts: list[str], envelopes: dict, forks: int = 25, contents: dict | None = None
    ) -> Iterator:
        for event in play(
            {"by": "test", "run": "1", **envelopes["r1"]},
            (contents or {})["r1"],
            lambda link: System(link, state=str(tmp_path / "s")),
        ):
            yield "r1", event

    monkeypatch.setattr("swarmops.cli.collect_backups.fleet_run", here)
    return found


def test_what_was_not_collected_is_named_and_nothing_is_touched(house: House, tmp_path: Path) -> None:
    made = house.broken(0)
    (house.etc / "a").unlink()
    for more in (["--yes"], ["--to-dir", str(tmp_path / "out")]):
        code, out, said = house.restore(*more)
        assert code == 1 and out == "", said
        first, last = said.splitlines()
        assert first.startswith("refused  r1 app/state: was not collected: ") and str(house.state) in first
        assert (
            last
            == f"lan/{made} does not hold all of r1, nothing was touched (--backup 'app/etc' restores what is there)"
        )
    assert not (house.etc / "a").exists() and not (tmp_path / "out").exists()


def test_what_is_named_and_there_is_restored(house: House, tmp_path: Path) -> None:
    house.broken(0)
    (house.etc / "a").unlink()
    code, out, said = house.restore("--backup", "app/etc", "--yes")
    assert code == 0 and (house.etc / "a").read_text() == "first etc", said
    code, out, said = house.restore("--backup", "app/etc", "--to-dir", str(tmp_path / "out"))
    assert code == 0 and "good" in out, out + said
    assert house.restore("--backup", "app/etc", "--backup", "app/state", "--yes")[0] == 1
    code, _, said = house.restore("--backup", "app/ect", "--yes")
    assert code == 1 and "has no backup 'app/ect' of r1 (it has app/etc, app/state)" in said


def test_latest_is_the_newest_in_which_the_host_is_whole(house: House) -> None:
    whole = house.collect(0)
    part = house.broken(1)
    house.collect(2, r2=[files_item(house.etc, name="etc")])
    shutil.rmtree(house.state)
    code, _, said = house.restore("--yes")
    assert code == 0 and (house.state / "a").read_text() == "first state", said
    assert f"latest is lan/{whole}: lan/20260103T030000Z is newer, but lacks something of r1" in said
    assert part not in said
    code, _, said = house.restore("--yes", named=part)
    assert code == 1 and "app/state: was not collected" in said
    code, _, said = house.restore("--backup", "app/etc", "--check")
    assert code == 0 and f"latest is lan/{part}: " in said  # it holds what is wanted


def test_what_is_declared_since_is_said(house: House) -> None:
    house.collect(0, r1=[files_item(house.etc, name="etc")])
    code, _, said = house.restore("--check")
    assert code == 0 and "not in this set, declared later: r1 app/state" in said


def test_a_redis_that_was_down(house: House, tmp_path: Path) -> None:
    with Redis() as redis:
        item = redis_item(redis.socket)
    house.collect(0, r1=[item, files_item(house.etc, name="etc")])
    code, _, said = house.restore("--to-dir", str(tmp_path / "out"))
    assert code == 1 and said.startswith("refused  r1 redis/redis dump: was not collected: cannot connect"), said


def test_list_names_the_failed_host(house: House) -> None:
    made = house.broken(0)
    (house.to / "lan/20260102T030000Z").mkdir()
    code, out, _ = house.run("backups", "list", "--to", str(house.to))
    assert code == 0 and len(out.splitlines()) == 1, out
    assert out.startswith(f"lan/{made}  incomplete") and "r1(failed)" in out
    out = house.run("backups", "list", "--to", str(house.to), "--all")[1]
    assert "partial: no manifest" in out.splitlines()[1]


def test_prune_keep_nothing_is_a_rule(house: House) -> None:
    names = [house.collect(day) for day in range(3)]
    assert house.prune() == names  # backup.keep: 7
    last = house.broken(3)
    assert house.prune("--keep", "0", "--dry-run") == [*names, last]
    assert house.prune("--keep-daily", "0") == [names[2]]
    names = [house.collect(day) for day in (5, 6)]
    assert house.prune("--keep", "0") == names[1:]
