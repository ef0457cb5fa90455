"""S0-30, S0-31: a site and the centre, each a real Redis, one of them killed in between."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.context.uplink import AsyncUplink, Uplink
from swarmops.runtime.errors import NotFound, SwarmError, Unavailable
from swarmops.runtime.flow import On
from swarmops.runtime.op import Op
from swarmops.runtime.tasks.records import Outcome
from tests.runtime.server import Server
from tests.waiting import until


@dataclass
class Both:
    here: Server
    there: Server
    site: Runtime
    centre: Runtime
    link: Uplink


@pytest.fixture
def both(own_server: Callable[..., Server]) -> Iterator[Both]:
    here, there = own_server(), own_server()
    with Runtime(here.settings) as site, Runtime(there.settings.but(patience=0)) as centre:
        yield Both(here, there, site, centre, Uplink(site, centre, "paris"))


def work(rt: Runtime, queue: str = "default", want: int = 100) -> list[str]:
    """Do what is ready; the ids."""
    claims = rt.tasks.step("worker", want=want, queue=queue).tasks
    rt.tasks.step("worker", [Outcome(c.id, c.attempt, b'"done"') for c in claims], queue=queue)
    return [c.id for c in claims]


def central_data(rt: Runtime, shard: str) -> list[Any]:
    return [f.data for f in rt.findings.list(shard, limit=10_000).findings]


def test_findings_arrive_in_order_with_their_ids_and_once(both: Both) -> None:
    both.site.shards.register("s", "look")
    ids = [both.site.findings.add("s", "t", i, "w") for i in range(1203)]
    assert both.link.sync_now().pushed == 1203
    first = both.site.findings.get(ids[0])
    kept = both.centre.findings.get(ids[0])
    assert (kept.data, kept.at, kept.author, kept.site) == (first.data, first.at, "w", "paris")
    assert central_data(both.centre, "s") == list(range(1203))
    assert both.link.sync_now().pushed == 0
    assert both.centre.shards.status()["shards"][0]["findings_count"] == 1203


def test_a_retry_after_a_lost_answer_makes_no_duplicates(both: Both) -> None:
    """The centre has taken the findings, and we die before noting it."""
    both.site.shards.register("s")
    both.site.run_many([both.site.findings.add.op("s", "t", i) for i in range(50)])
    both.link.sync_now()
    key = both.site.keys.registry("uplink")
    both.site.run(Op("", (key,), ("HDEL", key, "cursor:s")))
    assert both.link.status().behind == 50
    assert both.link.sync_now().pushed == 0 and both.link.status().behind == 0
    assert central_data(both.centre, "s") == list(range(50))


def test_local_work_goes_on_with_the_centre_gone_and_it_catches_up(both: Both) -> None:
    both.site.shards.register("s")
    both.site.findings.add("s", "t", 0)
    both.link.sync_now()
    both.there.kill()
    for i in range(1, 20):
        both.site.findings.add("s", "t", i)
    ref = both.site.shards.load_context("s", "text").reference
    both.site.tasks.submit("echo")
    assert work(both.site) and both.link.resolve(ref) == b"text"
    with pytest.raises(Unavailable):
        both.link.sync_now()
    status = both.link.status()
    assert status.behind == 19 and status.lag > 0 and "127.0.0.1" in status.error and status.failures == 1
    both.there.start()
    assert until(lambda: _try(both.link)).pushed == 19
    status = both.link.status()
    assert (status.behind, status.lag, status.error, status.pushed) == (0, 0.0, "", 20) and status.last_ok
    assert central_data(both.centre, "s") == list(range(20))


def _try(link: Uplink) -> Any:
    try:
        return link.sync_now()
    except Unavailable:
        return None


def test_findings_of_a_dead_shard_arrive_too_and_it_stays_dead(both: Both) -> None:
    both.site.shards.register("s", ttl=0.05)
    both.site.findings.add("s", "t", 1)
    until(lambda: both.site.shards.status()["total_shards"] == 0)
    both.link.sync_now()
    assert central_data(both.centre, "s") == [1]
    until(lambda: both.centre.shards.status()["total_shards"] == 0)


def test_tasks_are_pulled_done_here_and_their_results_go_back(both: Both) -> None:
    specs = [both.centre.tasks.submit("echo", {"n": n}, queue="site-paris", meta={"k": n}).id for n in range(20)]
    assert both.link.sync_now().pulled == 20
    assert sorted(work(both.site)) == sorted(specs)
    bad = both.centre.tasks.submit("fail", queue="site-paris").id
    assert both.link.sync_now().returned == 20
    claim = both.site.tasks.step("worker", want=1).tasks[0]
    both.site.tasks.step("worker", [Outcome(claim.id, claim.attempt, error="broken", retry=False)])
    both.link.sync_now()
    assert {both.centre.tasks.get(i, queue="site-paris").status for i in specs} == {"done"}
    failed = both.centre.tasks.get(bad, queue="site-paris")
    assert failed.status == "dead" and "dead at site paris: broken" in (failed.error or "")
    assert both.link.status().held == 0 and both.link.sync_now().pulled == 0


def test_no_more_tasks_are_held_than_allowed(both: Both) -> None:
    link = Uplink(both.site, both.centre, "paris", hold=3)
    for _ in range(5):
        both.centre.tasks.submit("echo", queue="site-paris")
    assert [link.sync_now().pulled, link.sync_now().pulled] == [3, 0]
    work(both.site)
    assert link.sync_now().as_dict() == {"pushed": 0, "pulled": 2, "returned": 3, "sent": 0}


class Died(BaseException):
    pass


def sync_and_die(both: Both, at: int) -> bool:
    """A synchronisation that ends for good before its step number `at`. True: it came to its end before."""
    link = Uplink(both.site, both.centre, "paris", queues={"site-paris": "default"})
    steps = link.sync_steps()
    result: Any = None
    try:
        for _ in range(at):
            step = steps.send(result)
            if callable(step):
                result = step()
            else:
                on = step if isinstance(step, On) else On(both.site, step)
                result = on.runtime.run_many(on.ops)
                assert not [r for r in result if isinstance(r, SwarmError)]
    except StopIteration:
        return True
    steps.close()
    return False


def test_death_at_any_step_loses_no_task_and_no_finding_and_doubles_none(both: Both) -> None:
    both.site.shards.register("s")
    both.site.shards.load_context("s", "text")
    at, rounds, done, submitted = 0, 0, [], []
    ended = False
    while not ended and at < 60:
        at += 1
        for _ in range(2):
            submitted.append(both.centre.tasks.submit("echo", queue="site-paris").id)
            both.site.findings.add("s", "t", rounds)
            rounds += 1
        ended = sync_and_die(both, at)
        done += work(both.site)
    assert ended and at > 6
    for _ in range(3):
        both.link.sync_now()
        done += work(both.site)
    both.link.sync_now()
    assert sorted(done) == sorted(submitted)
    assert {both.centre.tasks.get(i, queue="site-paris").status for i in submitted} == {"done"}
    assert central_data(both.centre, "s") == list(range(rounds))
    assert both.link.status().held == 0 and both.centre.tasks.depth("site-paris").running == 0


def test_a_task_that_was_noted_and_not_submitted_is_submitted_by_the_next_synchronisation(both: Both) -> None:
    """The local Redis went away in the middle of a flush."""
    task = both.centre.tasks.submit("echo", {"n": 1}, queue="site-paris").id
    both.link.sync_now()
    assert both.site.tasks.cancel(task) and both.site.tasks.purge("ended") == 1
    both.link.sync_now()
    assert both.site.tasks.get(task).args == {"n": 1} and work(both.site) == [task]
    both.link.sync_now()
    assert both.centre.tasks.get(task, queue="site-paris").status == "done"


def test_the_centre_is_killed_while_tasks_are_out_and_has_their_results_in_the_end(both: Both) -> None:
    ids = [both.centre.tasks.submit("echo", queue="site-paris").id for _ in range(10)]
    both.link.sync_now()
    both.there.kill()
    assert len(work(both.site)) == 10
    with pytest.raises(Unavailable):
        both.link.sync_now()
    both.there.start()
    until(lambda: _try(both.link))
    assert {both.centre.tasks.get(i, queue="site-paris").status for i in ids} == {"done"}


def test_a_task_whose_lease_ran_out_at_the_centre_is_not_done_twice_here(both: Both) -> None:
    link = Uplink(both.site, both.centre, "paris", lease=0.05)
    task = both.centre.tasks.submit("echo", queue="site-paris").id
    link.sync_now()
    assert work(both.site) == [task]
    until(lambda: both.centre.tasks.step("watcher", queue="site-paris") and _ready(both.centre, task))
    until(lambda: link.sync_now() and both.centre.tasks.get(task, queue="site-paris").status == "done")
    assert work(both.site) == []


def _ready(rt: Runtime, task: str) -> bool:
    return rt.tasks.get(task, queue="site-paris").status == "ready"


def test_a_context_is_fetched_when_it_is_first_needed_from_the_centre_or_another_site(
    both: Both, own_server: Callable[..., Server]
) -> None:
    kept = both.centre.contexts.store("central text", "c.md")
    assert both.link.resolve(kept.ref) == b"central text" and both.site.contexts.read(kept.ref) == b"central text"
    both.site.shards.register("s")
    mine = both.site.shards.load_context("s", "text of paris", "p.md")
    both.link.sync_now()
    newest = both.centre.shards.get("s").newest
    assert newest and newest.reference == mine.reference
    with Runtime(own_server().settings) as lyon_rt:
        lyon = Uplink(lyon_rt, both.centre, "lyon")
        with pytest.raises(NotFound, match="neither here nor at the centre"):
            lyon.resolve(newest.reference)
        assert both.link.sync_now().sent == 1 and both.link.sync_now().sent == 0
        assert lyon.resolve(newest.reference) == b"text of paris"


def test_a_thread_synchronises_every_so_often_and_survives_the_centre(both: Both) -> None:
    link = Uplink(both.site, both.centre, "paris", every=0.05).start()
    try:
        both.site.shards.register("s")
        both.site.findings.add("s", "t", 1)
        until(lambda: link.status().pushed == 1)
        both.there.kill()
        until(lambda: link.status().failures)
        both.site.findings.add("s", "t", 2)
        both.there.start()
        until(lambda: link.status().pushed == 2)
    finally:
        link.stop()


def test_asyncio_does_the_same(both: Both) -> None:
    async def main() -> None:
        async with AsyncRuntime(both.here.settings) as site, AsyncRuntime(both.there.settings) as centre:
            link = AsyncUplink(site, centre, "paris", every=0.05)
            loop = asyncio.create_task(link.run())
            await site.shards.register("s")
            await site.findings.add("s", "t", 1)
            kept = await centre.contexts.store("x")
            assert await link.resolve(kept.ref) == b"x"
            for _ in range(500):
                if (await link.status()).pushed:
                    break
                await asyncio.sleep(0.02)
            loop.cancel()
            assert (await link.status()).pushed == 1

    asyncio.run(main())


def test_site_and_centre_may_be_two_namespaces_of_one_redis(server: Server) -> None:
    """What nobody has is asked for once more at the centre, and brought by the site that has it."""
    data = b"found in paris"
    sha = hashlib.sha256(data).hexdigest()
    paris, lyon = server.settings.but(namespace="paris"), server.settings.but(namespace="lyon")
    with Runtime(paris) as here, Runtime(lyon) as other, Runtime(server.settings) as centre:
        asking, having = Uplink(other, centre, "lyon"), Uplink(here, centre, "paris")
        with pytest.raises(NotFound, match="a site that has it brings it"):
            asking.resolve(f"ctx:{sha}")
        assert here.contexts.store(data).ref == f"ctx:{sha}"
        having.sync_now()
        assert asking.resolve(f"ctx:{sha}") == data
