"""What `swarmops api` is told: coordinator.json, which the role `coordinator` writes. It holds no secrets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from swarmops.gateways.desk.times import Times
from swarmops.runtime import wire
from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, names, number

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:.]+\](:\d{1,5})?")
HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")


@dataclass(frozen=True, slots=True)
class Limits:
    """body, context: bytes; rate: requests a second and token; wait: seconds a request may wait for a result.

    head, slow: seconds in which the head and the body of a request must be there.
    """

    body: int = 1 << 20
    context: int = 16 << 20
    rate: float = 200.0
    wait: float = 60.0
    head: float = 10.0
    slow: float = 30.0

    def __post_init__(self) -> None:
        number(self.body, "limits.body", 1024, 1 << 26)
        number(self.context, "limits.context", 1024, 1 << 26)
        number(self.rate, "limits.rate", 0, 1e6)
        number(self.wait, "limits.wait", 0, 600)
        number(self.head, "limits.head", 0.1, 600)
        number(self.slow, "limits.slow", 0.1, 600)


@dataclass(frozen=True, slots=True)
class Config:
    """bind: addresses; hosts: names that callers may use for us, the addresses of `bind` always; origins: pages that
    may ask from browsers; tokens: a file beside this one; tls: certificate and key, files beside it too;
    ca: certificates that are trusted besides the system's where services are looked at by https, a file too;
    nodes, services: the fleet as it was declared; duties: also do the leader's work. Raises Invalid.
    """

    bind: tuple[str, ...] = ("127.0.0.1",)
    port: int = 8002
    name: str = ""
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    tokens: Path | None = None
    tls: tuple[Path, Path] | None = None
    ca: Path | None = None
    queues: tuple[str, ...] = ("default",)
    nodes: tuple[dict[str, Any], ...] = ()
    services: tuple[dict[str, Any], ...] = ()
    backups: tuple[dict[str, Any], ...] = ()
    limits: Limits = field(default_factory=Limits)
    agents: Times = field(default_factory=Times)
    duties: bool = True

    @property
    def all_hosts(self) -> tuple[str, ...]:
        return (*self.hosts, *self.bind)


def read(path: str | Path) -> Config:
    """The configuration in a file; other files in it are relative to its folder. Raises Invalid with every fault."""
    said = wire.read_file(path, dict, "a JSON object")
    return of(said, Path(path).parent, str(path))


def of(said: dict[str, Any], folder: Path, where: str = "configuration") -> Config:
    """The same from what the file says."""
    known = {f.name for f in fields(Config)}
    faults = [f"{key}: is not known" for key in said if key not in known]
    found: dict[str, Any] = {}
    for key, value in said.items():
        if key in known:
            try:
                found[key] = _READ[key](value, key, folder)
            except Invalid as e:
                faults.append(str(e))
            except (TypeError, ValueError) as e:
                faults.append(f"{key}: {e}")
    if faults:
        raise Invalid(where, "; ".join(faults[:20]))
    return Config(**found)


def _addresses(value: Any, path: str, _: Path) -> tuple[str, ...]:
    return tuple(_each(value, path, lambda one, at: _matches(one, at, _is_address, "an address")))


def _origins(value: Any, path: str, _: Path) -> tuple[str, ...]:
    return tuple(
        _each(value, path, lambda one, at: _matches(one, at, ORIGIN.fullmatch, "an origin (http://host:port)"))
    )


def _hosts(value: Any, path: str, _: Path) -> tuple[str, ...]:
    return tuple(_each(value, path, lambda one, at: _matches(one, at, HOST.fullmatch, "a host name or address")))


def _objects(value: Any, path: str, _: Path) -> tuple[dict[str, Any], ...]:
    def check(one: Any, at: str) -> dict[str, Any]:
        if not isinstance(one, dict):
            raise Invalid(at, "is not an object")
        return one

    return tuple(_each(value, path, check))


def _limits(value: Any, path: str, _: Path) -> Limits:
    known = [f.name for f in fields(Limits)]
    if not isinstance(value, dict):
        raise Invalid(path, "is not an object")
    if unknown := [key for key in value if key not in known]:
        raise Invalid(f"{path}.{unknown[0]}", f"is not known (there are {', '.join(known)})")
    return Limits(**value)


def _file(value: Any, path: str, folder: Path) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Invalid(path, "is not the name of a file")
    return folder / value


def _tls(value: Any, path: str, folder: Path) -> tuple[Path, Path] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"cert", "key"}:
        raise Invalid(path, 'is not {"cert": file, "key": file}')
    files = [_file(value[which], f"{path}.{which}", folder) for which in ("cert", "key")]
    if not files[0] or not files[1]:
        raise Invalid(path, "names no files")
    return files[0], files[1]


def _bool(value: Any, path: str, _: Path) -> bool:
    if not isinstance(value, bool):
        raise Invalid(path, "is not true or false")
    return value


def _each(value: Any, path: str, check: Callable[[Any, str], Any]) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid(path, "is not a list")
    return [check(one, f"{path}[{i}]") for i, one in enumerate(value)]


def _matches(value: Any, path: str, fits: Callable[[str], Any], what: str) -> str:
    if not isinstance(value, str) or not fits(value):
        raise Invalid(path, f"{str(value)[:80]!r} is not {what}")
    return value


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


_READ: dict[str, Callable[[Any, str, Path], Any]] = {
    "bind": _addresses,
    "port": lambda value, path, _: int(number(value, path, 0, 65535)),
    "name": lambda value, path, _: name(value, path),
    "origins": _origins,
    "hosts": _hosts,
    "tokens": _file,
    "ca": _file,
    "tls": _tls,
    "queues": lambda value, path, _: names(value, path, 100),
    "nodes": _objects,
    "services": _objects,
    "backups": _objects,
    "limits": _limits,
    "agents": lambda value, path, _: Times.of(value),
    "duties": _bool,
}
