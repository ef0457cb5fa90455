"""Log lines, and the plain log files of programs that no journald looks after: when was what said?"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from swarmops.model.faults import InputError
from swarmops.operate.units import Unit

# What Redis writes, and what Python's logging does; both in the machine's own time.
_REDIS = re.compile(r"\d+:[A-Z] (\d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}) ")
_PYTHON = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)[,.](\d{3})")
_AGO = re.compile(r"-?(\d+) ?(s|sec|m|min|h|d|days?|w|weeks?)( ago)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True)
class Line:
    """One log line. at: seconds since 1970, None where the log has no times. priority: syslog's, 3 and less is bad."""

    host: str
    unit: str
    text: str
    at: float | None = None
    priority: int = 6

    def as_dict(self) -> dict[str, Any]:
        return {"host": self.host, "unit": self.unit, "at": self.at, "priority": self.priority, "text": self.text}

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.at, UTC).strftime("%m-%d %H:%M:%S.%f")[:-3] + " " if self.at else ""
        return f"{when}{self.host} {self.unit}: {self.text}"


def moment(since: str, now: datetime | None = None) -> float:
    """Seconds since 1970 of a time as journalctl takes it, as far as people use that; 0 for "". Raises InputError."""
    now = now or datetime.now()
    words = since.strip().lower()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if not words:
        return 0.0
    if words in named:
        return named[words].timestamp()
    if ago := _AGO.fullmatch(words):
        return now.timestamp() - int(ago[1]) * _SECONDS[ago[2][0]]
    try:
        if re.fullmatch(r"\d\d:\d\d(:\d\d)?", words):
            words = f"{now:%Y-%m-%d} {words}"
        return datetime.fromisoformat(words).timestamp()
    except ValueError:
        hint = "-1h, today, 2026-01-31 12:00"
        raise InputError.one(f"{since[:80]!r} is no time", path="--since", hint=hint) from None


class Files:
    """The log files of one host. A line without a time was said when the one before it was."""

    def __init__(self, host: str, units: list[Unit]):
        self.host, self.last = host, ""
        self._now = units[0].name
        self._files = {u.log_file: u.name for u in units}
        self._at: dict[str, float] = {}

    def script(self, units: list[Unit], lines: int, since: str, follow: bool) -> str:
        return shlex.join(["tail", "-v", "-n", str(lines), *(["-F"] if follow else []), *self._files])

    def line(self, text: str) -> Line | None:
        if text.startswith("==> ") and text.endswith(" <=="):
            self._now = self._files.get(text[4:-4], self._now)
            return None
        if text.startswith("tail: "):
            self.last = text
            return None
        if at := _time_of(text):
            self._at[self._now] = at
        return Line(self.host, self._now, text, self._at.get(self._now)) if text else None


def _time_of(text: str) -> float:
    """When a line says that it was written; 0 when it says nothing."""
    try:
        if found := _PYTHON.match(text):
            return datetime.fromisoformat(f"{found[1]}.{found[2]}").timestamp()
        if found := _REDIS.match(text):
            return datetime.strptime(found[1], "%d %b %Y %H:%M:%S.%f").timestamp()
    except ValueError:
        pass
    return 0.0
