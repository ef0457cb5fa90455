"""Server-sent events of a coordinator, gone on with after every break."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from swarmops.client.errors import ApiError, Away, Untrusted

if TYPE_CHECKING:
    from swarmops.client.http import Client

QUIET = 45.0  # seconds without a sign of life, after which the connection counts as broken


def events(client: Client, since: str | None) -> Iterator[Any]:
    """Without end. Raises ApiError for what waiting does not mend."""
    last, pause = since, 0.2
    while True:
        try:
            for id, event in _read(client, last):
                last, pause = id or last, 0.2
                yield event
        except Untrusted:
            raise
        except (OSError, http.client.HTTPException, Away):
            pass
        time.sleep(random.uniform(0, pause))
        pause = min(pause * 2, 5.0)


def _read(client: Client, last: str | None) -> Iterator[tuple[str, Any]]:
    connection = client.connect(QUIET)
    try:
        headers = {**client._headers(), "Accept": "text/event-stream"}
        if last:
            headers["Last-Event-ID"] = last
        try:
            connection.request("GET", client.base + "/api/events", headers=headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as e:
            client.untrusted(e)
            raise
        if answer.status != 200:
            said = answer.read()
            kind = Away if answer.status in (429, 502, 503, 504) else ApiError
            raise kind(answer.status, said.decode("utf-8", "replace")[:500])
        id, data = "", []
        for raw in answer:
            line = raw.decode().rstrip("\r\n")
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                id = value
            elif field == "data":
                data.append(value)
            elif not line and data:
                yield id, json.loads("\n".join(data))
                data = []
    finally:
        connection.close()
