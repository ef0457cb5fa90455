"""What people read of a deploy, and what its options default to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from swarmops.cli._deploy_printers import printer_for

STEP = {"type": "step", "host": "redis-1", "id": "redis/write redis.conf", "ms": 3, "tags": ["config", "redis"]}
FAILED = {
    **STEP,
    "status": "failed",
    "why": "the new /etc/redis/redis.conf is not valid, the old one stays: at line 10\nwrong number of arguments",
    "cmds": [
        [["/bin/true"], 0, "fine"],
        [["check", "x"], 1, "at line 10\nwrong number of arguments\nand \x1b[2J this\n"],
    ],
}


def test_a_failure_says_why_what_ran_and_what_next(capsys: pytest.CaptureFixture[str]) -> None:
    printer_for("text", again="swarmops deploy lan").show(FAILED)
    assert capsys.readouterr().err.splitlines() == [
        "failed       redis-1  redis/write redis.conf",
        "  the new /etc/redis/redis.conf is not valid, the old one stays: at line 10",
        "  wrong number of arguments",
        "  $ check x -> 1",
        "    and \\x1b[2J this",
        "  next: swarmops deploy lan --limit redis-1 --tags config --check --diff",
    ]


def test_the_recap_counts_as_ansible_does(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"ok": 3, "changed": 1, "would": 0, "skipped": 2, "failed": 0}
    recap = {"type": "recap", "hosts": {"a": counts}, "ends": {"a": "done"}, "execs": {"a": 1}, "seconds": 0.5}
    printer_for("text").show(recap)
    assert capsys.readouterr().out == "\na : ok=3  changed=1  skipped=2  failed=0\n1 changed on 1 host in 0.50 s\n"


@pytest.mark.parametrize(("given", "seconds"), [([], 45.0), (["--confirm", "5"], 5.0)])
def test_the_rollback_timer_is_the_declared_one(
    declared: Any,
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    given: list,
    seconds: float,
) -> None:
    from swarmops.delivery import deploy

    seen: list[deploy.Options] = []

    def stop_here(project: object, options: deploy.Options, faults: object) -> None:
        seen.append(options)
        raise SystemExit(0)

    monkeypatch.setattr(deploy, "Deploy", stop_here)
    declared.write("version: 1\nsecurity: {rollback: 45s}\n")
    assert run("deploy", "lan", "--yes", *given)[0] == 0
    assert seen[0].confirm == seconds


def test_backups_that_are_switched_off_are_refused_with_the_line(
    declared: Any, run: Callable[..., tuple[int, str, str]]
) -> None:
    declared.write("version: 1\nbackup: {enabled: false}\n")
    code, _, err = run("collect-backups", "lan")
    said = "distributed.yaml:2:19: backup.enabled: backups of this deployment are switched off"
    assert code == 2 and err.splitlines()[0] == said
