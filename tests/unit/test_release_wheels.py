"""Our own wheel, and what a wheel that nobody vouches for may not do. No network."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmops.delivery.release.own import own_wheel
from swarmops.target.kinds import _wheel
from swarmops.target.system import Failed


@pytest.fixture
def package(tmp_path: Path) -> Path:
    home = tmp_path / "package"
    for name in ("__init__.py", "cli/__init__.py", "runtime/scripts/claim.lua", "planning/plan.py", "target/wire.py"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"-- {name}\n")
    (home / "gateways/page/dist").mkdir(parents=True)
    (home / "gateways/page/dist/index.html").write_text("<p>hello</p>")
    return home


def test_the_same_files_are_the_same_wheel(package: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(package, other)
    (other / "__pycache__").mkdir()
    (other / "__pycache__/x.pyc").write_text("x")
    (other / "cli/__init__.py").chmod(0o755)
    os.utime(other / "cli/__init__.py", (1, 1))
    assert own_wheel(package, "1.0") == own_wheel(other, "1.0")
    assert own_wheel() == own_wheel()


def test_what_services_do_not_use_is_left_out_and_no_reason_for_a_new_release(package: Path) -> None:
    before = own_wheel(package, "1.0")
    (package / "planning/plan.py").write_text("changed")
    assert own_wheel(package, "1.0") == before
    names = zipfile.ZipFile(io.BytesIO(before[1])).namelist()
    assert "swarmops/runtime/scripts/claim.lua" in names and "swarmops/gateways/page/dist/index.html" in names
    assert not [n for n in names if "planning" in n or "target" in n]
    (package / "runtime/scripts/claim.lua").write_text("changed")
    assert own_wheel(package, "1.0") != before


def test_the_record_of_our_wheel_is_right() -> None:
    wheel = zipfile.ZipFile(io.BytesIO(own_wheel()[1]))
    record = next(n for n in wheel.namelist() if n.endswith("/RECORD"))
    rows = dict(line.split(",", 1) for line in wheel.read(record).decode().splitlines())
    assert set(rows) == set(wheel.namelist())
    for name in rows.keys() - {record}:
        digest = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).rstrip(b"=").decode()
        assert rows[name] == f"sha256={digest},{wheel.getinfo(name).file_size}"


def test_every_service_runs_with_what_is_in_our_wheel(tmp_path: Path) -> None:
    """No module of a service imports a room that a release leaves out."""
    zipfile.ZipFile(io.BytesIO(own_wheel()[1])).extractall(tmp_path)
    script = """
import importlib, pathlib, sys
sys.path.insert(0, sys.argv[1])
import swarmops
home = pathlib.Path(swarmops.__file__).parent
assert str(home).startswith(sys.argv[1]), home
rooms = [p for r in ("runtime", "web", "gateways", "workers", "client") for p in (home / r).rglob("*.py")]
for path in [home / "cli/__init__.py", home / "cli/worker.py", *rooms]:
    name = ".".join(path.relative_to(home.parent).with_suffix("").parts).removesuffix(".__init__")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as e:
        assert not (e.name or "").startswith("swarmops"), f"{name} imports {e.name}"
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


# -- wheels that nobody vouches for


PARTS = st.sampled_from(["..", ".", "", "a", "b.py", "x-1.data", "x-1.dist-info", "data", "purelib", "scripts", "lib"])
NAMES = st.lists(PARTS | st.text(max_size=5), min_size=1, max_size=5).map("/".join)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=200)
@given(st.lists(NAMES, min_size=1, max_size=4))
def test_no_member_of_a_wheel_lands_outside_of_its_tree(tmp_path_factory: pytest.TempPathFactory, names) -> None:
    top = tmp_path_factory.getbasetemp() / "members"
    shutil.rmtree(top, ignore_errors=True)
    (top / "tree").mkdir(parents=True)
    with zipfile.ZipFile(top / "w.whl", "w") as made:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name
            made.writestr(info, b"data")
    with contextlib.suppress(Failed, OSError):
        _wheel._unpack(str(top / "w.whl"), str(top / "tree"))
    outside = [p for p in top.rglob("*") if p.is_file() and (top / "tree") not in p.parents]
    assert [p.name for p in outside] == ["w.whl"]


@given(NAMES)
def test_a_place_is_in_the_tree(name: str) -> None:
    try:
        plain = _wheel.archive.plain_name(name)
        placed = _wheel.place(plain)
    except Failed:
        return
    assert not placed.startswith("/") and ".." not in placed.split("/")


def test_all_bits_of_a_wheel_that_count_are_kept(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as made:
        for name, mode in (("a/run", 0o100755), ("a/data", 0o100644), ("a/odd", 0o104777)):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            made.writestr(info, json.dumps(name))
    (tmp_path / "tree").mkdir()
    _wheel._unpack(str(tmp_path / "w.whl"), str(tmp_path / "tree"))
    modes = {p.name: p.stat().st_mode & 0o7777 for p in (tmp_path / "tree/lib/a").iterdir()}
    assert modes == {"run": 0o755, "data": 0o644, "odd": 0o755}
