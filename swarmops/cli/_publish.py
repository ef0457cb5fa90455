"""Tell the coordinator what a command found, so that its dashboard shows it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from swarmops.model.project import Project

publish_option = click.option(
    "--publish", metavar="URL|auto", help="Also tell the coordinator at this address (auto: the inventory's)."
)


def publish(project: Project, url: str, path: str, document: Any) -> bool:
    """POST it. False when that failed, which is said; what was found is told all the same.

    The token is $SWARMOPS_TOKEN, else the secret api.admin. Raises InputError when there is none.
    """
    from swarmops.cli._output import plain, progress
    from swarmops.client.errors import ApiError
    from swarmops.client.http import Client
    from swarmops.model.faults import InputError

    where, token = coordinator(project) if url == "auto" else url, _token(project)
    try:
        with Client(where, token, _trust(project), timeout=10) as client:
            client.ask("POST", path, document)
    except ValueError as e:
        raise InputError.one(str(e), path="--publish") from None
    except ApiError as e:
        progress(plain(f"not published at {where}: {e}"), "red")
        return False
    return True


def coordinator(project: Project) -> str:
    """The address of the first coordinator of the inventory. Raises InputError when there is none."""
    from swarmops.model.faults import InputError

    hosts = project.distributed.hosts_of(project.inventory).get("coordinator", [])
    if not hosts:
        hint = "say --publish http://HOST:8002"
        raise InputError.one("no host of this inventory is a coordinator", path="--publish", hint=hint)
    service = project.distributed.services.get("coordinator", {})
    port = hosts[0].vars.get("coordinator_port") or service.get("port", 8002)
    return project.distributed.base("coordinator", hosts[0], port)


def _trust(project: Project) -> ssl.SSLContext:
    """The system's certificates (or those of $SSL_CERT_FILE), and those of the deployment's own CA."""
    import ssl

    from swarmops.model.secrets import UnknownSecret
    from swarmops.planning.certificates import public_part

    found = ssl.create_default_context()
    with contextlib.suppress(UnknownSecret):
        both = [project.store.get("tls.ca"), project.store.previous("tls.ca")]
        found.load_verify_locations(cadata="\n".join(public_part(one.open()) for one in both if one))
    return found


def _token(project: Project) -> str:
    import os

    from swarmops.model.faults import InputError
    from swarmops.model.secrets import UnknownSecret

    if token := os.environ.get("SWARMOPS_TOKEN"):
        return token
    try:
        return f"admin.{project.store.get('api.admin').open()}"
    except UnknownSecret:
        hint = "`swarmops secrets init` makes it, or set SWARMOPS_TOKEN"
        raise InputError.one("there is no secret api.admin to show to the coordinator", hint=hint) from None


def newest_backups(to: Path, tier: str) -> list[dict[str, Any]]:
    """The newest good copy of every backup of every host in this tier's sets, as the coordinator takes them."""
    from swarmops.backups import sets
    from swarmops.backups.landing import slug

    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in sets.find(to, slug(tier)):
        for host, id, backup in _backups(one.manifest):
            if not backup["ok"]:
                continue
            proof = backup.get("proof") or {}
            found[host, id] = {
                "host": host,
                "backup": id,
                "at_ms": round(one.time.timestamp() * 1000),
                "bytes": sum(f["stored_size"] for f in backup["files"]),
                "verified": True if proof.get("ran") else None,
            }
    return [found[key] for key in sorted(found)]


def _backups(manifest: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for host, record in (manifest["hosts"] if manifest else {}).items():
        for id, backup in record["backups"].items():
            yield host, id, backup
