"""`collect-backups`: what is wrong with the destination is said before any host is contacted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROLE = "role: app\nbackups:\n  - {name: config, files: {paths: [/etc/hostname]}}\n"


@pytest.fixture
def app(declared: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Hosts whose role declares a backup; contacting one is a failure."""
    declared.write("version: 1\ninfrastructure: {app: redis}\n")
    (declared.root / "roles/app").mkdir(parents=True)
    (declared.root / "roles/app/role.yaml").write_text(ROLE)
    monkeypatch.setattr("swarmops.cli.collect_backups.fleet_run", lambda *_, **__: pytest.fail("a host was contacted"))
    return declared


@pytest.mark.parametrize("name", ["file", "link", "file/below", "/proc/nowhere"])
def test_a_destination_that_cannot_be_is_wrong_input(app: Any, run: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    to = str(tmp_path / name)
    code, out, err = run("collect-backups", "lan", "--to", to)
    assert (
        (code, out) == (2, "")
        and err.startswith("<command line>: --to: /")
        and err.endswith("1 fault. Nothing was contacted.\n")
    ), err
    app.write(f"version: 1\ninfrastructure: {{app: redis}}\nbackup: {{to: {json.dumps(to)}}}\n")
    code, out, err = run("collect-backups", "lan")
    assert (code, out) == (2, "") and ":3:14: backup.to: /" in err, err
