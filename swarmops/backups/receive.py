"""What one host sends, checked as it comes and written as it comes. Nothing it says is believed before it is
shown."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from swarmops.backups import encrypt, scratch
from swarmops.backups.landing import BackupError, Folder, Hostile, check_name, free_bytes, slug, why
from swarmops.target.wire import MAX_TEXT

MARGIN = 16 << 20  # bytes that stay free on the disk, for the manifest


@dataclass(frozen=True)
class Limits:
    """What one host may send: bytes and files in one run."""

    host_bytes: int = 100 << 30
    files: int = 100_000


@dataclass
class _File:
    """The file that is being received."""

    entry: dict[str, Any]
    sink: encrypt.Plain
    digest: Any
    left: int
    copy: Any = None  # a plain copy in memory, of what will be proven and must not lie on the disk


class Receiver:
    """Takes the events of one host. `record` is what the manifest says of it."""

    def __init__(self, host: str, items: Iterable[dict], folder: Folder, to: list[Any], limits: Limits, home: str = ""):
        self.host, self.folder, self.to, self.limits = host, folder, to, limits
        self.home = home or slug(host)
        self.items = {item["id"]: item for item in items}
        self.record: dict[str, Any] = {"machine_id": "", "complete": False, "reason": "", "backups": {}}
        self.proofs: dict[str, scratch.Private] = {}  # backup id -> its plain dump, in memory
        self.notes: dict[str, str] = {}  # backup id -> why there is none
        self._slugs: dict[str, str] = {}
        self._file: _File | None = None
        self._waiting: dict[str, list[dict]] = {}
        self._sent = self._files = 0
        self.failed = False
        for id_ in sorted(self.items):
            name, n = slug(id_), 1
            while name in self._slugs.values():
                n += 1
                name = f"{slug(id_)}-{n}"
            self._slugs[id_] = name

    def event(self, event: dict[str, Any]) -> None:
        """One event of the host. What it does wrong ends its part; nothing is raised."""
        if event["e"] == "end":
            self._end(event)
            return
        if self.failed:
            return
        try:
            handler = getattr(self, f"_on_{event['e']}", None)
            if handler:
                handler(event)
        except Hostile as e:
            self._fail(f"refused: the host sent {e}")
        except BackupError as e:
            self._fail(str(e))
        except OSError as e:
            self._fail(str(why(e, self.folder.path / self.home)))
        except (KeyError, TypeError, ValueError):
            self._fail(f"refused: the host sent a malformed '{event['e']}' event")

    # -- events

    def _on_about(self, event: dict) -> None:
        id_ = str(event["machine_id"])
        if not re.fullmatch(r"[0-9a-f]{0,64}", id_):
            raise Hostile("a machine-id that is none")
        self.record["machine_id"] = id_

    def _on_file(self, event: dict) -> None:
        if self._file is not None:
            raise Hostile(f"too few bytes of {self._file.entry['name']!a}")
        id_, size, sha = event["backup"], event["size"], event["sha256"]
        if id_ not in self.items or id_ in self.record["backups"]:
            raise Hostile(f"a file of {str(id_)[:60]!a}, which was not asked for")
        if type(size) is not int or size < 0 or not re.fullmatch("[0-9a-f]{64}", sha):
            raise Hostile("a file without a size or checksum")
        name = check_name(event["name"])
        self._count(size)
        path = f"{self.home}/{self._slugs[id_]}/{name}{encrypt.SUFFIX if self.to else ''}"
        entry = {"path": path, "name": name, "size": size, "sha256": sha, "mode": int(event["mode"]) & 0o777}
        entry.update({key: str(event.get(key) or "")[:64] for key in ("owner", "group")})
        copy = self._copy(id_, name, size) if self.to else None
        file = self.folder.create(path)
        sink = encrypt.Sealed(file, self.to) if self.to else encrypt.Plain(file)
        self._file = _File(entry, sink, hashlib.sha256(), size, copy)
        self._pending(id_).append(entry)
        if size == 0:
            self._close()

    def _count(self, size: int) -> None:
        self._files += 1
        self._sent += size
        if self._files > self.limits.files:
            raise Hostile(f"more than {self.limits.files} files")
        if self._sent > self.limits.host_bytes:
            raise Hostile(f"more than {self.limits.host_bytes} bytes (see --max-size)")
        free = free_bytes(self.folder.path)
        if size + MARGIN > free:
            raise BackupError(f"the disk is full: {size} bytes to come, {self.folder.path} has {free} free")

    def _on_bytes(self, event: dict) -> None:
        file, data = self._file, event["data"]
        if file is None:
            raise Hostile("bytes of no file")
        if len(data) > file.left:
            raise Hostile(f"more bytes of {file.entry['name']!a} than the {file.entry['size']} announced")
        file.left -= len(data)
        file.digest.update(data)
        file.sink.write(data)
        if file.copy:
            file.copy.write(data)
        if file.left == 0:
            self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        assert file is not None
        if file.copy:
            file.copy.flush()
        stored, sha = file.sink.close()
        if file.digest.hexdigest() != file.entry["sha256"]:
            raise BackupError(f"{file.entry['name']!a} arrived damaged: its checksum differs")
        file.entry.update(stored_size=stored, stored_sha256=sha)

    def _on_backup(self, event: dict) -> None:
        id_ = event["id"]
        if id_ not in self.items or id_ in self.record["backups"]:
            raise Hostile(f"a result of {str(id_)[:60]!a}, which was not asked for")
        facts = event.get("facts") or {}
        if not isinstance(facts, dict) or len(json.dumps(facts)) > MAX_TEXT:
            raise Hostile("more than 64 KiB of facts")
        ok = event["ok"] is True
        if self._file is not None:
            if ok:
                raise Hostile(f"too few bytes of {self._file.entry['name']!a}")
            self._abandon()
        self._result(id_, ok, str(event.get("reason") or "")[:2000], facts)

    def _result(self, id_: str, ok: bool, reason: str, facts: dict) -> None:
        item, files = self.items[id_], self._pending(id_)
        if ok and not files and not facts:
            ok, reason = False, "the host sent no file"
        if not ok:
            shutil.rmtree(self.folder.path / self.home / self._slugs[id_], ignore_errors=True)
            self.forget(id_)
            files = []
        kept = {key: item.get(key) for key in ("role", "name", "source", "keep")}
        more = {"ok": ok, "reason": reason, "facts": facts, "proof": None, "files": files}
        self.record["backups"][id_] = {**kept, **more}
        self._waiting.pop(id_, None)

    # -- the end

    def _end(self, event: dict) -> None:
        if not self.failed and event["status"] != "done":
            self._fail(f"{event['status']}: {event.get('reason') or 'no reason given'}"[:2000])
        missing = sorted(set(self.items) - set(self.record["backups"]))
        if not self.failed and missing:
            self._fail(f"the host ended without a word about {', '.join(missing)}")
        self.settle()

    def settle(self) -> None:
        """Say whether everything declared is there."""
        backups = self.record["backups"]
        self.record["complete"] = (
            not self.failed and set(backups) == set(self.items) and all(b["ok"] for b in backups.values())
        )

    def _fail(self, reason: str) -> None:
        """The host's part is over. What it sent is removed, so that the set holds nothing unlisted."""
        self.failed = True
        self._abandon()
        self.record["reason"] = reason
        for id_ in list(self.proofs):
            self.forget(id_)
        for id_ in self.items:
            if not self.record["backups"].get(id_, {}).get("ok"):
                self._result(id_, False, reason, {})
        kept = any(b["files"] for b in self.record["backups"].values())
        if not kept:
            shutil.rmtree(self.folder.path / self.home, ignore_errors=True)

    def _abandon(self) -> None:
        if self._file is not None:
            self._file.sink.abandon()
            self._file = None

    def _pending(self, id_: str) -> list[dict]:
        return self._waiting.setdefault(id_, [])

    # -- plain copies of what is proven at once and must not lie on the disk

    def _copy(self, id_: str, name: str, size: int) -> Any:
        if self.items[id_]["source"] != "redis_dump" or name != "dump.rdb":
            return None
        try:
            self.proofs[id_] = scratch.Private(size)
        except scratch.NotRun as e:
            self.notes[id_] = str(e)
            return None
        return self.proofs[id_].file

    def forget(self, id_: str) -> None:
        """Remove the plain copy in memory."""
        if id_ in self.proofs:
            self.proofs.pop(id_).close()
