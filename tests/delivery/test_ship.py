"""What goes over the wire before the engine runs."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
import zlib

from swarmops.delivery import ship


def test_the_engine_is_a_sound_zip_of_all_that_runs_on_hosts():
    engine = zipfile.ZipFile(io.BytesIO(ship.bundle()[1]))
    assert engine.testzip() is None
    names = engine.namelist()
    assert names == sorted(names)
    for file in ship.TARGET.rglob("*.py"):
        name = f"swarmops/target/{file.relative_to(ship.TARGET).as_posix()}"
        assert engine.read(name) == file.read_bytes()
    assert engine.read("swarmops/__init__.py") == ship.PLAIN_INIT.encode()


def test_the_frame_holds_the_zip():
    frame = ship.engine_frame()
    assert int(frame[:8], 16) == len(frame) - 8
    assert zlib.decompress(frame[8:]) == ship.bundle()[1]


def test_python_imports_from_the_zip(tmp_path):
    (tmp_path / "engine.zip").write_bytes(ship.bundle()[1])
    code = "from swarmops.target import main; print(main.__file__)"
    argv = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, 'engine.zip'); {code}"]
    said = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "engine.zip" in said


def test_stand_ins_give_the_real_thing_when_called():
    """Fabric is loaded without unittest and the e-mail package, and whoever wants those gets them."""
    code = """
import sys
import swarmops.delivery.transport
assert not {"unittest", "asyncio", "email"} & set(sys.modules), sorted(sys.modules)
import paramiko, invoke
from importlib.metadata import version
assert paramiko.__version__ == version("paramiko")
assert invoke.MockContext(run=invoke.Result("hi")).run("x").stdout == "hi"
from unittest.mock import Mock
assert isinstance(Mock(), Mock)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
