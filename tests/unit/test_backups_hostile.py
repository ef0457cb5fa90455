"""Collecting from hostile hosts: names, streams and sizes that are refused (cases 67, 68), and dumps that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from backups_hosts import OK, Redis, bytes_event, file_event, files_item, gather, play, redis_item, says

from swarmops.backups import manifest, sets
from swarmops.backups.receive import Limits
from swarmops.backups.verify import verify


@pytest.mark.parametrize(
    ("name", "says_"),
    [
        ("../x", "leaves its folder"),
        ("a/../../x", "leaves its folder"),
        ("a//b", "leaves its folder"),
        ("./a", "leaves its folder"),
        ("/etc/shadow", "absolute"),
        ("", "without a name"),
        (None, "without a name"),
        (7, "without a name"),
        ("a\nb", "control characters"),
        ("a\x00b", "control characters"),
        ("a\u202eb", "control characters"),
        ("a\ud800b", "not UTF-8"),
        ("x" * 256, "256 bytes"),
        ("ä" * 130, "260 bytes"),
        ("/".join(["x" * 200] * 20), "bytes"),
    ],
)
def test_hostile_names(tmp_path: Path, name: object, says_: str) -> None:
    """Case 67."""
    outcome = gather(tmp_path / "b", {"web-1": [files_item("/x")]}, run=says(file_event(name), bytes_event(), OK))
    (failure,) = outcome.failures
    assert failure.startswith("web-1: refused: the host sent") and says_ in failure
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != manifest.NAME]
    assert not left and verify(sets.load(outcome.path)).bad


@pytest.mark.parametrize(
    ("events", "says_"),
    [
        ([file_event(), bytes_event(), file_event(), bytes_event(), OK], "the same file name twice"),
        ([file_event("a"), bytes_event(), file_event("a/b"), bytes_event(), OK], "is a link or no folder"),
        ([file_event(), bytes_event(b"datadata"), OK], "more bytes"),
        ([file_event(), bytes_event(b"da"), OK], "too few bytes"),
        ([file_event(), bytes_event(b"da"), file_event("b")], "too few bytes"),
        ([file_event(), bytes_event(b"dat4"), OK], "arrived damaged"),
        ([bytes_event()], "bytes of no file"),
        ([file_event(size=-1)], "without a size"),
        ([file_event(size=True)], "without a size"),
        ([file_event(sha256="zz")], "without a size or checksum"),
        ([file_event(sha256=None)], "malformed"),
        ([file_event(mode="rwx")], "malformed"),
        ([file_event(backup="other/one")], "was not asked for"),
        ([file_event(size=1 << 62)], "more than"),
        ([{**OK, "id": "other/one"}], "was not asked for"),
        ([{**OK, "facts": {"x": "y" * 70_000}}], "64 KiB of facts"),
        ([file_event(), bytes_event(), OK, OK], "was not asked for"),
        ([OK], "no file"),
        ([], "without a word about app/config"),
        ([{"e": "about", "machine_id": "../../x"}], "machine-id"),
        ([file_event(), {"e": "end", "status": "lost", "reason": "the connection broke"}], "lost: the connection"),
    ],
)
def test_hostile_streams(tmp_path: Path, events: list, says_: str) -> None:
    """Cases 67 and 68, and what a lying or dying host can do to the stream."""
    outcome = gather(tmp_path / "b", {"web-1": [files_item("/x")]}, run=says(*events))
    assert outcome.failures and says_ in outcome.failures[0], outcome.failures
    assert not outcome.manifest["complete"]
    report = verify(sets.load(outcome.path))
    assert not [f for f in report.bad if f.what == "unknown file"]


def test_caps(tmp_path: Path) -> None:
    """Case 68: what is announced is bounded before a byte is taken."""
    items = {"web-1": [files_item("/x")]}
    many = [e for n in range(12) for e in (file_event(f"f{n}"), bytes_event())]
    outcome = gather(tmp_path / "b", items, run=says(*many, OK), limits=Limits(files=10))
    assert "more than 10 files" in outcome.failures[0]
    outcome = gather(tmp_path / "b", items, run=says(*many, OK), limits=Limits(host_bytes=20))
    assert "more than 20 bytes" in outcome.failures[0]


def test_setuid_is_not_kept(tmp_path: Path) -> None:
    outcome = gather(
        tmp_path / "b", {"web-1": [files_item("/x")]}, run=says(file_event(mode=0o6755), bytes_event(), OK)
    )
    assert outcome.manifest["hosts"]["web-1"]["backups"]["app/config"]["files"][0]["mode"] == 0o755


def test_a_dump_that_redis_does_not_load_is_no_backup(tmp_path: Path) -> None:
    item = {**redis_item("/x"), "id": "app/config"}
    data = b"REDIS0010" + b"\x00" * 100
    events = [file_event("dump.rdb", data), bytes_event(data), {**OK, "facts": {"keys": 3}}]
    outcome = gather(tmp_path / "b", {"web-1": [item]}, run=says(*events))
    assert "does not load the copy" in outcome.failures[0]


def test_count_of_host_and_copy_must_agree(tmp_path: Path) -> None:
    with Redis() as redis:
        redis.fill(10)
        item = redis_item(redis.socket)
        events = play({"backups": [item]})
    for event in events:
        if event["e"] == "backup":
            event["facts"]["keys"] = 13
    outcome = gather(tmp_path / "b", {"web-1": [item]}, run=says(*events))
    assert "the copy holds 12 keys, the host counted 13" in outcome.failures[0]
