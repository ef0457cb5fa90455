"""Swarms that beat, miss their beats, expire, and make room (S3-04 to S3-07, S3-38)."""

from __future__ import annotations

import asyncio
import time

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Full, Illegal, NotFound
from swarmops.runtime.registry.beating import AsyncBeating, Beating, SwarmBeat
from tests.runtime.indexes import indexes_agree, members
from tests.runtime.raw import raw
from tests.runtime.server import Server
from tests.waiting import until


def test_150_swarms_at_once_keep_themselves_alive_and_end(rt: Runtime, server: Server) -> None:
    """S3-04, S3-07: for three times as long as it takes to be interrupted, nobody is."""

    async def main() -> None:
        async with AsyncRuntime(server.settings.but(swarm_max=150, heartbeat=0.8)) as art:
            made = await asyncio.gather(*[art.swarms.create(f"number {i}") for i in range(150)])
            with pytest.raises(Full):
                await art.swarms.create("one more")
            beat = SwarmBeat(art, [s.id for s in made])
            async with AsyncBeating(beat):
                await asyncio.gather(*[art.swarms.status(s.id, "active") for s in made])
                begun = time.monotonic()
                while time.monotonic() - begun < 7.2:
                    assert len(await art.swarms.list("active", limit=200)) == 150
                    await asyncio.sleep(0.2)
                await asyncio.gather(*[art.swarms.status(s.id, "completed") for s in made])
                async with asyncio.timeout(60):
                    while beat.ids:
                        await asyncio.sleep(0.05)

    asyncio.run(main())
    indexes_agree(rt)
    assert len(members(rt, "completed")) == 150


def test_a_swarm_that_misses_its_beats_is_interrupted_and_told_so(rt: Runtime) -> None:
    """S3-38."""
    id = rt.swarms.create("x", heartbeat=0.6).id
    rt.swarms.status(id, "active")
    told: list[tuple[str, str | None]] = []
    ours = SwarmBeat(rt, [id], 0.1, lambda id, status: told.append((id, status)))
    with Beating(ours):
        time.sleep(2.2)  # longer than three beats may take
        assert rt.swarms.get(id).status == "active"
    until(lambda: rt.swarms.get(id).status == "interrupted")
    assert rt.swarms.get(id).why == "no beat in time" and members(rt, "active") == set()
    with Beating(ours):
        until(lambda: told)
        assert told == [(id, "interrupted")] and rt.swarms.get(id).status == "interrupted", "a beat does not revive it"
        rt.swarms.status(id, "recovering")
        rt.swarms.status(id, "active")
        time.sleep(2.2)  # longer than three beats may take
        assert rt.swarms.get(id).status == "active"
        rt.swarms.remove(id)
        until(lambda: not ours.ids)
    indexes_agree(rt)


def test_a_step_from_a_status_whose_time_is_over_is_refused_though_nobody_swept(rt: Runtime) -> None:
    id = rt.swarms.create("x").id
    rt.swarms.status(id, "active")
    raw(rt, "ZADD", rt.keys.registry("swarm_due"), 1, id)  # its time was over long ago
    with pytest.raises(Illegal, match="is interrupted"):
        rt.swarms.status(id, "completed")
    assert rt.swarms.sweep().interrupted == (id,)


def test_expired_swarms_leave_every_index_and_the_archive_forgets(rt: Runtime, server: Server) -> None:
    """S3-05, S3-06. Interrupted first, archived a time to live later; unreadable after 7 days."""
    with Runtime(server.settings.but(swarm_ttl=2, heartbeat=0.5)) as hasty:
        live, ended = hasty.swarms.create("live").id, hasty.swarms.create("ended").id
        hasty.swarms.status(ended, "failed")
    until(lambda: not rt.swarms.list())
    indexes_agree(rt)
    assert {(a.id, a.status, a.reason) for a in rt.swarms.archive()} == {
        (live, "interrupted", "expired"),
        (ended, "failed", "expired"),
    }
    assert [a.id for a in rt.swarms.archive(limit=1, offset=1)] == [rt.swarms.archive()[1].id]
    week_ago = rt.swarms.archived(live).archived_ms - 7 * 86_400_000 - 1
    raw(rt, "ZADD", rt.keys.registry("swarm_archived"), week_ago, live)
    with pytest.raises(NotFound):
        rt.swarms.archived(live)
    assert [a.id for a in rt.swarms.archive()] == [ended]
    rt.swarms.remove(rt.swarms.create("x").id)
    assert raw(rt, "HEXISTS", rt.keys.registry("swarm_archive"), live) == 0, "the next one cleared it away"


def test_many_that_have_ended_make_room(rt: Runtime) -> None:
    """1,000 ended ones are kept beside the live, the oldest go to the archive."""
    ops = [rt.swarms.create.op("x", id=f"s{i}") for i in range(100)]
    for turn in range(11):
        made = rt.run_many([rt.swarms.create.op("x", id=f"s{turn}-{i}") for i in range(len(ops))])
        rt.run_many([rt.swarms.status.op(s.id, "failed") for s in made])
    assert raw(rt, "ZCARD", rt.keys.registry("swarm_ended")) == 1000
    assert len(rt.swarms.archive(limit=1000)) == 100 and rt.swarms.archived("s0-0").reason == "many have ended since"
    indexes_agree(rt)
