"""The logs of services, from every host at once, as one stream in the order of time (S4-23)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from swarmops.model.faults import InputError
from swarmops.model.project import Project
from swarmops.operate import remote
from swarmops.operate.plainlogs import Files, Line, moment
from swarmops.operate.units import SYSTEMD, Unit
from swarmops.planning.plan import Plan

COLLECTS = "journal/make the folder for journals"  # the task that only the collector has


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

    since: as journalctl reads it ("-1h", "today", "2026-01-31 12:00"). Raises InputError where there is no journal to
    read it, and it is none of these.
    """
    units = list(wanted)
    mine = {host: [u for u in units if u.host == host] for host in dict.fromkeys(u.host for u in units)}
    readers = {host: _Journal(host) if us[0].manager == SYSTEMD else Files(host, us) for host, us in mine.items()}
    scripts = {host: readers[host].script(us, lines, since, follow) for host, us in mine.items()}
    held: list[Line] = []
    first = moment(since) if any(isinstance(r, Files) for r in readers.values()) else 0.0
    for said in remote.run(project, scripts, follow=follow):
        reader = readers[said.host]
        if said.code is None:
            found = reader.line(said.text)
            if found and isinstance(reader, Files) and (found.at or 0.0) < first:
                continue
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
        said = {key: _text(value) for key, value in entry.items()}
        unit = (said.get("UNIT") or said.get("_SYSTEMD_UNIT") or "").removesuffix(".service")
        host = said.get("_HOSTNAME", self.host) if self._named else self.host
        priority = said.get("PRIORITY", "")
        name = unit or said.get("SYSLOG_IDENTIFIER", "")
        return Line(host, name, said.get("MESSAGE", ""), at, int(priority) if priority in list("01234567") else 6)


def _text(value: Any) -> str:
    """A field as journalctl gives it: text, null, bytes as numbers where it is no text, a list where it is repeated."""
    if isinstance(value, list) and value and all(isinstance(n, int) and 0 <= n < 256 for n in value):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return "" if value is None else str(value)
