"""Circuit breakers: shared by all, one probe among all, limits of a target, by hand (S2-10)."""

from __future__ import annotations

import asyncio
import threading

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.breaker import Limits, Open
from swarmops.runtime.errors import BY_CODE, Invalid, Refused
from swarmops.runtime.op import Op
from tests.runtime.breaking import fail, later
from tests.runtime.server import Server
from tests.waiting import until


def test_the_sixth_call_after_five_failures_fails_fast_for_everybody(server: Server, rt: Runtime) -> None:
    fail(rt, 4)
    rt.breakers.allow("npu-1")
    fail(rt)
    with Runtime(server.settings) as other:
        for runtime in (rt, other):
            called = []
            with pytest.raises(
                Open, match=r"npu-1 failed 5 times: its breaker is open for another (300|2[89].*) s"
            ) as e:
                with runtime.breakers.guard("npu-1"):
                    called.append(1)
            assert not called and 290 < e.value.retry_in <= 300 and isinstance(e.value, Refused)
            assert e.value.exit_code == 1 and Open.code == "OPEN" and "OPEN" not in BY_CODE
        with other.breakers.guard("npu-2"):
            pass
    assert [(b.target, b.state, b.failures, b.trips) for b in rt.breakers.list()] == [("npu-1", "open", 5, 1)]


def test_a_success_between_or_a_minute_makes_failures_forgotten(rt: Runtime) -> None:
    fail(rt, 4)
    with rt.breakers.guard("npu-1"):
        pass
    fail(rt, 4)
    later(rt, 61)
    fail(rt, 4)
    assert rt.breakers.show("npu-1").state == "closed"
    later(rt, 30)
    fail(rt)
    assert rt.breakers.show("npu-1").state == "open"


def test_after_five_minutes_one_probe_and_its_success_closes(rt: Runtime) -> None:
    fail(rt, 5)
    later(rt, 250)
    with pytest.raises(Open):
        rt.breakers.allow("npu-1")
    later(rt, 50.5)
    assert rt.breakers.show("npu-1").state == "half-open"
    with rt.breakers.guard("npu-1") as permit:
        assert permit.probe
        with pytest.raises(Open), rt.breakers.guard("npu-1"):
            pass
    assert rt.breakers.show("npu-1").state == "closed"
    with rt.breakers.guard("npu-1") as permit:
        assert not permit.probe


def test_a_probe_that_fails_opens_for_another_five_minutes(rt: Runtime) -> None:
    fail(rt, 5)
    later(rt, 301)
    fail(rt)
    found = rt.breakers.show("npu-1")
    assert (found.state, found.trips) == ("open", 2) and 290 < found.left <= 300
    with pytest.raises(Open, match=r"npu-1 failed: its breaker is open for another (300|2[89].*) s"):
        rt.breakers.allow("npu-1")


def test_of_100_threads_exactly_one_may_probe(server: Server) -> None:
    """Each with its own connection, all at once, ten times over."""
    with Runtime(server.settings.but(connections=100)) as rt:
        gate, permits, refused = threading.Barrier(100), [], []

        def race() -> None:
            for _ in range(10):
                gate.wait(100)
                try:
                    permits.append(rt.breakers.allow("npu-1"))
                except Open as e:
                    refused.append(e)
                if gate.wait(100) == 0:
                    assert len(permits) == 1, permits
                    rt.breakers.report("npu-1", False, permits.pop().probe)
                    later(rt, 301)
                gate.wait(100)

        fail(rt, 5)
        later(rt, 301)
        threads = [threading.Thread(target=race) for _ in range(100)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(200)
        assert len(refused) == 990 and rt.breakers.show("npu-1").trips == 11


def test_a_prober_that_died_is_followed_by_another_and_its_late_report_counts_for_nothing(rt: Runtime) -> None:
    fail(rt, 5)
    later(rt, 301)
    dead = rt.breakers.allow("npu-1")
    with pytest.raises(Open):
        rt.breakers.allow("npu-1")
    later(rt, 31)
    second = rt.breakers.allow("npu-1")
    assert second.probe and second.probe != dead.probe
    assert not rt.breakers.report("npu-1", True, dead.probe).changed
    assert rt.breakers.show("npu-1").state == "half-open"
    assert rt.breakers.report("npu-1", True, second.probe).state == "closed"


def test_calls_that_were_under_way_when_it_opened_change_nothing(rt: Runtime) -> None:
    slow = rt.breakers.allow("npu-1")
    fail(rt, 5)
    later(rt, 100)
    for ok in (True, False):
        assert rt.breakers.report("npu-1", ok, slow.probe).state == "open"
    assert rt.breakers.show("npu-1").left <= 200
    later(rt, 201)
    rt.breakers.allow("npu-1")
    assert rt.breakers.report("npu-1", True).state == "half"


def test_answers_that_were_lost_may_be_asked_again(rt: Runtime) -> None:
    failed = rt.breakers.record.op("npu-1", False)
    for _ in range(6):
        rt.run(failed)
    assert rt.breakers.show("npu-1").failures == 1
    fail(rt, 3)
    last = rt.breakers.record.op("npu-1", False)
    assert rt.run(last) == rt.run(last) and rt.run(last).changed and rt.breakers.show("npu-1").trips == 1
    later(rt, 301)
    ask = rt.breakers.allow.op("npu-1")
    assert rt.run(ask) == rt.run(ask) and rt.run(ask).probe


def test_only_the_named_exceptions_count_and_an_interrupted_call_says_nothing(rt: Runtime) -> None:
    for _ in range(5):
        with pytest.raises(KeyError), rt.breakers.guard("npu-1", (OSError,)):
            raise KeyError
        with pytest.raises(KeyboardInterrupt), rt.breakers.guard("npu-1"):
            raise KeyboardInterrupt
        with pytest.raises(OSError), rt.breakers.guard("npu-2", (OSError,)):
            raise ConnectionRefusedError
    assert (rt.breakers.show("npu-1").failures, rt.breakers.show("npu-2").state) == (0, "open")


def test_limits_of_a_target_hold_for_all_processes_and_stay(server: Server, rt: Runtime) -> None:
    limits = Limits(failures=2, window=100, open_for=50, probe_lease=10)
    rt.breakers.configure("npu-1", limits)
    with Runtime(server.settings) as other:
        fail(other, 2)
        found = other.breakers.show("npu-1")
    assert (found.state, found.limits) == ("open", limits) and 30 < found.left <= 50
    later(rt, 50.1)
    with rt.breakers.guard("npu-1"):
        pass
    assert rt.breakers.show("npu-1").limits == limits
    key = rt.keys.tagged("brk", "npu-1")
    assert rt.run(Op("", (key,), ("PTTL", key))) == -1
    with pytest.raises(Invalid, match="failures: '0' is not a number from 1 to 100"):
        Limits(failures=0)


def test_real_time_passes_too(rt: Runtime) -> None:
    rt.breakers.limits = Limits(failures=1, open_for=0.1, probe_lease=0.1)
    fail(rt)

    def may() -> bool:
        try:
            return bool(rt.breakers.allow("npu-1").probe)
        except Open:
            return False

    until(may, "half-open after 0.1 s")
    until(may, "another probe after 0.1 s")


def test_by_hand(rt: Runtime) -> None:
    assert rt.breakers.force("npu-1", "open", 60) and not rt.breakers.force("npu-1", "open", 60)
    with pytest.raises(Open, match=r"npu-1 is not to be called: its breaker is open for another (60|[45].*) s"):
        rt.breakers.allow("npu-1")
    assert rt.breakers.force("npu-1", "closed") and rt.breakers.allow("npu-1")
    key = rt.keys.registry("events")
    told = [f[1] for _, f in rt.run(Op("", (key,), ("XRANGE", key, "-", "+")))]
    assert told == [b"breaker.opened", b"breaker.opened", b"breaker.closed"]


def test_breakers_do_not_outlive_their_use(rt: Runtime) -> None:
    for target, failures in (("a", 1), ("b", 5)):
        fail(rt, failures, target)
        key = rt.keys.tagged("brk", target)
        assert 0 < rt.run(Op("", (key,), ("PTTL", key))) <= 86_400_000 + 300_000


def test_a_target_that_answers_leaves_no_trace(rt: Runtime) -> None:
    for _ in range(3):
        with rt.breakers.guard("npu-1"):
            pass
    assert rt.run(Op("", ("x",), ("DBSIZE",))) == 0


def test_a_good_call_of_a_good_target_asks_redis_once(rt: Runtime) -> None:
    sent: list[int] = []
    rt._once, really = lambda ops: sent.append(len(ops)) or really(ops), rt._once  # type: ignore[method-assign]
    for _ in range(3):
        with rt.breakers.guard("npu-1"):
            pass
    assert sent == [1, 1, 1]


def test_asyncio_guards_alike(server: Server) -> None:
    async def main() -> tuple[int, int]:
        async with AsyncRuntime(server.settings) as art:
            for _ in range(5):
                with pytest.raises(ValueError):
                    async with art.breakers.guard("npu-1"):
                        raise ValueError
            refused = 0
            for _ in range(3):
                try:
                    async with art.breakers.guard("npu-1"):
                        pass
                except Open:
                    refused += 1
            with pytest.raises(asyncio.CancelledError):
                async with art.breakers.guard("npu-2"):
                    raise asyncio.CancelledError
            return refused, len(await art.breakers.list())

    assert asyncio.run(main()) == (3, 1)
