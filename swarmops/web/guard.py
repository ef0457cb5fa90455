"""Who may come in: one ASGI middleware in front of everything (S15, S16, cases 79, 81, 82).

All but `open_paths` needs `Authorization: Bearer <id>.<secret>`; WebSockets from browsers, which cannot set headers,
may offer the subprotocol `bearer.<token>` instead. Whoever it is stands in `scope["state"]["grant"]` (None on open
paths without a good token). What a path needs is asked by `allow`, by a route or by `needs`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from swarmops.runtime.errors import Forbidden, SwarmError
from swarmops.web.answers import Wrong, answer, refuse
from swarmops.web.limits import Hosts, Limits
from swarmops.web.tokens import Grant, Tokens

__all__ = ["Guard", "Hosts", "Limits", "allow", "grant_of", "header"]
Scope = MutableMapping[str, Any]
Needs = Callable[[Scope], Sequence[str]]
_IN_URL = {"token", "access_token", "auth", "authorization", "bearer", "api_key", "apikey", "secret", "password"}
_LIKE_ONE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\.[A-Za-z0-9_-]{40,}")
WHO = "a good token is needed: Authorization: Bearer <id>.<secret>"


def header(scope: Scope, which: bytes) -> str:
    """The first header of this (lower-case) name, "" for none."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == which), "")


def grant_of(scope: Scope) -> Grant | None:
    """Who asks."""
    found: Grant | None = scope.get("state", {}).get("grant")
    return found


def allow(scope: Scope, *any_of: str) -> Grant:
    """Who asks, if they may. Raises Wrong (401) for nobody, Forbidden with the scope that is lacking."""
    grant = grant_of(scope)
    if grant is None:
        raise Wrong(401, WHO, headers=_ASK)
    if not grant.may(*any_of):
        raise Forbidden(f"the token {grant.id} lacks the scope {' or '.join(any_of)}")
    return grant


_ASK = {"www-authenticate": "Bearer"}


class Guard:
    """Lets through who has a good token.

    needs: what a request needs (any of these scopes), where routes do not ask themselves: a function of the scope, or
    a mapping from paths, "" for all others.
    """

    def __init__(
        self,
        app: Any,
        tokens: Tokens | None,
        open_paths: Collection[str] = (),
        needs: Needs | Mapping[str, Sequence[str]] | None = None,
        origins: Collection[str] = (),
    ):
        self.app, self.tokens, self.open_paths, self.origins = app, tokens, frozenset(open_paths), frozenset(origins)
        self.needs: Needs | None = needs if needs is None or callable(needs) else _by_path(needs)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            await self._look(scope)
        except (Wrong, SwarmError) as e:
            await refuse(answer(e), scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _look(self, scope: Scope) -> None:
        if _token_in_url(scope["query_string"]):
            raise Wrong(400, "a token in the URL ends up in logs: send it in the header Authorization", "query")
        if scope["type"] == "websocket" and (origin := header(scope, b"origin")) and origin not in self.origins:
            raise Wrong(403, "this page may not connect here: its origin is not on the list")
        said = _said(scope)
        state = scope.setdefault("state", {})
        if self.tokens is None:  # a service that only listens on loopback
            state["grant"] = Grant("local", frozenset(("admin",)))
            return
        is_open = scope["path"] in self.open_paths
        state["grant"] = None if is_open and not said else await self.tokens.check(said)
        if is_open:
            return
        if state["grant"] is None:
            raise Wrong(401, WHO, headers=_ASK)
        if self.needs and (wanted := self.needs(scope)):
            allow(scope, *wanted)


def _by_path(needs: Mapping[str, Sequence[str]]) -> Needs:
    return lambda scope: needs.get(scope["path"], needs.get("", ()))


def _said(scope: Scope) -> str:
    if said := header(scope, b"authorization"):
        return said
    if scope["type"] == "websocket":
        for offered in scope.get("subprotocols", ()):
            if offered.startswith("bearer."):
                return f"Bearer {offered.removeprefix('bearer.')}"
    return ""


def _token_in_url(query: bytes) -> bool:
    if not query:
        return False
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return any(key.lower() in _IN_URL or _LIKE_ONE.fullmatch(value) for key, value in pairs)
