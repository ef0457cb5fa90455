"""One settings object for every way to say which Redis, and how patient to be (S4-16, S4-17, S0-16, S0-17, S3-53).

From keywords, a URL, the environment or a file; all give the same client:

    Settings(host="10.77.0.23", password="...", tls=True, ca="/etc/swarmops/ca.crt")
    Settings.of("rediss://app@10.77.0.23:6380/0?ca=/etc/swarmops/ca.crt")
    Settings.of("redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/swarm")      # .../<master's name>[/db]
    Settings.of("redis+cluster://10.0.0.1:7000,10.0.0.2:7000")
    Settings.from_env()      # what roles/client writes
    Settings.from_file("/etc/swarmops/runtime.json")    # written by roles/client as well
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from swarmops.runtime import wire
from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, number

RUNTIME_FILE = "/etc/swarmops/runtime.json"
RUNTIME_VARIABLE = "SWARMOPS_RUNTIME"  # names another such file: a service is handed its own copy
FILES = ("password_file", "ca", "cert", "key")  # of such a file: names of other files
SCHEMES = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("single", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Which Redis, and how patient to be. Times are seconds. Raises Invalid with the field's name."""

    host: str = "127.0.0.1"
    port: int = 6379
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    unix_socket: str = ""
    kind: str = "single"  # single, sentinel, cluster
    nodes: tuple[tuple[str, int], ...] = ()  # sentinels, or some nodes of the cluster
    master: str = ""  # what the sentinels call it
    sentinel_password: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""
    namespace: str = "swarm"
    connect_timeout: float = 2.0
    timeout: float = 2.0  # for one answer, beyond what a blocking command may take
    patience: float = 10.0  # how long an operation that may be repeated is tried again while Redis is away
    connections: int = 50  # at most, a process
    wait_replicas: int = 0  # a task counts as accepted when so many replicas have it
    wait_timeout: float = 1.0
    heartbeat: float = 30.0  # agents and swarms
    suspect_after: int = 2  # missed beats
    dead_after: int = 3
    lease: float = 10.0  # leadership
    swarm_max: int = 100
    swarm_ttl: float = 86400.0
    snapshot_interval: float = 300.0

    def __post_init__(self) -> None:
        name(self.namespace, "namespace")
        number(self.port, "port", 1, 65535)
        number(self.db, "db", 0, 1_000_000)
        for which in ("connect_timeout", "timeout", "wait_timeout", "heartbeat", "lease", "swarm_ttl"):
            number(getattr(self, which), which, 0.01, 10 * 365 * 86400)
        number(self.snapshot_interval, "snapshot_interval", 0.05, 10 * 365 * 86400)
        number(self.patience, "patience", 0, 86400)
        number(self.connections, "connections", 1, 10_000)
        number(self.wait_replicas, "wait_replicas", 0, 100)
        number(self.swarm_max, "swarm_max", 1, 1_000_000)
        number(self.suspect_after, "suspect_after", 1, 1000)
        number(self.dead_after, "dead_after", self.suspect_after, 1000)
        if self.kind != "single" and not self.nodes:
            raise Invalid("nodes", f"a {self.kind} needs at least one host:port")
        if self.kind == "sentinel" and not self.master:
            raise Invalid("master", "sentinels need the master's name, as in redis+sentinel://host:26379/NAME")
        if bool(self.cert) != bool(self.key):
            raise Invalid("cert" if self.key else "key", "a client certificate needs both a cert and a key")

    @property
    def place(self) -> str:
        """Where Redis is, for people. Never holds the password."""
        if self.unix_socket:
            return f"unix:{self.unix_socket}"
        at = ",".join(f"{h}:{p}" for h, p in self.nodes) or f"{self.host}:{self.port}"
        return f"{self.master}@{at}" if self.master else at

    def but(self, **changes: Any) -> Settings:
        return replace(self, **changes)

    @classmethod
    def of(cls, url: str, **more: Any) -> Settings:
        """From a URL. Its query may name any other field (`?namespace=x&ca=/path`). Keywords win."""
        return cls(**{**_from_url(url), **{k: v for k, v in more.items() if v is not None}})

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **more: Any) -> Settings:
        """From SWARMOPS_REDIS_URL or REDIS_URL, then REDIS_HOST and its like (see ENVIRONMENT). Keywords win."""
        env = os.environ if env is None else env
        found: dict[str, Any] = {}
        url = env.get("SWARMOPS_REDIS_URL") or env.get("REDIS_URL")
        if url:
            found.update(_from_url(url))
        for variable, (which, read) in ENVIRONMENT.items():
            text = env.get(variable, "")
            if text:
                try:
                    found[which] = read(text)
                except (ValueError, OSError) as e:
                    raise Invalid(variable, f"{e}" if which == "password" else f"{text[:80]!r}: {e}") from None
        return cls(**{**found, **{k: v for k, v in more.items() if v is not None}})

    @classmethod
    def from_file(cls, path: str | Path, **more: Any) -> Settings:
        """From JSON such as {"url": "redis://...", "password_file": "...", "namespace": "..."}.

        Names of files in it count from its own folder, so that a service finds what it was handed beside it.
        """
        said = wire.read_file(path, dict, "a JSON object")
        beside = Path(path).parent
        said.update({k: str(beside / said[k]) for k in FILES if isinstance(said.get(k), str) and said[k]})
        found: dict[str, Any] = _from_url(said.pop("url")) if "url" in said else {}
        if "password_file" in said:
            found["password"] = _file(said.pop("password_file"))
        return cls(**{**found, **_known(said, str(path)), **{k: v for k, v in more.items() if v is not None}})

    @classmethod
    def find(cls, url: str | None = None, **more: Any) -> Settings:
        """What a command uses: its --redis, else the file that $SWARMOPS_RUNTIME names, else the environment, else
        RUNTIME_FILE if there is one, else localhost."""
        if url:
            return cls.of(url, **more)
        if told_file := os.environ.get(RUNTIME_VARIABLE):
            return cls.from_file(told_file, **more)
        told = {"SWARMOPS_REDIS_URL", "REDIS_URL", "REDIS_HOST", "AUTOBOT_REDIS_HOST"} & set(os.environ)
        if not told and os.access(RUNTIME_FILE, os.R_OK):
            return cls.from_file(RUNTIME_FILE, **more)
        return cls.from_env(**more)


def _bool(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("is neither true nor false")


def _ms(text: str) -> float:
    return float(text) / 1000


def _file(path: str) -> str:
    try:
        return Path(path).read_text().rstrip("\n")
    except OSError as e:
        raise Invalid(str(path), e.strerror or str(e)) from None


READ: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "bool": _bool}

# Later ones win. The words of the sources (S3-53, S4-12, S4-17) and ours.
ENVIRONMENT: dict[str, tuple[str, Callable[[str], Any]]] = {
    "AUTOBOT_REDIS_HOST": ("host", str),
    "AUTOBOT_REDIS_PORT": ("port", int),
    "AUTOBOT_REDIS_PASSWORD": ("password", str),
    "REDIS_HOST": ("host", str),
    "REDIS_PORT": ("port", int),
    "REDIS_DB": ("db", int),
    "REDIS_USERNAME": ("username", str),
    "REDIS_PASSWORD": ("password", str),
    "REDIS_PASSWORD_FILE": ("password", _file),
    "REDIS_SSL": ("tls", _bool),
    "REDIS_TLS": ("tls", _bool),
    "REDIS_CA": ("ca", str),
    "REDIS_CERT": ("cert", str),
    "REDIS_KEY": ("key", str),
    "SWARMOPS_NAMESPACE": ("namespace", str),
    "SWARMOPS_PATIENCE": ("patience", float),
    "SWARMOPS_WAIT_REPLICAS": ("wait_replicas", int),
    "SWARMOPS_LEASE": ("lease", float),
    "SWARM_MAX_COUNT": ("swarm_max", int),
    "SWARM_TTL": ("swarm_ttl", float),
    "HEARTBEAT_INTERVAL": ("heartbeat", _ms),
    "SNAPSHOT_INTERVAL": ("snapshot_interval", _ms),
}


def _known(said: Mapping[str, Any], where: str) -> dict[str, Any]:
    kinds = {f.name: f.type for f in fields(Settings)}
    found: dict[str, Any] = {}
    for which, value in said.items():
        if which not in kinds:
            raise Invalid(where, f"{which!r} is no setting (there are {', '.join(sorted(kinds))})")
        kind = kinds[which]
        try:
            if isinstance(value, str) and kind in READ:
                value = READ[str(kind)](value)
        except ValueError:
            raise Invalid(f"{where}: {which}", f"{value!r} is not {'a number' if kind != 'bool' else 'true or false'}")
        found[which] = tuple((str(h), int(p)) for h, p in value) if which == "nodes" else value
    return found


def _from_url(url: str) -> dict[str, Any]:
    """Raises Invalid, which never shows the URL: there may be a password in it."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise Invalid("url", f"scheme {parts.scheme[:20]!r} is none of {', '.join(SCHEMES)}")
    kind, tls = SCHEMES[parts.scheme]
    found: dict[str, Any] = {"kind": kind, "tls": tls}
    login, _, at = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    if user:
        found["username"] = unquote(user)
    if password:
        found["password"] = unquote(password)
    query = dict(parse_qsl(parts.query))
    if "password_file" in query:
        found["password"] = _file(query.pop("password_file"))
    found.update(_known(query, "url"))
    if parts.scheme == "unix":
        return {**found, "unix_socket": unquote(parts.path)}
    path = [unquote(p) for p in parts.path.split("/") if p]
    places = [_host_port(p, 26379 if kind == "sentinel" else 6379) for p in at.split(",") if p]
    if kind == "single":
        if len(places) > 1:
            raise Invalid("url", "several hosts: say redis+sentinel:// or redis+cluster://")
        if places:
            found["host"], found["port"] = places[0]
    else:
        found["nodes"] = tuple(places)
    if kind == "sentinel" and path:
        found["master"] = path.pop(0)
    if path:
        if not path[0].isdigit():
            raise Invalid("url", f"database {path[0][:20]!r} is not a number")
        found["db"] = int(path[0])
    return found


def _host_port(text: str, port: int) -> tuple[str, int]:
    host, colon, digits = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), port
    if not digits.isdigit() or not 1 <= int(digits) <= 65535:
        raise Invalid("url", f"port {digits[:20]!r} is not a number from 1 to 65535")
    return host.strip("[]"), int(digits)
