"""Tokens for those who ask over HTTP: kept in Redis, only as hashes (S16)."""

from swarmops.runtime.access.room import SCOPES, Access, Token, issue, split

__all__ = ["SCOPES", "Access", "Token", "issue", "split"]
