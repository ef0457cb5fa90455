"""What the dashboard's process is told: where it listens, and which coordinator the page talks to."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swarmops.runtime.errors import Invalid, Several

__all__ = ["Config"]
PORT = 5173
COORDINATOR = "http://127.0.0.1:8002"


@dataclass(frozen=True, slots=True)
class Config:
    """bind: addresses to listen on. coordinator: its URL as browsers reach it, scheme and host and no path."""

    bind: tuple[str, ...] = ("127.0.0.1",)
    port: int = PORT
    coordinator: str = COORDINATOR

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Config:
        """From JSON. Raises Invalid, one line for each fault."""
        if not isinstance(data, Mapping):
            raise Invalid("", "is not a JSON object")
        known = [f.name for f in fields(cls)]
        faults = [f"{key}: unknown (known: {', '.join(known)})" for key in data if key not in known]
        found: dict[str, Any] = {}
        for key, check in (("bind", _bind), ("port", _port), ("coordinator", origin)):
            if key in data:
                try:
                    found[key] = check(data[key])
                except ValueError as e:
                    faults.append(f"{key}: {e}")
        if faults:
            raise Several(faults)
        return cls(**found)

    @classmethod
    def read(cls, file: Path) -> Config:
        """From a file. Raises Invalid, each line of it with the file's name."""
        try:
            return cls.of(json.loads(file.read_text()))
        except OSError as e:
            raise Invalid(str(file), f"{e.strerror or e}") from None
        except ValueError as e:
            raise Invalid(str(file), f"is not JSON: {e}") from None
        except Invalid as e:
            raise Several([f"{file}: {line}" for line in e.lines()]) from None


def origin(value: object) -> str:
    """`http://host:port` of a URL. Raises ValueError: it stands in a header, where nothing else may."""
    shown = repr(value)[:80]
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        parts.port  # noqa: B018 (raises ValueError where it is no number)
    except ValueError:
        raise ValueError(f"{shown} is not a URL") from None
    host = parts.netloc
    if parts.scheme not in ("http", "https") or not host or not all(c.isalnum() or c in "-._:[]" for c in host):
        raise ValueError(f"{shown} is not a URL like http://172.16.168.20:8002")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{shown} has more than scheme, host and port")
    return f"{parts.scheme}://{host}"


def _bind(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(v, str) for v in value):
        raise ValueError(f"{repr(value)[:80]} is not a list of addresses")
    for one in value:
        try:
            ipaddress.ip_address(one)
        except ValueError:
            raise ValueError(f"{one[:80]!r} is not an address") from None
    return tuple(value)


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise ValueError(f"{repr(value)[:80]} is not a port")
    return value
