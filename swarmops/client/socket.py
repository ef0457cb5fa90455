"""The WebSocket of an agent: JSON in texts, and one error for all the ways in which it can break."""

from __future__ import annotations

import contextlib
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from swarmops.client.errors import Denied
from swarmops.client.tls import context, mistaken

MOST = 4 << 20  # bytes of a message
WITHIN = 10.0  # seconds to connect


class Broken(Exception):
    """There is no connection (any more)."""


class Socket:
    """Raises ValueError for an address that is none, and for a `ca` that holds no certificates."""

    def __init__(self, url: str, token: str, ca: str | ssl.SSLContext | None):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("the address of a coordinator is https://NAME:PORT, without a token")
        secure = parts.scheme in ("https", "wss")
        self._host, self._port = parts.hostname, parts.port or (443 if secure else 80)
        self.url = f"ws{'s' if secure else ''}://{parts.netloc}{parts.path.rstrip('/')}/agent-connect"
        self._token, self._tls = token, context(ca) if secure else None
        self._connection: Any = None
        self._held = contextlib.ExitStack()

    @property
    def open(self) -> bool:
        return self._connection is not None

    def connect(self) -> None:
        """Raises Broken; Denied when the token is not good."""
        from websockets.exceptions import InvalidStatus, WebSocketException
        from websockets.sync.client import connect

        try:
            opening = connect(
                self.url,
                additional_headers={"Authorization": f"Bearer {self._token}"},
                ssl=self._tls,
                open_timeout=WITHIN,
                close_timeout=2,
                max_size=MOST,
                compression=None,
            )
            self._connection = self._held.enter_context(opening)
        except InvalidStatus as e:
            status = e.response.status_code
            if status in (401, 403):
                raise Denied(status, _sentence(e.response.body)) from None
            raise Broken(f"{self.url} answers {status}") from None
        except (OSError, WebSocketException, TimeoutError) as e:
            why = mistaken(e, self._host, self._port, self._tls is not None)
            raise Broken(f"{self.url}: {why or e or type(e).__name__}") from None

    def send(self, message: dict[str, Any]) -> None:
        """Raises Broken."""
        from websockets.exceptions import WebSocketException

        if self._connection is None:
            raise Broken("there is no connection")
        try:
            self._connection.send(json.dumps(message, allow_nan=False, separators=(",", ":")))
        except (OSError, WebSocketException) as e:
            raise Broken(str(e) or type(e).__name__) from None

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """The next message, None when none came in time. Raises Broken."""
        from websockets.exceptions import WebSocketException

        if self._connection is None:
            raise Broken("there is no connection")
        try:
            found = json.loads(self._connection.recv(timeout))
        except TimeoutError:
            return None
        except (OSError, WebSocketException, ValueError) as e:
            raise Broken(str(e) or type(e).__name__) from None
        return found if isinstance(found, dict) else None

    def close(self) -> None:
        self._connection = None
        with contextlib.suppress(Exception):
            self._held.close()


def _sentence(body: bytes | bytearray | None) -> str:
    try:
        return str(json.loads(body or b"{}").get("error") or "the token is not good")
    except (ValueError, AttributeError):
        return "the token is not good"
