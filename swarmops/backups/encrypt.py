"""Encryption to age recipients (pyrage), as a stream. What is written opens with `age -d -i IDENTITY`,
too."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from swarmops.backups.landing import BackupError
from swarmops.model.faults import InputError

SUFFIX = ".age"


def recipients(texts: Iterable[str]) -> list[Any]:
    """Recipients from their public keys: `age1...`, `ssh-ed25519 ...`, `ssh-rsa ...`. Raises `InputError`."""
    import pyrage

    made: list[Any] = []
    for text in texts:
        kind = pyrage.ssh.Recipient if text.startswith("ssh-") else pyrage.x25519.Recipient
        try:
            if text.upper().startswith("AGE-SECRET-KEY-"):
                raise ValueError
            made.append(kind.from_str(text.strip()))
        except (ValueError, pyrage.RecipientError):
            shown = "a secret key" if "SECRET" in text.upper() else f"'{text[:24]}...'"
            raise InputError.one(
                f"{shown} is not an age recipient",
                path="--encrypt-to",
                hint="a public key: age1... of age-keygen, or an ssh-ed25519 line",
            ) from None
    return made


def identities(file: Path) -> list[Any]:
    """The secret keys in `file`: age-keygen's format, or an unencrypted OpenSSH key. Raises `InputError`."""
    import pyrage

    try:
        data = file.read_bytes()
    except OSError as e:
        raise InputError.one(f"cannot read {file}: {e.strerror}", path="--identity") from None
    try:
        if b"PRIVATE KEY-----" in data:
            return [pyrage.ssh.Identity.from_buffer(data)]
        lines = [line.strip() for line in data.decode().splitlines()]
        made = [pyrage.x25519.Identity.from_str(x) for x in lines if x and not x.startswith("#")]
    except (ValueError, pyrage.IdentityError) as e:
        del e  # it may quote the key
        made = []
    if not made:
        raise InputError.one(f"{file} holds no age identity", path="--identity", hint="a file of age-keygen")
    return made


class Counted(io.RawIOBase):
    """A file that counts and hashes what is written to it."""

    def __init__(self, file: BinaryIO):
        self.file, self.size, self._digest = file, 0, hashlib.sha256()
        self.fault: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            self.file.write(data)
        except OSError as e:
            self.fault = e  # pyrage passes on its text only
            raise
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class Plain:
    """Writes a file as it is. `close` makes it durable; then `size` and `sha256` are those of the file."""

    def __init__(self, file: BinaryIO):
        self._file, self._out = file, Counted(file)

    def write(self, data: bytes) -> None:
        self._out.write(data)

    def close(self) -> tuple[int, str]:
        """Flush to the disk. Returns size and sha256 of what is stored. Raises OSError."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._out.size, self._out.sha256

    def abandon(self) -> None:
        with contextlib.suppress(OSError):  # a full disk; the set is not going to have this file
            self._file.close()


class Sealed(Plain):
    """Writes a file encrypted. pyrage pulls, hosts push: a pipe and a thread stand between them."""

    def __init__(self, file: BinaryIO, to: list[Any]):
        super().__init__(file)
        out, into = os.pipe()
        self._source = os.fdopen(out, "rb", buffering=1 << 16)
        self._pipe: BinaryIO | None = os.fdopen(into, "wb", buffering=0)
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._encrypt, args=(to,), daemon=True)
        self._thread.start()

    def _encrypt(self, to: list[Any]) -> None:
        import pyrage

        try:
            with self._source:
                pyrage.encrypt_io(self._source, self._out, to)
        except BaseException as e:
            self._fault = e

    def write(self, data: bytes) -> None:
        assert self._pipe is not None
        view = memoryview(data)
        try:
            while view:
                view = view[self._pipe.write(view) or 0 :]
        except BrokenPipeError:
            self._join()
            raise

    def _join(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        self._thread.join()
        if self._out.fault is not None:
            raise self._out.fault
        if self._fault is not None:
            raise BackupError(f"encryption failed: {self._fault}")

    def close(self) -> tuple[int, str]:
        self._join()
        return super().close()

    def abandon(self) -> None:
        with contextlib.suppress(OSError, BackupError):  # the reason why it is abandoned
            self._join()
        super().abandon()


class Tap(io.RawIOBase):
    """Gives every chunk written to `each`, and counts and hashes on the way."""

    def __init__(self, each: Callable[[Any], object] | None, limit: int):
        self._each, self._limit, self._digest, self.size = each, limit, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.size += len(data)
        if self.size > self._limit:
            raise OSError(f"more than the {self._limit} bytes it should be")
        self._digest.update(data)
        if self._each:
            self._each(bytes(data))
        return len(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def opened(file: BinaryIO, keys: list[Any], limit: int, each: Callable[[Any], object] | None = None) -> Tap:
    """Decrypt `file`, at most `limit` bytes, giving each chunk to `each`. Raises `BackupError`."""
    import pyrage

    tap = Tap(each, limit)
    try:
        pyrage.decrypt_io(file, tap, keys)
    except pyrage.DecryptError as e:
        if "No matching keys" in str(e):
            raise BackupError("this identity does not open it (it is encrypted to another key)") from None
        raise BackupError(f"it does not decrypt: {e}") from None
    except OSError as e:
        raise BackupError(f"it does not decrypt: {e}") from None
    return tap
