"""What tests of the API share beside `Coordinator`: clients, bytes as they are, and waiting."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.services.coordinator import Coordinator

JSON = {"content-type": "application/json"}
PAGE = "http://pages.test:5173"  # an origin that is allowed


def client(api: Coordinator, who: str = "admin", **more: Any) -> httpx.Client:
    """A client with the token of `who`, or with none for ""."""
    head = {"Authorization": f"Bearer {api.tokens[who]}"} if who else {}
    return httpx.Client(base_url=api.url, headers=head, timeout=60, trust_env=False, **more)


def memory(api: Coordinator) -> int:
    """What its process holds, in KiB."""
    text = Path(f"/proc/{api.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])


def until(true: Callable[[], Any], what: str, within: float = 30.0) -> Any:
    """What `true` gives as soon as it is something. Fails when that takes too long."""
    end = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < end, f"{what}: not within {within:g} s"
        time.sleep(0.02)
    return found


def talk(api: Coordinator, within: float = 30.0) -> socket.socket:
    """A connection, to say on it what no client would."""
    return socket.create_connection(("127.0.0.1", api.port), within)


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def raw(api: Coordinator, sent: bytes) -> bytes:
    """What is answered to these bytes, which should ask for the connection to be closed."""
    with talk(api) as connection:
        connection.sendall(sent)
        return rest(connection)
