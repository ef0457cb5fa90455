"""Verify a set: every byte by checksum, then a scratch Redis on each dump (S4-28, case 69, fault F36)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from swarmops.backups import encrypt, manifest, scratch, sets
from swarmops.backups.landing import BackupError, Folder
from swarmops.backups.sets import Set

CHUNK = 1 << 20
Sink = Callable[[Any], object]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `ok` is None when it could not be."""

    host: str
    backup: str
    what: str
    ok: bool | None
    detail: str


@dataclass
class Report:
    """Every finding about one set. Good only when nothing is wrong and nothing was left out."""

    set: str
    findings: list[Finding] = field(default_factory=list)

    def add(self, ok: bool | None, what: str, detail: str = "", host: str = "", backup: str = "") -> None:
        self.findings.append(Finding(host, backup, what, ok, detail))

    @property
    def bad(self) -> list[Finding]:
        return [f for f in self.findings if f.ok is False]

    @property
    def not_run(self) -> list[Finding]:
        return [f for f in self.findings if f.ok is None]

    @property
    def good(self) -> bool:
        return not self.bad and not self.not_run


def verify(
    one: Set, *, keys: list[Any] | None = None, hosts: set[str] | None = None, checksums_only: bool = False
) -> Report:
    """Look at everything in `one`, or at what concerns `hosts`. keys: identities, for an encrypted set.
    Raises nothing about the set: what is wrong is in the report."""
    report = Report(one.name)
    if one.manifest is None:
        report.add(False, "manifest", one.problem)
        return report
    report.add(True, "manifest", f"of {one.manifest['ended']}, by {one.manifest['tool']}")
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(Folder.open(one.path))
            inside = sealed(one.manifest, folder, keys)
        except BackupError as e:
            report.add(False, "sealed checksums", str(e))
            return report
        if hosts is None:
            _strangers(one, report)
        for name, host in sorted(one.manifest["hosts"].items()):
            if hosts is None or name in hosts:
                _host(name, host, folder, inside, keys, checksums_only, report)
    return report


def sealed(m: manifest.Manifest, folder: Folder, keys: list[Any] | None) -> dict[str, dict]:
    """Checksums and digests of what is inside encrypted files; nothing without an identity."""
    empty: dict[str, dict] = {"sha256": {}, "digest": {}}
    if not m["sealed"]:
        return empty
    with folder.open_file(m["sealed"]["path"]) as f:
        _same(f, m["sealed"]["stored_size"], m["sealed"]["stored_sha256"])
        if not keys:
            return empty
        f.seek(0)
        parts: list[bytes] = []
        encrypt.opened(f, keys, 256 << 20, parts.append)
    return json.loads(b"".join(parts))


def _strangers(one: Set, report: Report) -> None:
    """Files that the manifest does not know were not made by the run that wrote it."""
    assert one.manifest is not None
    known = {f["path"] for *_, f in manifest.files(one.manifest)} | {manifest.NAME, sets.LOCK}
    if one.manifest["sealed"]:
        known.add(one.manifest["sealed"]["path"])
    for base, folders, files in os.walk(one.path):
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        for name in sorted(files + links):
            path = (Path(base) / name).relative_to(one.path).as_posix()
            if path not in known:
                report.add(False, "unknown file", f"{path} is not in the manifest")


def _host(
    name: str, host: dict, folder: Folder, inside: dict, keys: list[Any] | None, quick: bool, report: Report
) -> None:
    if host["reason"]:
        report.add(False, "collected", host["reason"], name)
    for id_, backup in sorted(host["backups"].items()):
        if not backup["ok"] and not host["reason"]:
            report.add(False, "collected", backup["reason"], name, id_)
        if not backup["files"]:
            continue
        try:
            for file in backup["files"]:
                check_file(folder, file, inside, keys)
        except BackupError as e:
            report.add(False, "checksums", str(e), name, id_)
            continue
        size = sum(f["stored_size"] for f in backup["files"])
        what = "checksums" if keys or not inside_needed(backup) else "checksums of the encrypted files"
        report.add(True, what, f"{len(backup['files'])} files, {size} bytes", name, id_)
        if backup["source"] == "redis_dump" and not quick:
            _boot(name, id_, backup, folder, inside, keys, report)


def inside_needed(backup: dict) -> bool:
    """True when the files are encrypted, so that what they hold is seen with an identity only."""
    return any(f["sha256"] is None for f in backup["files"])


def check_file(folder: Folder, file: dict, inside: dict, keys: list[Any] | None, each: Sink | None = None) -> None:
    """Compare one stored file with the manifest, and what it holds if there is an identity; `each` is given
    the plain bytes on the way. Raises `BackupError`."""
    path = file["path"]
    with folder.open_file(path) as f:
        try:
            if file["sha256"] is not None:
                _same(f, file["stored_size"], file["stored_sha256"], each)
                return
            _same(f, file["stored_size"], file["stored_sha256"])
            if keys:
                f.seek(0)
                tap = encrypt.opened(f, keys, file["size"], each)
                if (tap.size, tap.sha256) != (file["size"], inside["sha256"].get(path)):
                    raise BackupError("what it holds is not what the host sent")
        except BackupError as e:
            raise BackupError(f"{path}: {e}") from None
        except OSError as e:
            raise BackupError(f"{path}: {e.strerror or e}") from None


def _same(file: BinaryIO, size: int, sha: str, each: Sink | None = None) -> None:
    digest, seen = hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        seen += len(chunk)
        if seen > size:
            raise BackupError(f"it is longer than the {size} bytes it had")
        digest.update(chunk)
        if each:
            each(chunk)
    if seen < size:
        raise BackupError(f"it has {seen} bytes, it had {size}")
    if digest.hexdigest() != sha:
        raise BackupError("its checksum differs: it was changed or damaged")


def _boot(
    name: str, id_: str, backup: dict, folder: Folder, inside: dict, keys: list[Any] | None, report: Report
) -> None:
    """Load the dump and compare key count and digest with what was recorded."""
    proof = backup["proof"] or {}
    digest = proof.get("digest") or inside["digest"].get(f"{name}/{id_}")
    try:
        with plain_dump(backup, folder, inside, keys) as dump:
            found = scratch.examine(dump)
        _compare(found, backup, proof, digest, name, id_, report)
        if any(f["name"].startswith("appendonlydir/") for f in backup["files"]) and not inside_needed(backup):
            base = Path(next(f["path"] for f in backup["files"] if f["name"] == "dump.rdb")).parent
            again = scratch.examine_append_only(folder.path / base / "appendonlydir")
            report.add(True, "append-only files load", f"{again.keys} keys", name, id_)
    except scratch.NotRun as e:
        report.add(None, "scratch Redis", str(e), name, id_)
    except (scratch.Broken, BackupError) as e:
        report.add(False, "scratch Redis", str(e), name, id_)


def _compare(
    found: scratch.Found, backup: dict, proof: dict, digest: str | None, name: str, id_: str, report: Report
) -> None:
    told = backup["facts"].get("keys")
    seconds = f"{found.seconds:.2f} s, Redis {found.version}"
    detail = f"{found.keys} keys ({seconds})" if found.keys == told else f"{found.keys} keys, recorded {told}"
    report.add(found.keys == told, "key count", detail, name, id_)
    if digest is None:
        report.add(True, "digest", f"none was recorded: {proof.get('reason', 'no proof')}", name, id_)
    elif digest == found.digest:
        report.add(True, "digest", found.digest[:12], name, id_)
    elif proof.get("version") != found.version:  # the bytes are the same, the way to count them is not
        detail = f"recorded with Redis {proof.get('version')}, this is {found.version}: not compared"
        report.add(True, "digest", detail, name, id_)
    else:
        report.add(False, "digest", f"{found.digest[:12]}, recorded {digest[:12]}", name, id_)


@contextlib.contextmanager
def plain_dump(backup: dict, folder: Folder, inside: dict, keys: list[Any] | None) -> Iterator[Path]:
    """A path to the plain dump of a backup: the file itself, or one in memory that it is decrypted to."""
    dump = next((f for f in backup["files"] if f["name"] == "dump.rdb"), None)
    if dump is None:
        raise BackupError("there is no dump.rdb among its files")
    if dump["sha256"] is not None:
        yield folder.path / dump["path"]
        return
    if not keys:
        raise scratch.NotRun("the set is encrypted: --identity FILE opens it")
    private = scratch.Private(dump["size"])
    try:
        check_file(folder, dump, inside, keys, private.file.write)
        private.file.flush()
        yield private.path
    finally:
        private.close()
