"""Large contents in pieces: a broken line costs only the file that it cut, and what the disk refuses is told."""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from swarmops.target import wire
from swarmops.target.system import Failed, System
from tests.target.harness import Here, sha

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def wheel(name: str, size: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(f"{name}/__init__.py", "")
        made.writestr(f"{name}/data", os.urandom(size))
    return out.getvalue()


WHEELS = {f"{n}-1-py3-none-any.whl": wheel(n, 200_000) for n in ("one", "two", "three")}


def step(root: Path) -> dict:
    wheels = [{"name": n, "sha256": sha(d), "size": len(d)} for n, d in WHEELS.items()]
    args = {"name": "api", "extras": [], "state": "present", "keep": 3, "root": str(root)}
    return wire.step("api/code", "api", "code", "release", {**args, "python": PYTHON, "wheels": wheels})


def pieces(data: bytes, end: bool = True) -> bytes:
    cut = [data[i : i + 65536] for i in range(0, len(data), 65536)]
    head = b"p" + sha(data).encode()
    return b"".join(wire.frame(head + p) for p in [*cut, *([b""] if end else [])])


def play(here: Here, root: Path, send) -> tuple[list[str], dict]:
    """(what the host asked for, the step's report); `send(child, asked)` answers."""
    child = here.start([step(root)])
    asked, report = [], {}
    for line in child.stdout:
        event = json.loads(line)
        if event["e"] == "need":
            asked += event["contents"]
            send(child, event["contents"])
        elif event["e"] == "step":
            report = event
    if not child.stdin.closed:
        child.stdin.close()
    child.wait(60)
    return asked, report


def test_a_broken_line_costs_only_the_wheel_that_it_cut(tmp_path: Path) -> None:
    here, root = Here(tmp_path / "state"), tmp_path / "opt"
    one, two, three = (sha(d) for d in WHEELS.values())
    by_sha = {sha(d): d for d in WHEELS.values()}

    def cut(child, asked):
        child.stdin.write(pieces(by_sha[one]) + pieces(by_sha[two]) + pieces(by_sha[three][:100_000], end=False))
        child.stdin.close()

    asked, report = play(here, root, cut)
    assert asked == [one, two, three] and report == {}, "nobody is there to be told"
    assert not (root / "api").exists() and not list(root.glob("releases/*"))

    def whole(child, asked):
        for one in asked:
            child.stdin.write(pieces(by_sha[one]))
        child.stdin.flush()

    asked, report = play(here, root, whole)
    assert asked == [three], "the others had landed"
    assert report["s"] == "changed" and (root / "api/lib/three/data").stat().st_size == 200_000
    assert play(here, root, whole)[0] == []
    assert list((tmp_path / "state/incoming").iterdir()) == []


class Link:
    gone = False
    pieces = None

    def emit(self, event, now=True):
        self.asked = event["contents"]


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(Link(), state=str(tmp_path / "state"))


def left(system: System) -> list[str]:
    return [p.name for p in Path(system.incoming.folder).iterdir()]


def test_what_came_must_be_what_was_asked_for(system: System) -> None:
    wanted = sha(b"right")
    system.incoming.ask([wanted])
    for piece in (b"wrong", b""):
        system.link.pieces(wanted, piece)
    with pytest.raises(Failed, match=r"x.whl could not be kept: what came is something else"):
        system.incoming.get(wanted, "x.whl")
    assert left(system) == []
    system.link.pieces(sha(b"never asked"), b"never asked")
    assert left(system) == []


def test_a_full_disk_is_told_and_the_next_file_still_lands(system: System) -> None:
    first, second = sha(b"first"), sha(b"second")
    system.incoming.ask([first, second])
    Path(system.incoming.folder, first + ".part").symlink_to("/dev/full")
    for wanted, data in ((first, b"first"), (first, b""), (second, b"second"), (second, b"")):
        system.link.pieces(wanted, data)
    with pytest.raises(Failed, match=r"x.whl could not be kept: No space left on device"):
        system.incoming.get(first, "x.whl")
    assert Path(system.incoming.get(second, "y.whl")).read_bytes() == b"second"


def test_what_is_left_of_earlier_runs_goes(system: System, tmp_path: Path) -> None:
    folder = tmp_path / "state/incoming"
    folder.mkdir(parents=True)
    for name in ("cut.part", "unused", sha(b"wanted"), sha(b"whole")):
        (folder / name).write_bytes(b"wanted")
    system.incoming.ask([sha(b"wanted")])
    assert not hasattr(system.link, "asked"), "it was here"
    system.incoming.ask([sha(b"whole")])
    assert system.link.asked == [sha(b"whole")], "a power cut has made something else of it"
    assert system.incoming.get(sha(b"wanted"), "z.whl") == str(folder / sha(b"wanted"))
    system.incoming.tidy()
    assert left(system) == [sha(b"wanted")]
