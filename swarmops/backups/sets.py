"""Sets on disk: `<to>/<tier>/<UTC timestamp>/`, whole when they have a manifest, partial when they do not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from swarmops.backups import manifest as manifests
from swarmops.backups.landing import BackupError, Folder, why
from swarmops.backups.manifest import Manifest
from swarmops.model.faults import InputError, closest

STAMP = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
LOCK = ".running"  # held by the run that makes the set
DOOMED = ".deleting-"  # a set that is being removed


@dataclass(frozen=True)
class Set:
    """One set. `manifest` is None when it is partial or damaged, and `problem` says which."""

    path: Path
    manifest: Manifest | None
    problem: str = ""

    @property
    def name(self) -> str:
        """What users call it: `lan/20260101T030000Z`."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def time(self) -> datetime:
        return datetime.strptime(self.path.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    @property
    def size(self) -> int:
        """Bytes stored."""
        return sum(f["stored_size"] for *_, f in manifests.files(self.manifest)) if self.manifest else 0

    @property
    def complete(self) -> bool:
        return bool(self.manifest and self.manifest["complete"])


def load(path: Path) -> Set:
    """The set at `path`, whatever its state."""
    try:
        with Folder.open(path) as folder:
            return Set(path, manifests.read(folder))
    except BackupError as e:
        partial = not os.path.lexists(path / manifests.NAME)
        return Set(path, None, "partial: no manifest" if partial else str(e))


def find(to: Path, tier: str | None = None) -> list[Set]:
    """Every set under `to`, oldest first, partial ones included. A missing folder holds none."""
    found = []
    for folder in _folders(to):
        if tier is None or folder.name == tier:
            found += [load(p) for p in _folders(folder) if STAMP.fullmatch(p.name)]
    return sorted(found, key=lambda s: (s.path.parent.name, s.time, len(s.path.name), s.path.name))


def _folders(path: Path) -> list[Path]:
    """Real folders in `path`; links are passed over."""
    try:
        with os.scandir(path) as entries:
            return sorted(path / e.name for e in entries if e.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as e:
        raise why(e, path) from None


def choose(to: Path, name: str, tier: str | None = None, host: str = "", backups: Collection[str] = ()) -> Set:
    """The set that the user means: `lan/20260101T030000Z`, the timestamp, `latest`, or a path.

    With a host, `latest` is the newest in which it, or what is named of its backups, is whole; where there is none, the
    newest that has something of it. Raises `InputError`.
    """
    given = Path(name)
    if given.is_dir() and STAMP.fullmatch(given.absolute().name):
        return load(given.absolute())
    known = find(to, tier)
    whole = [s for s in known if s.manifest]
    if name == "latest":
        if not whole:
            raise InputError.one(f"there is no backup under {to}", hint="swarmops collect-backups makes one")
        return max(reversed(whole), key=lambda s: (_worth(s, host, backups), s.time))  # of one second the last
    meant = [s for s in known if name in (s.name, s.path.name)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise InputError.one(f"'{name}' is in {len(meant)} tiers", hint=", ".join(s.name for s in meant))
    hint = closest(name, [s.name for s in whole]) or "swarmops backups list"
    raise InputError.one(f"there is no backup '{name}' under {to}", hint=hint)


def _worth(one: Set, host: str, backups: Collection[str]) -> int:
    """2: what is wanted of this host is whole in it, 1: it has something of the host, 0: nothing."""
    record = one.manifest["hosts"].get(host) if one.manifest else None
    if not record:
        return 0
    there = [record["backups"].get(i, {}).get("ok", False) for i in backups] or [record["complete"]]
    return 2 if all(there) else 1


@contextlib.contextmanager
def begin(to: Path, tier: str, now: datetime) -> Iterator[Folder]:
    """A new, empty set, locked while it is made. Partial sets that crashed runs left before are removed."""
    with Folder.open(to, make=True) as root, root.sub(tier, make=True) as home:
        clean(home.path)
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        for n in range(1, 1000):
            try:
                folder = home.sub(stamp if n == 1 else f"{stamp}-{n}", fresh=True)
                break
            except FileExistsError:
                continue
        else:
            raise BackupError(f"{home.path} has a thousand sets of this second")
        with folder, lock(folder.path):
            yield folder
            os.fsync(home.fd)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the set's lock. Raises BlockingIOError when another run has it."""
    try:
        fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise why(e, path / LOCK) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
        with contextlib.suppress(FileNotFoundError):
            (path / LOCK).unlink()
    finally:
        os.close(fd)


def clean(home: Path) -> list[Path]:
    """Remove what crashed runs left in a tier's folder: partial sets nobody holds, half-removed sets."""
    gone = []
    for path in _folders(home):
        if path.name.startswith(DOOMED):
            shutil.rmtree(path)
            gone.append(path)
        elif STAMP.fullmatch(path.name) and not os.path.lexists(path / manifests.NAME):
            with contextlib.suppress(BlockingIOError), lock(path):
                if not os.path.lexists(path / manifests.NAME):
                    remove(path)
                    gone.append(path)
    return gone


def remove(path: Path) -> None:
    """Remove a set so that, interrupted at any point, no half of it is taken for a set. Raises
    `BackupError`."""
    doomed = path.with_name(DOOMED + path.name)
    try:
        path.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as e:
        raise why(e, path) from None
