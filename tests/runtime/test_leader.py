"""Leadership: one leader a term, terms that only rise, and no write of a leader whose lease has ended (F5-F7, F23)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Forbidden, Invalid, Stale
from swarmops.runtime.op import Op
from swarmops.runtime.registry.candidate import AsyncCandidate, Candidate, clock
from tests.runtime.server import Server
from tests.waiting import until

BUSY = 10_000  # ms that a machine with other things to do may take longer
PROGRAM = Path(__file__).parent / "programs" / "leads.py"
Child = subprocess.Popen[str]


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Starts programs/leads.py."""
    made: list[Child] = []

    def start(*argv: str) -> Child:
        env = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[3])}
        pipe = subprocess.PIPE
        made.append(subprocess.Popen([sys.executable, PROGRAM, *argv], stdin=pipe, stdout=pipe, text=True, env=env))
        return made[-1]

    yield start
    for one in made:
        if one.poll() is None:
            os.kill(one.pid, signal.SIGCONT)
            one.kill()
        one.communicate()


def said(child: Child, word: str) -> int:
    """Waits for a line that begins with `word`; the number behind it."""
    assert child.stdout
    in_vain = threading.Timer(60, child.kill)
    in_vain.start()
    try:
        for line in child.stdout:
            first, _, number = line.strip().partition(" ")
            if first == word:
                return int(number or 0)
    finally:
        in_vain.cancel()
    raise AssertionError(f"the program ended without {word!r}, or did not say it for 60 s")


def redis_now(rt: Runtime) -> int:
    return rt.run(Op("ping", (rt.keys.registry("probe"),)))


def events(rt: Runtime, *kinds: str) -> list[tuple[int, str, dict[str, str]]]:
    """(ms, what, fields) of the audit trail."""
    found = []
    for id, flat in rt.run(Op("", (), ("XRANGE", rt.keys.registry("events"), "-", "+"))):
        fields = dict(zip([f.decode() for f in flat[::2]], [v.decode() for v in flat[1::2]]))
        if fields["what"] in kinds:
            found.append((int(id.split(b"-")[0]), fields["what"], fields))
    return found


def terms(rt: Runtime) -> list[int]:
    return [int(fields["term"]) for _, _, fields in events(rt, "leader.elected")]


def test_one_leads_renews_and_resigns(rt: Runtime) -> None:
    assert rt.leader.who() is None
    first = rt.leader.campaign("a", 5000)
    other = rt.leader.campaign("b", 5000)
    assert first.leading and first.holder == "a" and not other.leading and other.holder == "a"
    assert other.term == first.term and 4000 < other.left_ms <= 5000
    again = rt.leader.campaign("a", 9000)
    assert again.leading and again.term == first.term and again.left_ms > 8000 and again.since_ms == first.since_ms
    with pytest.raises(Forbidden, match="a leads, not b"):
        rt.leader.resign("b", first.term)
    with pytest.raises(Stale, match=f"you lead term 7, the term is {first.term}"):
        rt.leader.resign("a", 7)
    assert rt.leader.check(first.term) > 8000
    assert rt.leader.resign("a", first.term) and rt.leader.resign("a", first.term)
    with pytest.raises(Stale, match="has ended"):
        rt.leader.check(first.term)
    second = rt.leader.campaign("b", 5000)
    assert second.leading and second.term > first.term
    who = rt.leader.who()
    assert who and (who.holder, who.term) == ("b", second.term)


def test_two_processes_of_one_id_do_not_both_lead(rt: Runtime) -> None:
    one, two = rt.leader.campaign("a", 5000, nonce="one"), rt.leader.campaign("a", 5000, nonce="two")
    assert one.leading and not two.leading and two.term == one.term


def test_an_id_or_lease_that_is_none_is_refused(rt: Runtime) -> None:
    for id in ("a:b", "*", "A", "", "a\nb"):
        with pytest.raises(Invalid, match="id: "):
            rt.leader.campaign(id)
    with pytest.raises(Invalid, match="lease"):
        rt.leader.campaign("a", 0)


def test_a_term_is_never_given_twice_even_if_redis_forgot_it(rt: Runtime) -> None:
    """A power cut may cost Redis its last second, a failover its last writes: the clock makes up for it."""
    lost = rt.leader.campaign("a", 5000).term
    rt.run(Op("", (), ("FLUSHALL",)))
    until(lambda: redis_now(rt) > lost)
    assert rt.leader.campaign("b", 5000).term > lost


def test_of_a_hundred_threads_at_once_one_wins_each_term(rt: Runtime) -> None:
    """F7. 5 rounds."""
    gate = threading.Barrier(100)

    def run(i: int) -> bool:
        gate.wait()
        return rt.leader.campaign(f"c{i}", 60_000).leading

    with ThreadPoolExecutor(100) as pool:
        for _ in range(5):
            assert sum(pool.map(run, range(100))) == 1
            who = rt.leader.who()
            assert who
            rt.leader.resign(who.holder, who.term)
    got = terms(rt)
    assert len(got) == 5 and got == sorted(set(got))


def test_a_hundred_candidates_have_one_leader_a_term_also_across_a_restart_of_redis(
    own_server: Callable[..., Server],
) -> None:
    """F7. The leader leaves three times, Redis is killed twice."""
    server = own_server()

    async def main() -> list[tuple[int, list[str]]]:
        led: list[tuple[int, list[str]]] = []
        async with AsyncRuntime(server.settings) as art:
            every: list[AsyncCandidate] = []

            def lead(term: int) -> None:
                led.append((term, [c.race.id for c in every if c.leading]))

            every += [AsyncCandidate(art, f"c{i}", 1.0, on_lead=lead) for i in range(100)]
            await asyncio.gather(*[c.start() for c in every])
            for turn in range(5):
                before = len(led)
                async with asyncio.timeout(20):
                    while not any(c.leading for c in every):
                        await asyncio.sleep(0.01)
                    if turn in (1, 3):
                        server.kill()
                        while any(c.leading for c in every):
                            await asyncio.sleep(0.01)
                        await asyncio.sleep(0.3 * (turn == 3))  # the second time its lease ends meanwhile
                        await asyncio.to_thread(server.start)
                    else:
                        await next(c for c in every if c.leading).close()
                    while len(led) == before:
                        await asyncio.sleep(0.01)
            await asyncio.gather(*[c.close() for c in every])
        return led

    led = asyncio.run(main())
    assert len(led) >= 5 and all(len(leaders) == 1 for _, leaders in led), "never two at once"
    order = [term for term, _ in led]
    assert order == sorted(order), "a term comes again only to the one who had it, if Redis was away for less"
    assert len({(term, leaders[0]) for term, leaders in led}) == len(set(order))
    with Runtime(server.settings) as rt:
        got = terms(rt)
        assert got == sorted(set(got)) and set(order) <= set(got) and len(set(order)) >= 4
        assert rt.leader.who() is None, "the last one has resigned"


def test_a_leader_stopped_past_its_lease_20_times_gets_no_stale_write_in(
    rt: Runtime, server: Server, child: Callable[..., Child]
) -> None:
    """F6. The order of the audit trail, which is that of the writes, is the witness."""
    swarm = rt.swarms.create("to be written to").id
    rt.swarms.status(swarm, "interrupted")
    slow = child(server.url, "slow", "0.3", "writes", swarm)
    refused = 0
    for _ in range(20):
        term = said(slow, "lead")
        until(lambda term=term: any(f["why"] == str(term) for _, _, f in events(rt, "swarm.status")))
        os.kill(slow.pid, signal.SIGSTOP)
        mine = until(lambda: (got := rt.leader.campaign("quick", 60_000)).leading and got)
        now = rt.swarms.get(swarm).status
        rt.swarms.status(swarm, "recovering" if now == "interrupted" else "interrupted", str(mine.term), term=mine.term)
        os.kill(slow.pid, signal.SIGCONT)
        refused += said(slow, "refused") == term
        rt.leader.resign("quick", mine.term)
    leads, stale, good = 0, 0, 0
    for _, what, fields in events(rt, "leader.elected", "swarm.status"):
        if what == "leader.elected":
            assert int(fields["term"]) > leads
            leads = int(fields["term"])
        elif fields["why"].isdigit():
            stale, good = stale + (int(fields["why"]) != leads), good + 1
    print(f"20 pauses: {good} writes accepted, {stale} of them stale, {refused} terms refused")
    assert stale == 0 and refused == 20 and good >= 40


def test_a_killed_leader_is_replaced_and_a_frozen_one_steps_down(
    rt: Runtime, server: Server, child: Callable[..., Child]
) -> None:
    """F5: new leader within lease + 0.5 s of kill -9, as Redis recorded it. F6: steps down within 1 s of waking."""
    lease = 1.0
    doomed = child(server.url, "doomed", str(lease), "candidate")
    said(doomed, "lead")
    with Candidate(rt, "heir", lease) as heir:
        until(lambda: heir.race.last)
        died = redis_now(rt)
        doomed.kill()
        until(lambda: heir.leading)
        elected = events(rt, "leader.elected")[-1][0]
        print(f"new leader {elected - died} ms after kill -9 (lease {lease * 1000:.0f} ms)")
        assert elected - died <= (lease + 0.5) * 1000 + BUSY
    frozen = child(server.url, "frozen", str(lease), "candidate")
    said(frozen, "lead")
    os.kill(frozen.pid, signal.SIGSTOP)
    until(lambda: rt.leader.campaign("other", 60_000).leading)
    woken = time.monotonic()
    os.kill(frozen.pid, signal.SIGCONT)
    said(frozen, "lose")
    assert time.monotonic() - woken < 1 + BUSY / 1000


def test_a_leader_that_cannot_renew_steps_down_before_its_lease_ends(own_server: Callable[..., Server]) -> None:
    server, lost = own_server(), threading.Event()
    with Runtime(server.settings) as rt, Candidate(rt, "a", 1.0, on_lose=lost.set) as a:
        until(lambda: a.leading)
        server.stop()
        frozen = clock()
        assert lost.wait(60)
        assert a.race.until <= frozen + 0.9 and not a.leading and a.term == 0
        assert clock() - a.race.until < 0.5 + BUSY / 1000, "told late"
        lost.clear()
        server.go_on()
        until(lambda: a.leading)


def test_the_time_of_day_does_not_matter(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """F23: an hour, two days, forward and back, while it leads and while it waits: nobody loses anything early."""
    lost: list[str] = []
    real = time.time
    with Candidate(rt, "a", 0.6, on_lose=lambda: lost.append("a")) as a, Candidate(rt, "b", 0.6) as b:
        until(lambda: a.leading or b.leading)
        leader = a if a.leading else b
        term = leader.term
        for wrong in (3600, -3600, 172_800, -172_800):
            monkeypatch.setattr(time, "time", lambda wrong=wrong: real() + wrong)
            asked = leader.race.until
            until(lambda asked=asked: leader.race.until > asked + 0.3)
        assert leader.term == term and not lost and len(terms(rt)) == 1


def test_a_candidate_that_ends_lets_another_lead_at_once(rt: Runtime) -> None:
    """S3-69: it resigns, and only what is its own."""
    told: list[str] = []
    first = Candidate(rt, "a", 30, on_lead=lambda term: told.append("lead"), on_lose=lambda: told.append("lose"))
    with first:
        until(lambda: told)
        with Candidate(rt, "b", 30) as b:
            until(lambda: b.race.last)
        assert first.leading, "b, which did not lead, took nothing with it"
    assert told == ["lead", "lose"] and rt.leader.who() is None
    assert [t.name for t in threading.enumerate() if t.name.endswith((" a", " b"))] == []


def test_a_fault_in_a_callback_does_not_end_the_candidate(rt: Runtime) -> None:
    told: list[str] = []

    def lead(term: int) -> None:
        raise RuntimeError("on purpose")

    with Candidate(rt, "a", 0.5, lead, lambda: told.append("lose")) as a:
        until(lambda: a.leading)
        rt.leader.resign("a", a.term)
        until(lambda: told)


def test_a_leader_is_found_and_kept_while_redis_is_full(own_server: Callable[..., Server]) -> None:
    server = own_server("--maxmemory", "1mb", "--maxmemory-policy", "noeviction", "--save", "")
    with Runtime(server.settings) as rt:
        first = rt.leader.campaign("a", 60_000)
        assert first.leading and rt.leader.campaign("a", 60_000).leading
        rt.leader.resign("a", first.term)
        assert rt.leader.campaign("b", 60_000).leading
