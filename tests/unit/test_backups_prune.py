"""Retention (S4-29): what may go, and that the last good backup of a host never does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backups_hosts import files_item, gather, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmops.backups import manifest, sets
from swarmops.backups.prune import Policy, prune

START = datetime(2026, 1, 1, 3, tzinfo=UTC)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "etc").write_text("x")
    return tmp_path / "etc"


def make(to: Path, etc: Path, day: float, good: str = "a b", dead: str = "") -> Path:
    """A set of that day, in which the hosts `good` are whole and `dead` are not."""

    def some(envelopes: dict):
        for name in dead.split():
            yield name, {"e": "end", "status": "unreachable", "reason": "off"}
        yield from run({n: envelopes[n] for n in good.split()})

    items = {n: [files_item(etc)] for n in (*good.split(), *dead.split())}
    return gather(to, items, run=some, now=START + timedelta(days=day)).path


def left(to: Path) -> list[int]:
    return [(s.time - START).days for s in sets.find(to)]


def test_keep_last(tmp_path: Path, etc: Path) -> None:
    to = tmp_path / "b"
    for day in range(6):
        make(to, etc, day)
    prune(sets.find(to), Policy(last=2), START, dry_run=True)
    assert left(to) == [0, 1, 2, 3, 4, 5]
    prune(sets.find(to), Policy(last=2), START)
    assert left(to) == [4, 5]


def test_days_daily_weekly_monthly(tmp_path: Path, etc: Path) -> None:
    to = tmp_path / "b"
    for day in [0, 10, 20, 30, 35, 38, 39, 39.5]:
        make(to, etc, day)
    now = START + timedelta(days=40)
    decisions = prune(sets.find(to), Policy(days=2, daily=3, weekly=2, monthly=2), now, dry_run=True)
    kept = {(d.set.time - START).total_seconds() / 86400: d.reasons for d in decisions if d.keep}
    # daily: 9, 8 and 5 February; weekly: of 9 and 2-8 February; monthly: 9 February and 31 January
    assert set(kept) == {39.5, 39, 38, 35, 30}
    assert any("monthly 2026-01" in r for r in kept[30]) and any("last good" in r for r in kept[39.5])


def test_no_rule_keeps_all(tmp_path: Path, etc: Path) -> None:
    for day in range(3):
        make(tmp_path / "b", etc, day)
    prune(sets.find(tmp_path / "b"), Policy(), START)
    assert left(tmp_path / "b") == [0, 1, 2]


def test_last_good_set_of_each_host_stays(tmp_path: Path, etc: Path) -> None:
    to = tmp_path / "b"
    make(to, etc, 0, "a b")
    make(to, etc, 1, "a b")
    for day in range(2, 6):
        make(to, etc, day, "a", dead="b")
    prune(sets.find(to), Policy(last=1), START)
    assert left(to) == [1, 5]


def test_newest_is_damaged_so_the_one_before_stays(tmp_path: Path, etc: Path) -> None:
    to = tmp_path / "b"
    for day in range(4):
        newest = make(to, etc, day, "a")
    (stored,) = newest.rglob("etc")
    stored.write_text("y")
    prune(sets.find(to), Policy(last=1), START)
    assert left(to) == [2, 3]  # 3 stays as evidence, 2 as the last good one


def test_damaged_manifest_is_kept_and_named(tmp_path: Path, etc: Path) -> None:
    to = tmp_path / "b"
    old = make(to, etc, 0)
    make(to, etc, 1)
    (old / manifest.NAME).write_text("{}")
    decisions = prune(sets.find(to), Policy(last=1), START)
    assert left(to) == [0, 1] and "damaged" in decisions[1].reasons[0]


def test_interrupted_prune_leaves_no_half_set_listed(tmp_path: Path, etc: Path) -> None:
    to = tmp_path / "b"
    doomed = make(to, etc, 0)
    doomed.rename(doomed.with_name(sets.DOOMED + doomed.name))
    assert sets.find(to) == []
    make(to, etc, 1)
    assert not list((to / "lan").glob(".deleting-*"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sets(st.sampled_from("abc"), min_size=1), min_size=1, max_size=5),
    st.builds(Policy, *[st.integers(0, 2)] * 5),
    st.integers(0, 10),
)
def test_every_host_that_had_a_good_backup_still_has_its_newest(
    tmp_path_factory: pytest.TempPathFactory, goods: list[set[str]], policy: Policy, later: int
) -> None:
    folder = tmp_path_factory.mktemp("p")
    (folder / "etc").write_text("x")
    newest = {}
    for day, good in enumerate(goods):
        make(folder / "b", folder / "etc", day, " ".join(sorted(good)), " ".join(sorted(set("abc") - good)))
        newest.update(dict.fromkeys(good, day))
    prune(sets.find(folder / "b"), policy, START + timedelta(days=later))
    for host, day in newest.items():
        one = next(s for s in sets.find(folder / "b") if (s.time - START).days == day)
        assert host in manifest.good_hosts(one.manifest or {})
