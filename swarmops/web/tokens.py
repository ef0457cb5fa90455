"""Tokens: who asks, and what they may (S16). A token is `<id>.<secret>`; only the SHA-256 of the secret is kept.

Two sources: a file (`tokens.json`, what a deploy puts there), and Redis (`swarmops token create`). Both are held in
memory and read again every second, so that a check costs no round trip and a revoked token is refused within seconds.
A failed check always does the same work, whatever was wrong: all failures look alike and take equally long.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.access import SCOPES, Token, issue, split
from swarmops.runtime.errors import Invalid, SwarmError
from swarmops.runtime.ids import name, one_of

__all__ = ["SCOPES", "Grant", "Tokens", "issue", "split"]
EVERY = 1.0  # seconds between two readings
SOONEST = 0.02  # a failed check has it read again, but not more often than this
STALE = 60.0  # seconds without Redis after which its tokens count no more: one of them may have been revoked
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """Somebody who may ask. scopes: what they may. expires: seconds since the epoch, None for never."""

    id: str
    scopes: frozenset[str]
    expires: float | None = None

    def may(self, *any_of: str) -> bool:
        """Has one of these scopes; `admin` has them all."""
        return "admin" in self.scopes or any(scope in self.scopes for scope in any_of)


class Tokens:
    """All tokens that count here. `check` is what servers ask; `run` keeps them fresh."""

    def __init__(self, path: str | Path | None = None, runtime: Any = None):
        self.path, self.runtime = Path(path) if path else None, runtime
        self._file: dict[str, Token] = {}
        self._store: dict[str, Token] = {}
        self._stamp: tuple[int, int] | None = None
        self._began_at = self._store_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    def of_file(cls, path: str | Path) -> Tokens:
        """Raises Invalid with every fault of the file."""
        found = cls(path)
        found._file = read_file(path)
        return found

    def with_store(self, runtime: Any) -> Tokens:
        """Those in Redis count too. runtime: an AsyncRuntime."""
        self.runtime = runtime
        return self

    async def check(self, header: str | None) -> Grant | None:
        """Whose token an Authorization header holds, None if it holds no good one."""
        scheme, _, text = (header or "").partition(" ")
        good = self._find(text.strip() if scheme.lower() == "bearer" else "")
        if good is None and self.runtime is not None:  # it may be newer than what we have read
            await self.refresh()
            good = self._find(text.strip() if scheme.lower() == "bearer" else "")
        return good

    def _find(self, text: str) -> Grant | None:
        id, digest = split(text)
        known = self._file.get(id) or self._stored().get(id)
        same = hmac.compare_digest(digest, known.sha256 if known else _NOBODY)
        if not known or not same or (known.expires is not None and known.expires <= time.time()):
            return None
        return Grant(known.id, frozenset(known.scopes), known.expires)

    def _stored(self) -> Mapping[str, Token]:
        return self._store if time.monotonic() - self._store_at < STALE else {}

    async def refresh(self) -> None:
        """Read both sources anew. Who asks at the same time waits for one reading, and for a moment after the last."""
        asked = time.monotonic()
        while self._began_at < asked:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read(self._began_at + SOONEST - asked))
            await asyncio.shield(self._reading)

    async def _read(self, pause: float) -> None:
        await asyncio.sleep(max(0.0, pause))
        self._began_at = time.monotonic()
        self._read_file()
        if self.runtime is not None:
            with contextlib.suppress(SwarmError, TimeoutError):
                async with asyncio.timeout(2):
                    self._store = {t.id: t for t in await self.runtime.access.list()}
                self._store_at = self._began_at

    def _read_file(self) -> None:
        if self.path is None:
            return
        try:
            stat = self.path.stat()
            stamp = stat.st_mtime_ns, stat.st_ino
            if stamp != self._stamp:
                self._file, self._stamp = read_file(self.path), stamp
        except (OSError, SwarmError) as e:  # what was read before stays: a half-written file must not lock all out
            log.warning("%s is not read again: %s", self.path, e)

    async def run(self) -> None:
        """Read again every second, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(EVERY)


_NOBODY = hashlib.sha256(b"nobody").hexdigest()[:-1] + "x"  # no digest looks like this


def read_file(path: str | Path) -> dict[str, Token]:
    """The tokens of a file: a list of {"id", "sha256", "scopes", "expires"}. Raises Invalid with every fault."""
    said = wire.read_file(path, list, "a list of tokens")
    found: dict[str, Token] = {}
    faults: list[str] = []
    for i, one in enumerate(said):
        try:
            token = _token(one, f"[{i}]")
            if token.id in found:
                raise Invalid(f"[{i}].id", f"{token.id} is there twice")
            found[token.id] = token
        except Invalid as e:
            faults.append(str(e))
    if faults:
        raise Invalid(str(path), "; ".join(faults[:20]))
    return found


def _token(one: Any, at: str) -> Token:
    if not isinstance(one, dict):
        raise Invalid(at, "is not an object")
    digest, expires = one.get("sha256"), one.get("expires")
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise Invalid(f"{at}.sha256", "is not 64 hexadecimal digits in lower case")
    if expires is not None and (isinstance(expires, bool) or not isinstance(expires, int | float)):
        raise Invalid(f"{at}.expires", "is not seconds since 1970, or null")
    scopes: Sequence[Any] = one.get("scopes") or ()
    if isinstance(scopes, str) or not isinstance(scopes, list) or not scopes:
        raise Invalid(f"{at}.scopes", f"is not a list of some of {', '.join(SCOPES)}")
    held = tuple(one_of(scope, SCOPES, f"{at}.scopes[{i}]") for i, scope in enumerate(scopes))
    return Token(name(one.get("id"), f"{at}.id"), digest, held, expires)
