"""Leaves a Redis that belongs to others as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.op import command


@contextmanager
def emptied(rt: Runtime) -> Iterator[None]:
    """All keys of the runtime's namespace are gone afterwards. Walks the keyspace: for demos, not for hot paths."""
    try:
        yield
    finally:
        cursor, at = b"0", rt.keys.registry()
        while True:
            cursor, keys = rt.run(command(at, "SCAN", cursor, "MATCH", f"{rt.settings.namespace}:*", "COUNT", 500))
            for key in keys:
                rt.run(command(at, "DEL", key))
            if cursor == b"0":
                break
