"""Tokens in Redis: create, list, revoke, check. The secret itself is shown once and kept nowhere.

A token is `<id>.<secret>`; the secret has 256 random bits, so a plain SHA-256 of it cannot be searched.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.errors import Invalid, NotFound
from swarmops.runtime.ids import name, number, one_of
from swarmops.runtime.op import Mode, Op, Room, operation

SCOPES = ("read", "submit", "agent", "admin")
MOST = 1000  # tokens
YEARS = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token. expires: seconds since the epoch by the clock of who checks, None for never."""

    id: str
    sha256: str
    scopes: tuple[str, ...]
    expires: float | None = None
    created_ms: int = 0
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For people: without the hash."""
        plain = {"id": self.id, "scopes": list(self.scopes), "expires": self.expires}
        return {**plain, "created_ms": self.created_ms, "note": self.note}


class Access(Room[Mode]):
    """Who may ask over HTTP. `check` asks Redis; servers keep a copy of `list` (swarmops.web.tokens)."""

    @operation
    def create(
        self, id: str, sha256: str, scopes: Sequence[str], lasts: float | None = None, note: str = ""
    ) -> Op[Token]:
        """Keep a new token. sha256: of its secret (see `issue`); lasts: seconds, None for ever.

        Raises Exists, Full (1,000 are the most), Invalid.
        """
        if isinstance(scopes, str) or not scopes:
            raise Invalid("scopes", f"is not a list of some of {', '.join(SCOPES)}")
        held = tuple(sorted({one_of(s, SCOPES, f"scopes[{i}]") for i, s in enumerate(scopes)}))
        if not isinstance(note, str) or len(note) > 200 or not note.isprintable():
            raise Invalid("note", "is not one line of at most 200 characters")
        until = None if lasts is None else round(time.time() + number(lasts, "lasts", 1, YEARS), 3)
        kept = {"sha256": sha256, "scopes": held, "expires": until, "note": note}
        keys = tuple(self.keys.registry(part) for part in ("tokens", "events"))
        args = (name(id, "id"), wire.dumps(kept, "token", 4096), MOST)
        return Op("token_create", keys, args, lambda now: Token(id, sha256, held, until, now, note))

    @operation
    def list(self) -> Op[Tokens]:
        """All tokens by id, those that have expired included."""
        key = self.keys.registry("tokens")
        return Op("", (key,), ("HGETALL", key), _tokens, safe=True)

    @operation
    def revoke(self, id: str) -> Op[bool]:
        """It counts no more: at once for `check`, within seconds for servers. Raises NotFound."""
        keys = tuple(self.keys.registry(part) for part in ("tokens", "events"))
        return Op("token_revoke", keys, (name(id, "id"),), bool, durable=True)

    @operation
    def check(self, text: str) -> Op[Token]:
        """The token `<id>.<secret>`. Raises NotFound, with the same words whatever is wrong with it."""
        id, digest = split(text)
        key = self.keys.registry("tokens")

        def read(reply: bytes | None) -> Token:
            known = _token(id, reply) if reply else None
            same = hmac.compare_digest(digest, known.sha256 if known else "0" * 64)
            if not known or not same or (known.expires is not None and known.expires <= time.time()):
                raise NotFound("this is no token that counts")
            return known

        return Op("", (key,), ("HGET", key, id), read, safe=True)


Tokens = list[Token]


def issue(id: str) -> tuple[str, str]:
    """A new token for `id`: its text, to be shown once, and the SHA-256 to keep. Raises Invalid."""
    secret = secrets.token_urlsafe(32)
    return f"{name(id, 'id')}.{secret}", hashlib.sha256(secret.encode()).hexdigest()


def split(text: str) -> tuple[str, str]:
    """(id, SHA-256 of the secret) of a token's text; of anything else too, and in the same time."""
    id, _, secret = text.partition(".")
    return id[:63], hashlib.sha256(secret[:1000].encode("utf-8", "surrogatepass")).hexdigest()


def _tokens(flat: Sequence[bytes]) -> list[Token]:
    found = [_token(id.decode("utf-8", "replace"), kept) for id, kept in zip(flat[::2], flat[1::2])]
    return sorted([t for t in found if t is not None], key=lambda t: t.id)


def _token(id: str, kept: bytes) -> Token | None:
    """None for what is none of ours: it opens nothing."""
    try:
        said = json.loads(kept)
        return Token(
            id, str(said["sha256"]), tuple(s for s in said["scopes"] if s in SCOPES),
            said["expires"] if said["expires"] is None else float(said["expires"]),
            int(said["created"]), str(said.get("note", "")),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return None
