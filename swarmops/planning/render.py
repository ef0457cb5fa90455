"""What the hosts would get, written below a folder: DIR/<host>/<absolute path>, and how it differs from what is there.

Secret files are written with mode 0600 and never shown. Files of an earlier rendering that nothing renders any more
are removed; others in the folder are left alone.
"""

from __future__ import annotations

import difflib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmops.model.faults import InputError, Mark
from swarmops.planning.plan import Plan
from swarmops.planning.steps import RenderedFile

INDEX = ".rendered.json"  # host -> paths that a rendering wrote
NEW, CHANGED, SAME, GONE = "new", "changed", "same", "gone"
MOST_DIFF = 400  # lines of one file's diff


@dataclass
class Entry:
    """One file of the folder: `state` is new, changed, same or gone (rendered earlier and no more)."""

    host: str
    path: str
    state: str
    file: RenderedFile | None = None
    was: bytes | None = None
    now: bytes = b""

    @property
    def secret(self) -> bool:
        return self.file is not None and self.file.secret

    def as_json(self) -> dict[str, Any]:
        made: dict[str, Any] = {"path": self.path, "state": self.state}
        if f := self.file:
            made |= {"sha256": f.sha, "size": len(self.now), "mode": f.mode, "owner": f.owner, "group": f.group}
            made |= {"secret": f.secret, "role": f.role, "template": f.template, "declared": str(f.mark)}
        return made


@dataclass
class Tree:
    """A folder of rendered files. Raises `InputError` where a link in it leads elsewhere."""

    root: Path
    index: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def at(cls, root: Path) -> Tree:
        """The folder as it is; it need not exist."""
        try:
            index = json.loads((root / INDEX).read_text())
        except (FileNotFoundError, NotADirectoryError):
            index = {}
        except (ValueError, OSError) as e:
            raise InputError.one(f"cannot be read: {e}", mark=Mark(str(root / INDEX)), hint="remove the folder")
        return cls(root, {str(h): [str(p) for p in paths] for h, paths in index.items()})

    def place(self, host: str, path: str) -> Path:
        """Where a host's file is kept, below `root` whatever stands in the way."""
        made = self.root / host / path.lstrip("/")
        for step in [made, *made.parents]:
            if step == self.root:
                return made
            if step.is_symlink():
                raise InputError.one("is a link", mark=Mark(str(step)), hint="remove it: files are written below it")
        raise InputError.one(f"'{path}' is not below {self.root}", mark=Mark(str(made)))

    def compare(self, plans: Mapping[str, Plan], *, whole: bool = True) -> list[Entry]:
        """Each rendered file against the folder. `whole`: what is no longer rendered counts as gone."""
        entries = []
        for host, plan in plans.items():
            skipped = {s["id"] for s in plan.steps if s.get("skip")}
            files = {f.path: f for f in plan.files if f.step not in skipped}
            for path in sorted(files):
                entries.append(self._entry(host, files[path], plan.contents[files[path].sha]))
            for path in self.index.get(host, []) if whole else []:
                if path not in files and self.place(host, path).is_file():
                    entries.append(Entry(host, path, GONE, was=self.place(host, path).read_bytes()))
        return entries

    def _entry(self, host: str, file: RenderedFile, now: bytes) -> Entry:
        place = self.place(host, file.path)
        try:
            was = place.read_bytes() if place.is_file() else None
        except OSError as e:
            raise InputError.one(f"cannot be read: {e.strerror}", mark=Mark(str(place)))
        state = NEW if was is None else SAME if was == now else CHANGED
        return Entry(host, file.path, state, file, was, now)

    def write(self, entries: list[Entry]) -> None:
        """Makes the folder as `entries` say; files that are the same are not touched."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for entry in entries:
                self._write(entry)
            self._write_index(entries)
        except OSError as e:
            raise InputError.one(f"cannot be written: {e.strerror}", mark=Mark(str(e.filename or self.root)))

    def _write(self, entry: Entry) -> None:
        place = self.place(entry.host, entry.path)
        if entry.state == GONE:
            place.unlink()
            _remove_empty(place.parent, self.root)
            return
        mode = 0o600 if entry.secret else 0o755 if _runs(entry) else 0o644
        if entry.state != SAME:
            place.parent.mkdir(parents=True, exist_ok=True)
            _land(place, entry.now, mode)
        elif place.stat().st_mode & 0o777 != mode:
            place.chmod(mode)

    def _write_index(self, entries: list[Entry]) -> None:
        for host in dict.fromkeys(e.host for e in entries):
            paths = set(self.index.get(host, []))
            paths |= {e.path for e in entries if e.host == host and e.state != GONE}
            paths -= {e.path for e in entries if e.host == host and e.state == GONE}
            self.index[host] = sorted(paths)
        text = json.dumps({h: p for h, p in sorted(self.index.items()) if p}, indent=1) + "\n"
        _land(self.root / INDEX, text.encode(), 0o644)


def _land(place: Path, data: bytes, mode: int) -> None:
    """The whole file or nothing, and never readable by others before its mode is right."""
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".swarmops-")
    try:
        with os.fdopen(handle, "wb") as out:
            os.fchmod(out.fileno(), mode)
            out.write(data)
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def diff(entry: Entry) -> str:
    """A unified diff of one entry, bounded; of a secret file only that it differs."""
    name = f"{entry.host}{entry.path}"
    if entry.state == SAME:
        return ""
    if entry.secret or (entry.state == GONE and entry.was is not None and _was_secret(entry)):
        return f"{name}: {entry.state} (secret, {entry.file.mode or '0600' if entry.file else '0600'})\n"
    was, now = _lines(entry.was), _lines(entry.now if entry.state != GONE else None)
    if was is None or now is None:
        return f"{name}: {entry.state} (not text, {len(entry.now)} bytes)\n"
    before = "/dev/null" if entry.state == NEW else f"a/{name}"
    after = "/dev/null" if entry.state == GONE else f"b/{name}"
    made = [line if line.endswith("\n") else line + "\n" for line in difflib.unified_diff(was, now, before, after)]
    if len(made) > MOST_DIFF:
        made = [*made[:MOST_DIFF], f"... and {len(made) - MOST_DIFF} more lines\n"]
    return "".join(made)


def _was_secret(entry: Entry) -> bool:
    """A file that is gone has no declaration any more. Its text is not shown: it may hold a secret."""
    return entry.file is None


def _lines(data: bytes | None) -> list[str] | None:
    if data is None:
        return []
    try:
        return data.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None


def _runs(entry: Entry) -> bool:
    """Whether the file is a program on the host."""
    return bool(entry.file and entry.file.mode and int(entry.file.mode, 8) & 0o100)
