"""The manifest of a set: what is in it, from where, with which checksums. It is written last; no manifest, no
backup.

    schema      1
    deployment, tier, set (UTC timestamp), tool, started, ended (UTC)
    complete    true when every host and every backup of it is
    recipients  public keys the files are encrypted to; [] when they are not
    sealed      {path, stored_size, stored_sha256} of the encrypted checksums of what is inside the encrypted
    files hosts       name -> {machine_id, complete, reason, backups}
      backups   id -> {role, name, source, keep, ok, reason, facts, proof, files}
        files   [{path, name, size, sha256, mode, owner, group, stored_size, stored_sha256}]
    sha256      over all of the above

`path` is relative to the set, `name` is what the host called the file. `size` and `sha256` are of what the
host has, `stored_*` of what lies on this disk; in an encrypted set `sha256` and the digest are null here and
kept in `sealed`, because the checksum of a short or guessable file gives its content away.

The file's bytes are the one canonical form of its value, so a flipped byte anywhere, white space included, is
found. The checksum finds accidents. It is no signature: who may write to the folder can write a new manifest.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from swarmops.backups.landing import BackupError, Folder, check_name

SCHEMA = 1
NAME = "manifest.json"
LARGEST = 256 << 20  # bytes of a manifest that is read

Manifest = dict[str, Any]


class Newer(BackupError):
    """Written by a later swarmops."""


def _canonical(value: Manifest) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode()


def encode(body: Manifest) -> bytes:
    """The bytes of the manifest file, with its checksum."""
    plain = {key: value for key, value in body.items() if key != "sha256"}
    return _canonical({**plain, "sha256": hashlib.sha256(_canonical(plain)).hexdigest()})


def decode(data: bytes) -> Manifest:
    """The manifest in `data`. Raises `BackupError` when it was changed in any byte, `Newer` when it is not
    ours to read."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise BackupError("the manifest is damaged: it is not JSON any more") from None
    if not isinstance(value, dict) or not isinstance(value.get("schema"), int):
        raise BackupError("the manifest is damaged: it has no schema version")
    if value["schema"] > SCHEMA:
        found = value["schema"]
        raise Newer(f"the manifest has schema {found}, this swarmops reads up to {SCHEMA}: upgrade it")
    if encode(value) != data:
        raise BackupError("the manifest was changed after it was written (its checksum differs)")
    _shape(value)
    return value


def _shape(value: Manifest) -> None:
    """Names lead nowhere but into the set, and what the readers rely on is there."""
    try:
        for _, _, _, file in files(value):
            check_name(file["path"]), check_name(file["name"])
            if not all(isinstance(file[k], int) and file[k] >= 0 for k in ("size", "stored_size", "mode")):
                raise ValueError
        if value["sealed"]:
            check_name(value["sealed"]["path"])
        for key in ("deployment", "tier", "set", "started", "ended", "complete", "recipients"):
            value[key]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BackupError("the manifest does not have the shape of schema 1") from None


def read(folder: Folder) -> Manifest:
    """The manifest of the set in `folder`. Raises `BackupError`."""
    with folder.open_file(NAME) as f:
        data = f.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise BackupError("the manifest is larger than any manifest of ours")
    return decode(data)


def files(manifest: Manifest) -> list[tuple[str, str, dict, dict]]:
    """(host, backup id, backup, file) of every file, in order."""
    return [
        (host, id_, backup, file)
        for host, h in sorted(manifest["hosts"].items())
        for id_, backup in sorted(h["backups"].items())
        for file in backup["files"]
    ]


def good_hosts(manifest: Manifest) -> set[str]:
    """Hosts of which everything that was declared is in the set."""
    return {name for name, host in manifest["hosts"].items() if host["complete"]}
