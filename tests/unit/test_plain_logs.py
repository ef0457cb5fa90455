"""Plain log files: the time of a line, and what --since means where no journal reads it."""

from __future__ import annotations

from datetime import datetime

import pytest

from swarmops.model.faults import InputError
from swarmops.operate.plainlogs import Files, moment
from swarmops.operate.units import SUPERVISOR, Unit

NOW = datetime(2026, 3, 4, 15, 30, 10)


@pytest.mark.parametrize(
    ("since", "then"),
    [
        ("-1h", datetime(2026, 3, 4, 14, 30, 10)),
        ("10 min ago", datetime(2026, 3, 4, 15, 20, 10)),
        ("-2d", datetime(2026, 3, 2, 15, 30, 10)),
        ("today", datetime(2026, 3, 4)),
        ("yesterday", datetime(2026, 3, 3)),
        ("2026-01-31 12:00", datetime(2026, 1, 31, 12)),
        ("12:05", datetime(2026, 3, 4, 12, 5)),
    ],
)
def test_since(since: str, then: datetime) -> None:
    assert moment(since, NOW) == then.timestamp()


def test_since_that_is_no_time() -> None:
    assert moment("") == 0.0
    for wrong in ("garbage", "-1y", "2026-13-01", "25:00"):
        with pytest.raises(InputError, match="is no time"):
            moment(wrong, NOW)


def test_lines_have_the_time_that_they_say_or_that_of_the_line_before() -> None:
    units = [Unit("h", r, r, SUPERVISOR, {"args": {"config": "/s/config/supervisord.conf"}}) for r in ("npu", "redis")]
    reader = Files("h", units)
    said = """\
==> /s/logs/npu.log <==
it begins
2026-03-04 15:30:10,250 INFO works
  more of it
==> /s/logs/redis.log <==
77:M 04 Mar 2026 15:30:09.100 * Ready to accept connections"""
    found = [line for text in said.splitlines() if (line := reader.line(text))]
    at = NOW.timestamp()
    assert [(line.unit, line.at) for line in found] == [
        ("npu", None), ("npu", at + 0.25), ("npu", at + 0.25), ("redis", at - 0.9)
    ]  # fmt: skip
    assert reader.line("tail: no such file") is None and reader.last == "tail: no such file"
