"""Restore: from a set into a folder here, or onto a host. Everything is verified before anything is touched.

Refused before a host is changed: a damaged set (case 69), one that lacks something of the host, unless a backup is
named, a set of another deployment or machine without `force` (70), a target that holds data without `replace` (71).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from swarmops.backups import scratch
from swarmops.backups.landing import BackupError, Folder, free_bytes
from swarmops.backups.sets import Set
from swarmops.backups.verify import Report, check_file, sealed, verify

PART = 4 << 20  # bytes that travel to a host in one piece
Run = Callable[[dict[str, dict], dict[str, Mapping[str, bytes]]], Iterable[tuple[str, dict]]]


@dataclass(frozen=True)
class Options:
    """What the user allows."""

    check: bool = False
    force: bool = False
    replace: bool = False


def backups_of(one: Set, host: str, only: Collection[str] = ()) -> dict[str, dict]:
    """What is to be restored of `host`, by id: the backups that are named, or else all. Raises `BackupError` when one
    of these was not collected: whoever restores a host believes afterwards that all of it is back."""
    if one.manifest is None:
        raise BackupError(f"{one.name}: {one.problem}")
    if host not in one.manifest["hosts"]:
        known = ", ".join(sorted(one.manifest["hosts"])) or "no host"
        raise BackupError(f"{one.name} has nothing of {host} (it has {known})")
    record = one.manifest["hosts"][host]
    good = {i: b for i, b in record["backups"].items() if b["ok"] and b["files"]}
    if unknown := [i for i in only if i not in record["backups"]]:
        known = ", ".join(record["backups"]) or "none"
        raise BackupError(f"{one.name} has no backup '{unknown[0]}' of {host} (it has {known})")
    missing = {i: b["reason"] for i, b in record["backups"].items() if not b["ok"] and (not only or i in only)}
    if not missing and not only and not record["complete"]:
        missing = {"": record["reason"] or "the host did not come to its end"}
    if missing:
        raise BackupError(_refusal(one, host, missing, list(good)))
    found = {i: b for i, b in good.items() if not only or i in only}
    if not found:
        raise BackupError(f"{one.name} has no files of {host} to restore")
    return found


def _refusal(one: Set, host: str, missing: Mapping[str, str], good: list[str]) -> str:
    """A line for each backup that is not there, and what can be done."""
    lines = [
        f"refused  {f'{host} {i}'.strip()}: was not collected: {' '.join(why.split())}" for i, why in missing.items()
    ]
    rest = f" ({' '.join(f'--backup {i!r}' for i in good)} restores what is there)" if good else ""
    return "\n".join([*lines, f"{one.name} does not hold all of {host}, nothing was touched{rest}"])


def proven(one: Set, host: str, keys: list[Any] | None) -> Report:
    """Verify what is there of `host`. Raises `BackupError` when anything is wrong; what could not be run is in
    the report."""
    if one.manifest and one.manifest["recipients"] and not keys:
        raise BackupError(f"{one.name} is encrypted: --identity FILE opens it")
    report = verify(one, keys=keys, hosts={host})
    report.findings = [f for f in report.findings if f.what != "collected"]  # of backups that nobody asked for
    if wrong := report.bad:
        where = f"{wrong[0].host}: {wrong[0].backup}: " if wrong[0].backup else ""
        raise BackupError(f"{one.name} is damaged, nothing was touched: {where}{wrong[0].detail}")
    return report


def to_folder(
    one: Set, host: str, folder: Path, *, keys: list[Any] | None = None, only: Collection[str] = ()
) -> Report:
    """Write the plain files of `host` to `folder`/`<backup>`/, which must be new or empty, and boot a scratch
    Redis on each dump there. Raises `BackupError`."""
    chosen = backups_of(one, host, only)
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise BackupError(f"{folder} is not empty; a restore overwrites nothing here")
    report = proven(one, host, keys)
    need = sum(f["size"] for b in chosen.values() for f in b["files"])
    if need > free_bytes(folder):
        raise BackupError(f"{folder} has {free_bytes(folder)} bytes free, the restore needs {need}")
    with Folder.open(one.path) as source, Folder.open(folder, make=True) as target:
        assert one.manifest is not None
        inside = sealed(one.manifest, source, keys)
        for id_, backup in chosen.items():
            home = Path(backup["files"][0]["path"]).parts[1]
            for file in backup["files"]:
                with target.create(f"{home}/{file['name']}") as f:
                    check_file(source, file, inside, keys, f.write)
            if backup["source"] == "redis_dump":
                _drill(target.path / home / "dump.rdb", host, id_, backup, report)
    return report


def _drill(dump: Path, host: str, id_: str, backup: dict, report: Report) -> None:
    """The restored copy must hold what was recorded."""
    try:
        found = scratch.examine(dump)
    except scratch.NotRun as e:
        report.add(None, "restored copy", str(e), host, id_)
    except scratch.Broken as e:
        report.add(False, "restored copy", str(e), host, id_)
    else:
        told = backup["facts"].get("keys")
        detail = f"{found.keys} keys of {told}, digest {found.digest[:12]} ({found.seconds:.2f} s)"
        report.add(found.keys == told, "restored copy", detail, host, id_)


class Parts(Mapping[str, bytes]):
    """Pieces of the files that travel to a host, read when they are asked for: sha256 -> bytes."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[BinaryIO, int, int]] = {}

    def add(self, file: BinaryIO) -> list[str]:
        """Cut `file` into pieces. Returns their names in order."""
        names, at = [], 0
        while piece := os.pread(file.fileno(), PART, at):
            name = hashlib.sha256(piece).hexdigest()
            self._places[name] = (file, at, len(piece))
            names.append(name)
            at += len(piece)
        return names

    def __getitem__(self, name: str) -> bytes:
        file, at, size = self._places[name]
        return os.pread(file.fileno(), size, at)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class Restore:
    """A restore onto a host. Use as a context: it keeps opened copies for as long as it lasts."""

    def __init__(self, one: Set, host: str, target: str, items: Iterable[dict], deployment: str):
        """items: the backups that the roles declare for `target` now; where to put things is taken from
        there."""
        self.one, self.host, self.target, self.deployment = one, host, target, deployment
        self.items = {item["id"]: item for item in items}
        self._stack = contextlib.ExitStack()
        self._parts = Parts()

    def __enter__(self) -> Restore:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def prepare(self, keys: list[Any] | None, options: Options, only: Collection[str] = ()) -> Report:
        """Verify, and open what is going to travel. Raises `BackupError` with the reason to refuse."""
        chosen = backups_of(self.one, self.host, only)
        assert self.one.manifest is not None
        made_by = self.one.manifest["deployment"]
        if made_by != self.deployment and not options.force:
            text = f"{self.one.name} is of the deployment '{made_by}', this is '{self.deployment}'"
            raise BackupError(f"{text} (--force if that is meant)")
        if self.target != self.host and not options.force:
            raise BackupError(f"it is a backup of {self.host}, not of {self.target} (--force if that is meant)")
        lacking = [i for i in chosen if i not in self.items]
        if lacking:
            text = f"the roles of {self.target} declare no backup '{lacking[0]}', so where it goes is not known"
            raise BackupError(f"{text} (--to-dir DIR restores the files here)")
        report = proven(self.one, self.host, keys)
        folder = self._stack.enter_context(Folder.open(self.one.path))
        inside = sealed(self.one.manifest, folder, keys)
        self._send = [self._item(i, b, folder, inside, keys) for i, b in chosen.items()]
        self._keys = {i: b["facts"].get("keys") for i, b in chosen.items()}
        return report

    def since(self) -> list[str]:
        """What the roles declare now and the set knows nothing of."""
        assert self.one.manifest is not None
        return sorted(set(self.items) - set(self.one.manifest["hosts"][self.host]["backups"]))

    def _item(self, id_: str, backup: dict, folder: Folder, inside: dict, keys: list[Any] | None) -> dict[str, Any]:
        files = []
        wanted = [f for f in backup["files"] if backup["source"] != "redis_dump" or f["name"] == "dump.rdb"]
        for file in wanted:
            sha = file["sha256"] or inside["sha256"][file["path"]]
            parts = self._parts.add(self._opened(file, folder, inside, keys))
            kept = {k: file[k] for k in ("name", "size", "mode", "owner", "group")}
            files.append({**kept, "sha256": sha, "parts": parts})
        item = self.items[id_]
        return {"id": id_, "source": item["source"], "args": item["args"], "files": files}

    def _opened(self, file: dict, folder: Folder, inside: dict, keys: list[Any] | None) -> BinaryIO:
        """The plain file, checked once more as it is opened. An encrypted one is decrypted to memory."""
        if file["sha256"] is not None:
            return self._stack.enter_context(folder.open_file(file["path"]))
        try:
            private = scratch.Private(file["size"])
        except scratch.NotRun as e:
            raise BackupError(str(e)) from None
        self._stack.callback(private.close)
        check_file(folder, file, inside, keys, private.file.write)
        private.file.flush()
        return self._stack.enter_context(open(private.path, "rb", buffering=0))

    def play(self, run: Run, options: Options) -> list[dict]:
        """Let the host do it, or in check mode say what it would do. Returns one event per backup: ok, status
        (restored, would, refused, failed), reason, facts. Raises `BackupError` when the host cannot be
        reached or is lost on the way."""
        assert self.one.manifest is not None
        machine = self.one.manifest["hosts"][self.host]["machine_id"]
        allowed = {"check": options.check, "force": options.force, "replace": options.replace}
        items = [{**i, "options": {**allowed, "keys": self._keys[i["id"]]}} for i in self._send]
        envelope = {"mode": "backup", "restore": items, "expect": {"machine_id": machine}}
        results = []
        for _, event in run({self.target: envelope}, {self.target: self._parts}):
            if event["e"] == "restore":
                results.append(event)
            elif event["e"] == "end" and event["status"] != "done":
                raise BackupError(f"{self.target}: {event['status']}: {event.get('reason')}")
        if len(results) != len(items):
            raise BackupError(f"{self.target} answered for {len(results)} of {len(items)} backups")
        return results
