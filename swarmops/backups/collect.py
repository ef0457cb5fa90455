"""Collect: from events of hosts to one set, with its manifest written last (S4-26, S4-27, cases 67, 68, 72;
F35)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from swarmops import __version__
from swarmops.backups import encrypt, manifest, scratch, sets
from swarmops.backups.landing import Folder, slug
from swarmops.backups.receive import Limits, Receiver

SEALED = "sealed.json" + encrypt.SUFFIX
Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """The set that was made. `failures` has one line for each host or backup that is not in it."""

    path: Path
    manifest: manifest.Manifest
    failures: list[str]


def collect(
    to: Path,
    deployment: str,
    tier: str,
    items: Mapping[str, list[dict]],
    run: Callable[[dict[str, dict]], Iterable[tuple[str, dict]]],
    *,
    recipients: Iterable[str] = (),
    limits: Limits | None = None,
    say: Say = lambda text: None,
    now: datetime | None = None,
) -> Outcome:
    """Make one set under `to`/`tier`.

    items: host -> its declared backups. run: plays envelopes on hosts and yields (host, event), as
    `Fleet.run` does. recipients: public keys to encrypt to. Hosts that fail are in the manifest with their
    reason. Raises `BackupError` when the set cannot be written, `InputError` on a bad recipient.
    """
    texts = list(recipients)
    keys = encrypt.recipients(texts)
    began = now or datetime.now(UTC)
    with sets.begin(to, slug(tier), began) as folder:
        receivers = _receivers(items, folder, keys, limits or Limits())
        envelopes = {h: {"mode": "backup", "backups": list(backups)} for h, backups in items.items()}
        for host, event in run(envelopes):
            receivers[host].event(event)
            if event["e"] == "end":
                say(_line(receivers[host]))
        for receiver in receivers.values():
            _prove(receiver, folder)
        hosts = {name: r.record for name, r in receivers.items()}
        body: dict[str, Any] = {
            "schema": manifest.SCHEMA,
            "deployment": deployment,
            "tier": tier,
            "set": folder.path.name,
            "tool": f"swarmops {__version__}",
            "started": _utc(began),
            "ended": _utc(now or datetime.now(UTC)),
            "complete": all(h["complete"] for h in hosts.values()),
            "recipients": texts,
            "sealed": None,
            "hosts": hosts,
        }
        if keys:
            body["sealed"] = _seal(body, folder, keys)
        folder.land(manifest.NAME, manifest.encode(body))
    return Outcome(folder.path, body, list(_failures(hosts)))


def _receivers(items: Mapping[str, list[dict]], folder: Folder, keys: list[Any], limits: Limits) -> dict[str, Receiver]:
    made: dict[str, Receiver] = {}
    for host in sorted(items):
        home, n = slug(host), 1
        while home in {r.home for r in made.values()}:
            n += 1
            home = f"{slug(host)}-{n}"
        made[host] = Receiver(host, items[host], folder, keys, limits, home)
    return made


def _prove(receiver: Receiver, folder: Folder) -> None:
    """Boot a scratch Redis on every dump; what it counts must be what the host counted as it forked."""
    for id_, backup in receiver.record["backups"].items():
        dump = next((f for f in backup["files"] if f["name"] == "dump.rdb"), None)
        if backup["source"] != "redis_dump" or dump is None:
            continue
        try:
            if receiver.to and id_ not in receiver.proofs:
                raise scratch.NotRun(receiver.notes.get(id_, "no plain copy was kept"))
            private = receiver.proofs.get(id_)
            path = private.path if private else folder.path / dump["path"]
            found = scratch.examine(path)
            backup["proof"] = {"ran": True, **found.as_dict()}
            if found.keys != backup["facts"].get("keys"):
                told = backup["facts"].get("keys")
                backup.update(ok=False, reason=f"the copy holds {found.keys} keys, the host counted {told}")
        except scratch.NotRun as e:
            backup["proof"] = {"ran": False, "reason": str(e)}
        except scratch.Broken as e:
            backup.update(ok=False, reason=str(e), proof={"ran": True, "reason": str(e)})
        finally:
            receiver.forget(id_)
    receiver.settle()


def _seal(body: dict, folder: Folder, keys: list[Any]) -> dict[str, Any]:
    """Move what tells of the contents, checksums and digests, into an encrypted file of its own."""
    inside: dict[str, Any] = {"sha256": {}, "digest": {}}
    for host, id_, _, file in manifest.files(body):
        inside["sha256"][file["path"]] = file["sha256"]
        file["sha256"] = None
        proof = body["hosts"][host]["backups"][id_]["proof"]
        if proof and proof.get("digest"):
            inside["digest"][f"{host}/{id_}"] = proof["digest"]
            proof["digest"] = None
    sink = encrypt.Sealed(folder.create(SEALED), keys)
    sink.write(json.dumps(inside, sort_keys=True).encode())
    size, sha = sink.close()
    return {"path": SEALED, "stored_size": size, "stored_sha256": sha}


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(receiver: Receiver) -> str:
    record = receiver.record
    files = sum(len(b["files"]) for b in record["backups"].values())
    size = sum(f["size"] for b in record["backups"].values() for f in b["files"])
    if record["complete"]:
        return f"{receiver.host}: {files} files, {size} bytes"
    reasons = "; ".join(sorted({b["reason"] for b in record["backups"].values() if not b["ok"]}))
    return f"{receiver.host}: FAILED: {record['reason'] or reasons}"


def _failures(hosts: Mapping[str, dict]) -> Iterator[str]:
    for name, host in hosts.items():
        if host["complete"]:
            continue
        if host["reason"]:
            yield f"{name}: {host['reason']}"
            continue
        for id_, backup in host["backups"].items():
            if not backup["ok"]:
                yield f"{name}: {id_}: {backup['reason']}"
