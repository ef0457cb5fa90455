"""The indexes of swarms: that they tell the same as the records."""

from __future__ import annotations

from swarmops.runtime import Runtime
from swarmops.runtime.registry.swarms import STATUSES
from tests.runtime.raw import raw


def members(rt: Runtime, status: str) -> set[str]:
    return {id.decode() for id in raw(rt, "SMEMBERS", rt.keys.registry("swarm_status", status))}


def indexes_agree(rt: Runtime) -> None:
    """Each swarm has its record, and is in the one index of its status, in the list, and in the times."""
    every = {s.id: s.status for s in rt.swarms.list(limit=10_000)}
    for status in STATUSES:
        assert members(rt, status) == {id for id, s in every.items() if s == status}
    for part in ("swarms", "swarm_due"):
        assert {id.decode() for id in raw(rt, "ZRANGE", rt.keys.registry(part), 0, -1)} == set(every)
    ended = {id.decode() for id in raw(rt, "ZRANGE", rt.keys.registry("swarm_ended"), 0, -1)}
    assert ended == {id for id, s in every.items() if s in ("completed", "failed")}
    assert len(raw(rt, "KEYS", rt.keys.registry("swarm", "*").replace("{", "\\{"))) == len(every)
