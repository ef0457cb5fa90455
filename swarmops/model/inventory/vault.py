"""ansible-vault's format: values and files encrypted with a password (AES-256-CTR, HMAC-SHA256, PBKDF2)."""

from __future__ import annotations

import os
import subprocess
from binascii import hexlify, unhexlify
from dataclasses import replace
from pathlib import Path
from typing import Any

from swarmops.model.faults import Faults, Mark
from swarmops.model.inventory.types import Origin
from swarmops.model.yaml import Map, Seq, Vaulted

HEADER = "$ANSIBLE_VAULT;"
ROUNDS = 10_000
HINT = "--vault-password-file FILE or ANSIBLE_VAULT_PASSWORD_FILE"


class Opened(str):
    """A text that stood encrypted. A text in every way, but its repr and our printers do not show it."""

    __slots__ = ("ciphertext",)
    ciphertext: str

    def __new__(cls, text: str, ciphertext: str) -> Opened:
        made = super().__new__(cls, text)
        made.ciphertext = ciphertext
        return made

    def __repr__(self) -> str:
        return "<vault text>"

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str.__str__(self), self.ciphertext


class Keys:
    """The password that opens vault texts, when there is one. Its repr does not show it."""

    def __init__(self, password: bytes | None = None, source: str = ""):
        self._password = password
        self.source = source
        self._derived: dict[bytes, tuple[bytes, bytes, bytes]] = {}

    def __bool__(self) -> bool:
        return self._password is not None

    def __repr__(self) -> str:
        return f"<vault password of {self.source}>" if self else "<no vault password>"

    def _derive(self, salt: bytes) -> tuple[bytes, bytes, bytes]:
        """Key, key of the HMAC and counter that belong to a salt."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

        if salt not in self._derived:
            made = PBKDF2HMAC(hashes.SHA256(), 80, salt, ROUNDS).derive(self._password or b"")
            self._derived[salt] = made[:32], made[32:64], made[64:]
        return self._derived[salt]

    def open(self, ciphertext: str) -> str:
        """The text. ValueError, with the reason, when it is broken or the password is another one."""
        from cryptography.hazmat.primitives import padding
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.hmac import HMAC, hashes

        salt, tag, body = _parts(ciphertext)
        key, key_of_hmac, counter = self._derive(salt)
        check = HMAC(key_of_hmac, hashes.SHA256())
        check.update(body)
        try:
            check.verify(tag)
        except Exception:
            raise ValueError(f"the password of {self.source} does not open it") from None
        decryptor = Cipher(algorithms.AES(key), modes.CTR(counter)).decryptor()
        unpadder = padding.PKCS7(128).unpadder()
        data = unpadder.update(decryptor.update(body) + decryptor.finalize()) + unpadder.finalize()
        return data.decode()

    def seal(self, text: str) -> str:
        """The text as ansible-vault 1.1. The salt depends on password and text, so that the same text gives the same
        ciphertext and an export shows no change where there is none."""
        from cryptography.hazmat.primitives import padding
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.hmac import HMAC, hashes

        data = text.encode()
        seed = HMAC(b"swarmops salt" + (self._password or b""), hashes.SHA256())
        seed.update(data)
        salt = seed.finalize()
        key, key_of_hmac, counter = self._derive(salt)
        padder = padding.PKCS7(128).padder()
        encryptor = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
        body = encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()
        tag = HMAC(key_of_hmac, hashes.SHA256())
        tag.update(body)
        packed = hexlify(b"\n".join(hexlify(part) for part in (salt, tag.finalize(), body))).decode()
        lines = [packed[i : i + 80] for i in range(0, len(packed), 80)]
        return "\n".join([f"{HEADER}1.1;AES256", *lines]) + "\n"


def _parts(ciphertext: str) -> tuple[bytes, bytes, bytes]:
    header, _, body = ciphertext.strip().partition("\n")
    fields = header.strip().split(";")
    if not header.startswith(HEADER) or len(fields) < 3:
        raise ValueError(f"it does not begin with {HEADER}1.1;AES256")
    if fields[1] not in ("1.1", "1.2") or fields[2] != "AES256":
        raise ValueError(f"the format {fields[1]};{fields[2]} is not known (1.1 and 1.2 with AES256 are)")
    try:
        inner = unhexlify("".join(body.split()))
        salt, tag, data = (unhexlify(part) for part in inner.split(b"\n", 2))
    except ValueError:
        raise ValueError("it is cut off or changed") from None
    return salt, tag, data


def keys(password_file: Path | None, faults: Faults) -> Keys:
    """The password of the file, or of ANSIBLE_VAULT_PASSWORD_FILE; an executable file prints it, as in Ansible."""
    named = os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE")
    source = "--vault-password-file" if password_file else "ANSIBLE_VAULT_PASSWORD_FILE"
    if password_file is None and not named:
        return Keys()
    path = Path(password_file or named or "").expanduser()
    try:
        if os.access(path, os.X_OK) and path.is_file():
            done = subprocess.run([str(path.resolve())], stdout=subprocess.PIPE, timeout=60, check=True)
            password = done.stdout.strip()
        else:
            password = path.read_bytes().strip()
    except subprocess.SubprocessError:
        faults.add(Mark(), source, f"{path} printed no password")
    except OSError as e:
        faults.add(Mark(), source, f"{path}: {e.strerror}", "a file with the password in one line")
    else:
        if password:
            return Keys(password, str(path))
        faults.add(Mark(), source, f"{path} is empty", "a file with the password in one line")
    return Keys()


def is_vault(text: str) -> bool:
    """Whether a whole file is encrypted."""
    return text.startswith(HEADER)


def open_file(text: str, mark: Mark, keys: Keys, faults: Faults) -> str | None:
    """The text of an encrypted file, or None and a fault."""
    if not keys:
        faults.add(mark, "", "is encrypted by ansible-vault and no password was given", HINT)
        return None
    try:
        return keys.open(text)
    except ValueError as e:
        faults.add(mark, "", f"cannot be opened: {e}")
        return None


def mark_opened(value: Any, keys: Keys) -> Any:
    """The same data with every text in it `Opened`, places kept."""
    if isinstance(value, Map | Seq):
        for key in value if isinstance(value, Map) else range(len(value)):
            value[key] = mark_opened(value[key], keys)
        return value
    return Opened(value, keys.seal(value)) if isinstance(value, str) else value


def opened_origin(origin: Origin, path: str, keys: Keys, faults: Faults) -> Origin:
    """The origin with its vault texts opened; the same object when there are none or no password was given."""
    if not keys or not _holds_vault(origin.value):
        return origin
    return replace(origin, value=_open(origin.value, path, keys, faults))


def _holds_vault(value: Any) -> bool:
    if isinstance(value, Vaulted):
        return True
    if isinstance(value, dict):
        return any(map(_holds_vault, value.values()))
    return isinstance(value, list) and any(map(_holds_vault, value))


def _open(value: Any, path: str, keys: Keys, faults: Faults) -> Any:
    if isinstance(value, Vaulted):
        try:
            return Opened(keys.open(value.ciphertext), value.ciphertext)
        except ValueError as e:
            faults.add(value.mark, path, f"cannot be opened: {e}")
    elif isinstance(value, Map | Seq):
        for key in value if isinstance(value, Map) else range(len(value)):
            value[key] = _open(value[key], path, keys, faults)
    return value
