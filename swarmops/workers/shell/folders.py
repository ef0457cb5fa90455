"""A folder for each attempt at a task: `tasks/<id>-<attempt>/` with `work/` (its own), `output.log` and `result.json`.

Only `work/` belongs to the command; the others are the worker's, so that what a command did cannot be rewritten by it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Folders:
    """Below `home`. user: whose `work/` is, "" for our own. keep and most: see Rules."""

    def __init__(self, home: Path, user: str = "", keep: float = 3600.0, most: int = 100):
        self.home, self.keep, self.most = home / "tasks", keep, most
        found = pwd.getpwnam(user) if user else None
        self.owner = (found.pw_uid, found.pw_gid) if found else None
        self.open: set[str] = set()

    def prepare(self) -> None:
        """Another user can pass through ours to its own, and see nothing on the way."""
        self.home.mkdir(parents=True, exist_ok=True)
        passing = 0o711 if self.owner else 0o700
        for folder in (self.home.parent, self.home):
            folder.chmod(passing)

    @contextlib.contextmanager
    def folder(self, task: str, attempt: int) -> Iterator[Path]:
        """A new one, which stays for a while when the task has ended."""
        place = self.home / f"{task}-{attempt}"
        if place.exists():  # an attempt of the same number, from before Redis was restored from a backup
            _remove(place)
        place.mkdir(mode=0o700)
        work = place / "work"
        work.mkdir(mode=0o700)
        (work / "tmp").mkdir(mode=0o700)
        if self.owner:
            place.chmod(0o711)
            for own in (work / "tmp", work):
                os.chown(own, *self.owner)
        self.open.add(place.name)
        try:
            yield place
        finally:
            self.open.discard(place.name)

    def sweep(self) -> int:
        """Remove what is too old or too much; how many."""
        closed = [p for p in self.home.iterdir() if p.name not in self.open]
        newest = sorted(closed, key=_age, reverse=True)
        gone = [p for i, p in enumerate(newest) if i >= self.most or time.time() - _age(p) > self.keep]
        for place in gone:
            _remove(place)
        return len(gone)

    def results(self, place: Path, patterns: tuple[str, ...], most: int, limit: int) -> dict[str, bytes]:
        """The files that fit, by their names below `work/`: plain ones within it only, no links, none over `limit`."""
        work, found = place / "work", {}
        for path in sorted({p for pattern in patterns for p in work.glob(pattern)})[:most]:
            if path.is_symlink() or not path.resolve().is_relative_to(work.resolve()):
                continue
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                with os.fdopen(fd, "rb") as f:
                    about = os.fstat(fd)
                    if stat.S_ISREG(about.st_mode) and about.st_nlink == 1 and about.st_size <= limit:
                        found[str(path.relative_to(work))] = f.read(limit)
        return found


def write_result(place: Path, result: Mapping[str, Any]) -> None:
    """All of it or nothing, so that who looks never sees half (S2-22)."""
    temporary = place / ".result.json"
    with open(temporary, "w") as f:
        json.dump(result, f)
        f.flush()
        os.fsync(f.fileno())
    temporary.replace(place / "result.json")


def _age(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _remove(path: Path) -> None:
    """Also what the command made unreadable."""

    def retry(function: Any, at: str, error: Any) -> None:
        with contextlib.suppress(OSError):
            Path(at).parent.chmod(0o700)
            if not Path(at).is_symlink():  # what it points to is none of ours
                Path(at).chmod(0o700)
            function(at)

    shutil.rmtree(path, onerror=retry)
