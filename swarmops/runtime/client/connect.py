"""Connections to Redis, and what their errors mean (S0-15, S4-16). One pool a process and node, no blind retries."""

from __future__ import annotations

import re
import socket
import ssl
from functools import partial
from importlib import import_module
from typing import Any

import redis
from redis import exceptions as rx
from redis.backoff import NoBackoff
from redis.retry import Retry

from swarmops.runtime.errors import BY_CODE, Misconfigured, Refused, SwarmError, Unavailable
from swarmops.runtime.settings import Settings

# Errors of Redis after which the same connection is of no use: ask again who the master is.
_LEAVE = {"READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS", "CLUSTERDOWN", "UNBLOCKED"}
_KINDS = {
    "READONLY": ("readonly", "{at} is a replica now and takes no writes"),
    "MASTERDOWN": ("readonly", "{at} has lost its master"),
    "LOADING": ("loading", "{at} is still loading its data"),
    "NOREPLICAS": ("replicas", "{at} has too few replicas to accept writes (min-replicas-to-write)"),
    "CLUSTERDOWN": ("cluster", "the cluster at {at} is down"),
    "TRYAGAIN": ("cluster", "{at} is moving these keys"),
    "MISCONF": ("disk", "{at} cannot save to its disk and takes no writes"),
    "OOM": ("memory", "{at} has reached maxmemory and takes no more data"),
    "BUSY": ("timeout", "{at} is busy with a script"),
    "NOAUTH": ("login", "{at} wants a password and got none"),
    "WRONGPASS": ("login", "{at} refused the user name or password"),
    "NOPERM": ("permission", "{at}: permission: {text}"),
    "UNBLOCKED": ("readonly", "{at} let go of us: it is a replica now"),
}


def options(settings: Settings, *, timeout: float | None = None) -> dict[str, Any]:
    """Keywords of a redis-py connection."""
    found: dict[str, Any] = {
        "username": settings.username or None,
        "password": settings.password or None,
        "socket_timeout": timeout or settings.timeout,
        "socket_connect_timeout": settings.connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "protocol": 2,
    }
    if settings.kind != "cluster":
        found["db"] = settings.db
    if settings.unix_socket:
        return {**found, "path": settings.unix_socket}
    found["socket_keepalive"] = True
    if settings.tls:
        found |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_min_version": ssl.TLSVersion.TLSv1_2}
        found |= {"ssl_ca_certs": settings.ca or None, "ssl_certfile": settings.cert or None}
        found["ssl_keyfile"] = settings.key or None
        if not settings.password:  # reading an answer takes in the session tickets that redis-py would take for data
            found["client_name"] = "swarmops"
    return found


def explained(e: Exception, settings: Settings, *, unsent: bool = False) -> SwarmError:
    """An error of redis-py or of the system, in our words. `unsent`: the command had not left."""
    at, text = settings.place, str(e)
    if isinstance(e, SwarmError):
        return e
    if isinstance(e, rx.AuthenticationError | rx.AuthorizationError):
        return Unavailable("login", f"{at} refused the user name or password", unsent=True)
    if isinstance(e, rx.ResponseError):
        return answered(e, settings)
    cause: BaseException | None = e
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Unavailable("certificate", f"{at}: its certificate is not good: {cause.verify_message}", unsent=True)
        if isinstance(cause, ssl.SSLError):
            return Unavailable("tls", f"{at} does not speak TLS as we do: {cause.reason or cause}", unsent=True)
        if isinstance(cause, ConnectionRefusedError | FileNotFoundError):
            return Unavailable("refused", f"{at} refused the connection: is Redis running there?", unsent=True)
        if isinstance(cause, socket.gaierror):
            return Unavailable("name", f"{at}: no such host name", unsent=True)
        cause = cause.__cause__ or cause.__context__
    if isinstance(e, rx.TimeoutError | TimeoutError):
        return Unavailable("timeout", f"{at} did not answer within {settings.timeout:g} s", unsent=unsent)
    if "SSL" in text or "CERTIFICATE" in text.upper():
        return Unavailable("tls", f"{at}: {text}", unsent=True)
    if type(e).__name__ == "MasterNotFoundError":
        return Unavailable("sentinel", f"no sentinel at {at} knows a master that is up", unsent=True)
    return Unavailable("closed", f"{at}: the connection broke: {text or type(e).__name__}", unsent=unsent)


def answered(e: rx.ResponseError, settings: Settings) -> SwarmError:
    """An error that Redis answered."""
    code, text = code_of(e)
    if code in BY_CODE:
        return BY_CODE[code](text)
    if code in _KINDS:
        kind, sentence = _KINDS[code]
        return Unavailable(kind, sentence.format(at=settings.place, text=text), unsent=True)
    if code in ("MOVED", "ASK"):
        return Unavailable("moved", f"{settings.place}: a slot has moved", unsent=True)
    if code == "WRONGTYPE":
        return Refused("a key of ours holds another type of value: something else writes to this namespace")
    if "user_script" in text and "but found" in text:  # a script met what is no JSON
        return Refused("a key of ours holds what we did not write: something else writes to this namespace")
    return Refused(f"Redis says: {code} {text}".strip())


def code_of(e: rx.ResponseError) -> tuple[str, str]:
    """The first word of what Redis said, which redis-py takes off where it knows it, and the rest."""
    known = {
        rx.ReadOnlyError: "READONLY",
        rx.BusyLoadingError: "LOADING",
        rx.NoScriptError: "NOSCRIPT",
        rx.NoPermissionError: "NOPERM",
        rx.OutOfMemoryError: "OOM",
        rx.ClusterDownError: "CLUSTERDOWN",
        rx.MasterDownError: "MASTERDOWN",
        rx.TryAgainError: "TRYAGAIN",
        rx.MovedError: "MOVED",
        rx.AskError: "ASK",
    }
    text = str(e)
    if text.startswith("Error running script"):  # Redis 6.2 says so in front of what a command in it met
        text = re.sub(r"^.*?(@user_script: ?\d+: )+-?", "", text)
    first, _, rest = text.partition(" ")
    for kind, code in known.items():
        if isinstance(e, kind):
            return code, rest if first == code else text
    return (first.rstrip(":"), rest) if first.rstrip(":").isupper() else ("", text)


def leaves(e: Exception) -> bool:
    """After this error the connection is dropped, so that the next one asks again where the master is."""
    return not isinstance(e, rx.ResponseError) or code_of(e)[0] in _LEAVE


def check_policy(info: bytes, settings: Settings) -> None:
    """Raises Misconfigured when this Redis may throw coordination data away (X-04; shown by experiment)."""
    for line in info.splitlines():
        field, _, value = line.partition(b":")
        if field == b"maxmemory_policy" and value.strip() not in (b"noeviction", b""):
            policy = value.decode().strip()
            raise Misconfigured(
                f"{settings.place} has maxmemory-policy {policy}: it may drop queues, state and the leader without an "
                "error. Set it to noeviction, or use another Redis for this"
            )


def pool(settings: Settings, library: Any = redis) -> Any:
    """The pool for one node (settings.kind single or sentinel). library: redis, or redis.asyncio."""
    part = partial(import_module, package=library.__name__)
    kwargs = {**options(settings), "max_connections": settings.connections}
    kwargs["retry"] = part(".retry").Retry(NoBackoff(), 0)
    if settings.kind == "sentinel":
        ask = {k: v for k, v in kwargs.items() if k.startswith("socket_") or k == "retry"}
        kwargs["ssl"] = settings.tls
        sentinels = part(".sentinel").Sentinel(
            list(settings.nodes), sentinel_kwargs={**ask, "password": settings.sentinel_password or None}, **kwargs
        )
        return sentinels.master_for(settings.master).connection_pool
    if settings.unix_socket:
        return library.ConnectionPool(connection_class=library.UnixDomainSocketConnection, **kwargs)
    connection = library.SSLConnection if settings.tls else library.Connection
    return library.ConnectionPool(connection_class=connection, host=settings.host, port=settings.port, **kwargs)
