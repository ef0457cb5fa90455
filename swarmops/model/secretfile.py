"""The file of secrets: 0600 in a 0700 folder outside git, or age-encrypted. Changes are atomic and locked."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets as random
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from swarmops.model.faults import InputError, Mark

VERSION = 1


@dataclass(frozen=True, repr=False)
class Entry:
    """One secret as the file holds it. Times are ISO 8601, UTC."""

    value: str
    created: str = ""
    previous: str = ""
    since: str = ""  # when the rotation began that `previous` is of

    def __repr__(self) -> str:
        return f"<entry of {self.created}>"

    def rotated(self, new: Entry) -> Entry:
        return replace(new, previous=self.value, since=new.created)

    def finished(self) -> Entry:
        return replace(self, previous="", since="")

    @property
    def age(self) -> int | None:
        """Days since it was made."""
        try:
            return (datetime.now(UTC) - datetime.fromisoformat(self.created)).days
        except (ValueError, TypeError):
            return None


def entry(value: str) -> Entry:
    return Entry(value, datetime.now(UTC).isoformat(timespec="milliseconds"))


Change = Callable[[dict[str, Entry], Callable[[str], Entry]], Any]


class SecretFile:
    """Reads once, when asked; `change` reads again under the lock. `InputError` when it may not be used."""

    def __init__(self, path: Path, identity: Path | None = None):
        self.path, self.identity = path, identity

    @property
    def encrypted(self) -> bool:
        return self.path.suffix == ".age"

    @cached_property
    def _content(self) -> dict[str, Any]:
        return self._read()

    @property
    def entries(self) -> dict[str, Entry]:
        found: dict[str, Entry] = self._content["secrets"]
        return found

    @property
    def key(self) -> bytes:
        """What the tags are keyed with; random per file."""
        return str(self._content["salt"]).encode()

    @property
    def recipients(self) -> list[str]:
        """age public keys that the file is encrypted to, besides our own identity's."""
        return list(self._content["recipients"])

    def change(self, change: Change, recipients: list[str] | None = None) -> None:
        """Runs `change(entries, make_entry)` on what the file holds now and writes it: all or nothing."""
        self._make_folder()
        with self._locked():
            content = self._read()
            change(content["secrets"], entry)
            if recipients is not None:
                content["recipients"] = sorted({*content["recipients"], *recipients})
            self._write(content)
        self.__dict__["_content"] = content

    def _fault(self, sentence: str, hint: str = "", line: int = 0) -> InputError:
        return InputError.one(sentence, mark=Mark(str(self.path), line), hint=hint)

    def _read(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"salt": random.token_hex(16), "recipients": [], "secrets": {}}
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return empty
        except OSError as e:
            raise self._fault(f"cannot be read: {e.strerror}")
        with open(handle, "rb") as file:
            self._may_be_used(os.fstat(handle))
            data = file.read()
        return self._parse(self._decrypt(data) if self.encrypted else data)

    def _may_be_used(self, found: os.stat_result) -> None:
        """Case 50: a regular file of ours, 0600 in a 0700 folder, not in git. Encrypted: anywhere."""
        if not stat.S_ISREG(found.st_mode):
            raise self._fault("is not a regular file")
        if self.encrypted:
            return
        if found.st_uid != os.geteuid():
            raise self._fault(f"belongs to user {found.st_uid}, not to you", f"chown {os.geteuid()} {self.path}")
        if (mode := stat.S_IMODE(found.st_mode)) & 0o177:
            raise self._fault(f"has mode {mode:04o}; others may read it", f"chmod 600 {self.path}")
        folder = self.path.absolute().parent
        if (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o077 and not mode & stat.S_ISVTX:
            raise self._fault(f"its folder has mode {mode:04o}", f"chmod 700 {folder}")
        if tracked(self.path):
            raise self._fault("is tracked by git: what it holds is no secret any more",
                              f"git rm --cached {self.path.name}, then rotate every secret")  # fmt: skip

    def _parse(self, data: bytes) -> dict[str, Any]:
        # No problem text from the parser: it may quote what it could not read.
        try:
            raw = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (a safe one)
        except (yaml.YAMLError, UnicodeDecodeError) as e:
            place = getattr(e, "problem_mark", None)
            raise self._fault("is not YAML", line=place.line + 1 if place else 0) from None
        if not isinstance(raw, dict) or raw.get("version") != VERSION or not isinstance(raw.get("secrets"), dict):
            raise self._fault("is not a file of secrets", f"it begins with version: {VERSION} and has secrets:")
        found = {str(k): self._entry(str(k), v) for k, v in raw["secrets"].items()}
        return {
            "salt": str(raw.get("salt", "")),
            "recipients": list(raw.get("recipients") or []),
            "secrets": found,
        }

    def _entry(self, name: str, raw: Any) -> Entry:
        raw = {"value": raw} if isinstance(raw, str) else raw
        if not isinstance(raw, dict) or not isinstance(raw.get("value"), str) or not raw["value"]:
            raise self._fault(f"'{name}' has no value", f"swarmops secrets set {name}")
        return Entry(raw["value"], *(str(raw.get(k) or "") for k in ("created", "previous", "since")))

    def _dump(self, content: dict[str, Any]) -> bytes:
        secrets = {name: {k: v for k, v in vars(e).items() if v} for name, e in sorted(content["secrets"].items())}
        body = {
            "version": VERSION,
            "salt": content["salt"],
            "recipients": content["recipients"],
            "secrets": secrets,
        }
        text = "# Made by 'swarmops secrets'. Keep it out of git.\n" if not self.encrypted else ""
        return (text + yaml.safe_dump(body, sort_keys=False, width=10**6)).encode()

    def _write(self, content: dict[str, Any]) -> None:
        """Temp file (0600 from its first byte), fsync, rename, fsync of the folder."""
        data = self._dump(content)
        if self.encrypted:
            data = self._encrypt(data, content["recipients"])
        folder = self.path.parent
        for leftover in folder.glob(f".{self.path.name}.*.tmp"):
            leftover.unlink(missing_ok=True)
        temp = folder / f".{self.path.name}.{random.token_hex(4)}.tmp"
        handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            temp.rename(self.path)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
        _sync_folder(folder)

    def _make_folder(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)  # the folder: no lock file stays behind
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _identity(self) -> Any:
        import pyrage

        if self.identity is None:
            state = "is encrypted" if self.path.exists() else "is to be encrypted, to your own key at least"
            raise self._fault(state, "name your age identity file in SWARMOPS_AGE_IDENTITY; age-keygen makes one")
        try:
            lines = self.identity.expanduser().read_text().splitlines()
        except OSError as e:
            raise InputError.one(f"cannot be read: {e.strerror}", mark=Mark(str(self.identity)))
        for line in lines:
            if line.startswith("AGE-SECRET-KEY-"):
                with contextlib.suppress(pyrage.IdentityError, ValueError):
                    return pyrage.x25519.Identity.from_str(line.strip())
        raise InputError.one("holds no age identity", mark=Mark(str(self.identity)), hint="age-keygen makes one")

    def _decrypt(self, data: bytes) -> bytes:
        import pyrage

        try:
            return bytes(pyrage.decrypt(data, [self._identity()]))
        except pyrage.DecryptError as e:
            hint = "was it encrypted to your key?"
            raise self._fault(f"cannot be decrypted with {self.identity}: {e}", hint) from None

    def _encrypt(self, data: bytes, recipients: list[str]) -> bytes:
        import pyrage

        keys = [self._identity().to_public()]
        for recipient in recipients:
            try:
                keys.append(pyrage.x25519.Recipient.from_str(recipient))
            except (pyrage.RecipientError, ValueError):
                raise self._fault(f"'{recipient}' is not an age recipient", "it begins with age1") from None
        return bytes(pyrage.encrypt(data, keys))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def tracked(path: Path) -> bool:
    """Whether git tracks the file. Asks git only inside a work tree."""
    absolute = path.absolute()
    if not any((p / ".git").exists() for p in absolute.parents):
        return False
    import subprocess

    argv = ["git", "-C", str(absolute.parent), "ls-files", "--error-unmatch", "--", absolute.name]
    try:
        return subprocess.run(argv, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
