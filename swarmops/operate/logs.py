"""The logs of services, from every host at once, as one stream in the order of time (S4-23)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from swarmops.model.faults import InputError
from swarmops.model.project import Project
from swarmops.operate import remote
from swarmops.operate.units import SYSTEMD, Unit
from swarmops.planning.plan import Plan

COLLECTS = "journal/make the folder for journals"  # the task that only the collector has


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


@dataclass(frozen=True)
class Trouble:
    """Logs that could not be read. code: 3 when the host is out of reach."""

    host: str
    why: str
    code: int


def read(
    project: Project, wanted: Iterable[Unit], *, lines: int = 100, since: str = "", follow: bool = False
) -> Iterator[Line | Trouble]:
    """The newest `lines` of each unit, sorted by time; with `follow` then what comes, as it comes.

    since: as journalctl reads it ("-1h", "today", "2026-01-31 12:00"); on hosts with plain log files it is not known.
    """
    units = list(wanted)
    mine = {host: [u for u in units if u.host == host] for host in dict.fromkeys(u.host for u in units)}
    readers = {host: _Journal(host) if us[0].manager == SYSTEMD else _Files(host, us) for host, us in mine.items()}
    scripts = {host: readers[host].script(us, lines, since, follow) for host, us in mine.items()}
    held: list[Line] = []
    for said in remote.run(project, scripts, follow=follow):
        reader = readers[said.host]
        if said.code is None:
            found = reader.line(said.text)
            if found and follow:
                yield found
            elif found:
                held.append(found)
        elif said.code:
            yield Trouble(said.host, said.text or reader.last or f"exit code {said.code}", said.code)
    yield from sorted(held, key=lambda line: line.at or 0.0)


def collected(
    project: Project, plans: Mapping[str, Plan], hosts: Iterable[str], *, lines: int = 100, since: str = ""
) -> Iterator[Line | Trouble]:
    """What the collector has of these hosts (role journal), also of one that is gone. Raises InputError."""
    where, folder = _collector(plans)
    words = ["journalctl", "--quiet", "--output=json", "--all", f"--directory={folder}", f"--lines={lines}"]
    words += [*([f"--since={since}"] if since else []), *(f"_HOSTNAME={name}" for name in hosts)]
    reader = _Journal(where, named=True)
    for said in remote.run(project, {where: shlex.join(words)}):
        if said.code is None and (found := reader.line(said.text)):
            yield found
        elif said.code:
            yield Trouble(where, said.text or reader.last or f"exit code {said.code}", said.code)


def _collector(plans: Mapping[str, Plan]) -> tuple[str, str]:
    for name, plan in plans.items():
        for step in plan.steps:
            if step["id"] == COLLECTS and not step.get("skip"):
                return name, str(step["args"]["path"])
    raise InputError.one("no host collects journals", hint="infrastructure: {journal: all}")


class _Journal:
    """What journald has, as its JSON. named: lines are of the hosts that they name."""

    def __init__(self, host: str, named: bool = False):
        self.host, self.last, self._named = host, "", named

    def script(self, units: list[Unit], lines: int, since: str, follow: bool) -> str:
        words = ["journalctl", "--quiet", "--output=json", "--all", f"--lines={lines}"]
        words += [*(f"--unit={u.name}" for u in units), *([f"--since={since}"] if since else [])]
        return shlex.join([*words, *(["--follow"] if follow else [])])

    def line(self, text: str) -> Line | None:
        try:
            entry = json.loads(text)
            at = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        except (ValueError, KeyError, TypeError):
            self.last = text.strip() or self.last  # what went wrong is said in words
            return None
        message = entry.get("MESSAGE") or ""
        if isinstance(message, list):  # journalctl gives bytes where it is no text
            message = bytes(message).decode("utf-8", "replace")
        unit = str(entry.get("UNIT") or entry.get("_SYSTEMD_UNIT") or "").removesuffix(".service")
        host = str(entry.get("_HOSTNAME", self.host)) if self._named else self.host
        name = unit or str(entry.get("SYSLOG_IDENTIFIER", ""))
        return Line(host, name, str(message), at, int(entry.get("PRIORITY") or 6))


class _Files:
    """Log files of programs that no journald looks after. They say themselves when something was."""

    def __init__(self, host: str, units: list[Unit]):
        self.host, self.last = host, ""
        self._now = units[0].name
        self._files = {u.log_file: u.name for u in units}

    def script(self, units: list[Unit], lines: int, since: str, follow: bool) -> str:
        return shlex.join(["tail", "-v", "-n", str(lines), *(["-F"] if follow else []), *self._files])

    def line(self, text: str) -> Line | None:
        if text.startswith("==> ") and text.endswith(" <=="):
            self._now = self._files.get(text[4:-4], self._now)
            return None
        if text.startswith("tail: "):
            self.last = text
            return None
        return Line(self.host, self._now, text) if text else None
