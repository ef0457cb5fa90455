"""Where backups land: folders that are entered by descriptor, so that no link is ever followed, and names
from hosts, which are taken for hostile until proven otherwise (cases 67 and 72).
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import unicodedata
from pathlib import Path
from typing import BinaryIO

LONGEST_NAME = 240  # bytes of one component; ".age" must still fit into 255
LONGEST_PATH = 2048  # bytes of a whole relative name
FOLDER, PLAIN = 0o700, 0o600


class BackupError(Exception):
    """Something about a backup is wrong. The text is a sentence for the user."""


class Hostile(BackupError):
    """A host sent what a host of ours never sends."""


def check_name(name: object) -> str:
    """`name` when it is a relative path that is safe to create. Raises `Hostile`."""
    if not isinstance(name, str) or not name:
        raise Hostile("a file without a name")
    shown = ascii(name[:80])
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Hostile(f"a file name that is not UTF-8: {shown}") from None
    if name.startswith("/"):
        raise Hostile(f"an absolute file name: {shown}")
    if size > LONGEST_PATH:
        raise Hostile(f"a file name of {size} bytes: {shown}...")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in name):
        raise Hostile(f"a file name with control characters: {shown}")
    for part in name.split("/"):
        if part in ("", ".", ".."):
            raise Hostile(f"a file name that leaves its folder: {shown}")
        if len(part.encode()) > LONGEST_NAME:
            raise Hostile(f"a file name of {len(part.encode())} bytes: {shown}...")
    return name


def slug(text: str) -> str:
    """A folder's name for any id or host name."""
    made = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:100]
    return made or "x"


def free_bytes(path: Path) -> int:
    """Bytes free where `path` is, or would be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def why(error: OSError, path: Path) -> BackupError:
    """A sentence for what the file system said, with free bytes when it is full (fault F21)."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BackupError(f"the disk is full: {path} ({free_bytes(path)} bytes free)")
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return BackupError(f"{path} is a link or no folder; backups are not written through links")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return BackupError(f"{path} is not writable: {error.strerror}")
    return BackupError(f"{path}: {error.strerror or error}")


class Folder:
    """An open folder. Everything in it is reached relative to its descriptor."""

    def __init__(self, fd: int, path: Path):
        self.fd, self.path = fd, path

    @classmethod
    def open(cls, path: Path, *, make: bool = False) -> Folder:
        """The folder at `path`, whose last component may not be a link. With `make` it and those above it are
        created, 0700. Raises `BackupError`."""
        try:
            if make and not os.path.lexists(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.mkdir(mode=FOLDER)
            return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC), path)
        except OSError as e:
            raise why(e, path) from None

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def sub(self, name: str, *, make: bool = False, fresh: bool = False) -> Folder:
        """A folder in this one; with `make` it is created where it is not, with `fresh` it must not exist yet
        (FileExistsError). Raises `BackupError`."""
        path = self.path / name
        try:
            if make or fresh:
                try:
                    os.mkdir(name, FOLDER, dir_fd=self.fd)
                except FileExistsError:
                    if fresh:
                        raise
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
            return Folder(fd, path)
        except FileExistsError:
            raise
        except OSError as e:
            raise why(e, path) from None

    def create(self, name: str) -> BinaryIO:
        """A new file, 0600, at the relative path `name`, whose folders are made. Raises `Hostile` when
        something has that name already, `BackupError` otherwise."""
        *folders, last = check_name(name).split("/")
        here = self
        try:
            for part in folders:
                deeper = here.sub(part, make=True)
                if here is not self:
                    os.close(here.fd)
                here = deeper
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.fdopen(os.open(last, flags, PLAIN, dir_fd=here.fd), "wb", buffering=1 << 18)
        except FileExistsError:
            raise Hostile(f"the same file name twice: {name[:80]!a}") from None
        except OSError as e:
            raise why(e, self.path / name) from None
        finally:
            if here is not self:
                os.close(here.fd)

    def open_file(self, name: str) -> BinaryIO:
        """The plain file at the relative path `name`, reached through no link. Raises `BackupError`."""
        *folders, last = name.split("/")
        here = self
        try:
            for part in folders:
                deeper = here.sub(part)
                if here is not self:
                    os.close(here.fd)
                here = deeper
            fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here.fd)
        except FileNotFoundError:
            raise BackupError(f"{name} is missing") from None
        except OSError as e:
            if e.errno == errno.ELOOP:
                raise BackupError(f"{name} is a link") from None
            raise why(e, self.path / name) from None
        finally:
            if here is not self:
                os.close(here.fd)
        return os.fdopen(fd, "rb", buffering=0)

    def land(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all: temp, fsync, rename, fsync of the folder. Raises
        `BackupError`."""
        temp = f".{name}.new"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(temp, flags, PLAIN, dir_fd=self.fd), "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            os.rename(temp, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            os.fsync(self.fd)
        except OSError as e:
            raise why(e, self.path / name) from None
