"""Tokens for the HTTP API: create, list, revoke."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from swarmops.cli._runtime import print_result, runtime_options, table

if TYPE_CHECKING:
    from swarmops.runtime import Runtime

SCOPES = ("read", "submit", "agent", "admin")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.group()
def command() -> None:
    """Tokens that open the HTTP API; only their hashes are kept."""


@command.command()
@click.argument("id")
@click.option(
    "-s", "--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES),
    help="What it may; may be repeated. admin may everything.",
)  # fmt: skip
@click.option("--lasts", metavar="TIME", help="As 90d, 12h, 30m or 60s (default: for ever).")
@click.option("--note", default="", metavar="TEXT", help="Who it is for.")
@runtime_options
def create(rt: Runtime, as_json: bool, id: str, scopes: tuple[str, ...], lasts: str | None, note: str) -> None:
    """Make a token and print it, this once: only its hash is kept."""
    from swarmops.runtime.access import issue

    text, digest = issue(id)
    kept = rt.access.create(id, digest, scopes, _seconds(lasts), note)
    body = {"schema": "swarmops.token/1", "token": text, **kept.as_dict()}
    print_result(body, as_json, lambda: text)


@command.command("list")
@runtime_options
def list_(rt: Runtime, as_json: bool) -> None:
    """All tokens in Redis, without their secrets."""
    found = rt.access.list()
    rows = [[t.id, ",".join(t.scopes), _day(t.expires), _day(t.created_ms / 1000), t.note] for t in found]
    body = {"schema": "swarmops.tokens/1", "tokens": [t.as_dict() for t in found]}
    print_result(body, as_json, lambda: table(rows, ["ID", "SCOPES", "EXPIRES", "CREATED", "NOTE"]))


@command.command()
@click.argument("id")
@runtime_options
def revoke(rt: Runtime, as_json: bool, id: str) -> None:
    """A token counts no more; servers know within seconds."""
    rt.access.revoke(id)
    print_result({"schema": "swarmops.token-revoked/1", "id": id}, as_json, lambda: f"{id} counts no more")


def _seconds(text: str | None) -> float | None:
    from swarmops.runtime.errors import Invalid

    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if not found:
        raise Invalid("--lasts", f"{text[:40]!r} is not a time such as 90d, 12h, 30m or 60s")
    return float(found[1]) * UNITS[found[2]]


def _day(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
