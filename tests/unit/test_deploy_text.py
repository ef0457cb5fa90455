"""What people read of a deploy."""

from __future__ import annotations

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
