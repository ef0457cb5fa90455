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

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from swarmops.runtime import environment, wire
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
        for which, (low, high) in environment.LIMITS.items():
            number(getattr(self, which), which, low, high)
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
        return cls(**{**_from_url(url), **_given(more)})

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **more: Any) -> Settings:
        """From SWARMOPS_REDIS_URL or REDIS_URL, then REDIS_HOST and its like. Keywords win.

        Which there are is in swarmops.runtime.environment. Raises Invalid, which names every variable that is wrong.
        """
        return cls(**{**_from_environment(os.environ if env is None else env), **_given(more)})

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
            found["password"] = environment.file_text(said.pop("password_file"))
        return cls(**{**found, **_known(said, str(path)), **_given(more)})

    def to_file(self, path: Path) -> None:
        """Write what `from_file` reads, for a process of ours: the password is in it, so nobody else may read it."""
        usual = Settings()
        said = {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != getattr(usual, f.name)}
        said |= {which: os.path.abspath(said[which]) for which in FILES if which in said}
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(said, file)

    @classmethod
    def find(cls, url: str | None = None, **more: Any) -> Settings:
        """What a command uses. Which Redis it is comes from one place, the first there is: its --redis, the file that
        $SWARMOPS_RUNTIME names, the environment when it has a URL or a host, RUNTIME_FILE, localhost. The rest, such as
        SWARMOPS_NAMESPACE or HEARTBEAT_INTERVAL, the environment says over a file; the query of --redis and
        keywords win over it. Raises Invalid.
        """
        env = os.environ
        if url:
            return cls(**{**_from_environment(env, environment.PACE), **_from_url(url), **_given(more)})
        file = env.get(RUNTIME_VARIABLE)
        if not file and not any(env.get(v) for v in environment.PLACES) and os.access(RUNTIME_FILE, os.R_OK):
            file = RUNTIME_FILE
        if file:
            return cls.from_file(file, **{**_from_environment(env, environment.PACE), **_given(more)})
        return cls.from_env(**more)


def _from_environment(env: Mapping[str, str], only: Sequence[str] = ()) -> dict[str, Any]:
    return environment.fields_of(env, _checked, only)


def _checked(url: str) -> dict[str, Any]:
    found = _from_url(url)
    Settings(**found)
    return found


def _given(more: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in more.items() if v is not None}


READ: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "bool": environment.boolean}


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
        found["password"] = environment.file_text(query.pop("password_file"))
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
