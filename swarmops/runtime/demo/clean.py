"""Leaves a Redis that belongs to others as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from swarmops.runtime.client.cluster import slot_of
from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.op import command


@contextmanager
def emptied(rt: Runtime) -> Iterator[None]:
    """All keys of the runtime's namespace are gone afterwards, from every node of a cluster. Walks the keyspace: for
    demos, not for hot paths."""
    try:
        yield
    finally:
        for at in _one_for_each_node(rt):
            cursor = b"0"
            while True:
                cursor, keys = rt.run(command(at, "SCAN", cursor, "MATCH", f"{rt.settings.namespace}:*", "COUNT", 500))
                for key in keys:
                    rt.run(command(key.decode(), "DEL", key))
                if cursor == b"0":
                    break


def _one_for_each_node(rt: Runtime) -> Iterator[str]:
    """A key for each: operations go where their key lies."""
    first = rt.keys.registry()
    if rt.settings.kind != "cluster":
        yield first
        return
    ranges = {
        (host, port): (low, high) for low, high, (host, port, *_), *_ in rt.run(command(first, "CLUSTER", "SLOTS"))
    }
    for low, high in ranges.values():
        n = 0
        while not low <= slot_of(rt.keys.queue(f"demo-{n}")) <= high:
            n += 1
        yield rt.keys.queue(f"demo-{n}")
