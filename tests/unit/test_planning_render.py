"""`swarmops render`: the folder it writes, and the differences it shows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from planning_project import Planned

from swarmops.cli.render import command
from swarmops.model.faults import InputError

SECRET = "s3cret-of-16-letters-and-more"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    monkeypatch.setenv("SWARMOPS_SECRET_REDIS_APP", SECRET)
    small = Planned(tmp_path / "project").role(
        "vars: {v: 1}\n"
        "tasks:\n"
        "  - {name: a, template: {src: a.j2, dest: /etc/app/a.conf, mode: '0644'}, tags: [conf]}\n"
        "  - {name: b, copy: {content: \"{{ secret('redis.app') }}{{ v }}\", dest: /etc/app/pass, mode: '0640'}}\n"
        "  - {name: c, copy: {content: 'true', dest: /usr/local/bin/c, mode: '0755'}, when: \"v | int == 1\"}\n"
    )
    return small.template("host {{ inventory_hostname }}\nv {{ v }}\n", "app/a.j2")


def run(small: Planned, *words: str) -> Result:
    out = small.root.parent / "out"
    return CliRunner().invoke(
        command, ["--project", str(small.root), "--out", str(out), *words], catch_exceptions=False
    )


def test_writes_each_file_and_secrets_for_us_alone(small: Planned) -> None:
    old = os.umask(0)
    try:
        assert run(small).exit_code == 0
    finally:
        os.umask(old)
    out = small.root.parent / "out"
    assert (out / "w1/etc/app/a.conf").read_text() == "host w1\nv 1\n"
    assert (out / "w1/etc/app/pass").read_text() == SECRET + "1"
    modes = [(out / "w1" / p).stat().st_mode & 0o777 for p in ("etc/app/a.conf", "etc/app/pass", "usr/local/bin/c")]
    assert modes == [0o644, 0o600, 0o755]


def test_diff_shows_and_writes_nothing_and_keeps_secrets(small: Planned) -> None:
    run(small)
    result = run(small, "--diff", "-e", "app_v=2")
    assert "-v 1\n+v 2\n" in result.stdout and "r1/etc/app/pass: changed (secret, 0640)\n" in result.stdout
    assert SECRET not in result.output and "+SECRET" not in result.output
    assert "r1/usr/local/bin/c" in result.stdout, "what is no longer rendered is shown as gone"
    assert (small.root.parent / "out/r1/etc/app/a.conf").read_text() == "host r1\nv 1\n"


def test_a_second_run_changes_nothing_and_stale_files_go(small: Planned) -> None:
    run(small)
    out = small.root.parent / "out"
    (out / "r1/notes.txt").write_text("mine")
    before = (out / "r1/etc/app/a.conf").stat().st_mtime_ns
    assert run(small).stdout == "" and (out / "r1/etc/app/a.conf").stat().st_mtime_ns == before
    run(small, "-e", "app_v=2", "-l", "r1")
    assert not (out / "r1/usr").exists() and (out / "w1/usr/local/bin/c").exists()
    assert (out / "r1/notes.txt").read_text() == "mine"


def test_tags_and_json(small: Planned) -> None:
    result = run(small, "-t", "conf", "-l", "edge", "--json")
    made = json.loads(result.stdout)
    assert made["schema"] == "swarmops.render/1" and list(made["hosts"]) == ["w1", "w2"]
    (file,) = made["hosts"]["w1"]
    assert (file["path"], file["state"], file["role"], file["template"]) == (
        "/etc/app/a.conf",
        "new",
        "app",
        "templates/app/a.j2",
    )
    assert file["declared"] == "roles/app/role.yaml:4:31" and file["secret"] is False


def test_a_link_in_the_folder_is_not_followed(small: Planned, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (small.root.parent / "out").mkdir()
    (small.root.parent / "out/r1").symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a link"):
        run(small)
    assert not list(elsewhere.iterdir())


def test_a_folder_that_cannot_be_written(small: Planned) -> None:
    (small.root.parent / "out").write_text("a file")
    with pytest.raises(InputError, match="cannot be"):
        run(small)


def test_faults_stop_it_before_anything_is_written(small: Planned) -> None:
    small.template("{{ nope }}", "app/a.j2")
    with pytest.raises(InputError, match=r"templates/app/a.j2:1: 'nope' is not set for r1, w1, w2"):
        run(small)
    assert not (small.root.parent / "out").exists()
