"""Circuit breakers while Redis is away: a stand-in in each process (F14), and the model that both follow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.breaker import Limits, Open
from swarmops.runtime.breaker.guard import Local
from swarmops.runtime.op import Op
from tests.runtime.breaking import fail, later
from tests.runtime.server import Server, free_port
from tests.waiting import until


def test_without_redis_each_process_guards_for_itself_and_asks_once_a_second(own_server: Callable[..., Server]) -> None:
    """F14: no crash, no busy loop, back by itself."""
    server = own_server()
    with Runtime(server.settings) as rt:
        rt.breakers.limits = Limits(open_for=2)
        with rt.breakers.guard("npu-1") as permit:
            assert not permit.local
        server.kill()
        began = time.monotonic()
        fail(rt, 5)
        guard = rt.breakers.guard("npu-1")
        with pytest.raises(Open, match="npu-1 failed 5 times"), guard:
            pass
        assert guard.local and time.monotonic() - began < 20
        asked = []
        rt._once, really = lambda ops: asked.append(1) or really(ops), rt._once  # type: ignore[method-assign]
        rt.breakers._away_until = 0
        began = time.monotonic()
        for _ in range(200):
            with rt.breakers.guard("npu-9"):
                pass
        assert 1 <= len(asked) <= 1 + time.monotonic() - began
        guard = rt.breakers.guard("npu-1")

        def probed() -> bool:
            try:
                with guard as permit:
                    return bool(permit.probe)
            except Open:
                return False

        until(probed, "half-open, in the process")
        server.start()

        def back() -> bool:
            with rt.breakers.guard("npu-1") as permit:
                return not permit.local

        until(back, "Redis asked again")


def test_a_frozen_redis_costs_one_timeout_not_one_a_call(own_server: Callable[..., Server]) -> None:
    server = own_server()
    with Runtime(server.settings.but(timeout=1)) as rt:
        rt.breakers.allow("npu-1")
        server.stop()
        began = time.monotonic()
        for _ in range(20):
            with rt.breakers.guard("npu-1") as permit:
                assert permit.local
        assert time.monotonic() - began < 15  # one timeout each would be 20 s
        server.go_on()


def test_asyncio_guards_without_redis() -> None:
    async def main() -> None:
        async with AsyncRuntime(port=free_port()) as art:
            for _ in range(5):
                with pytest.raises(ValueError):
                    async with art.breakers.guard("npu-1"):
                        raise ValueError
            with pytest.raises(Open):
                async with art.breakers.guard("npu-1"):
                    pass

    asyncio.run(main())


# -- any order of things, against the model that guards a process


class Machine(RuleBasedStateMachine):
    """Calls of several processes, and time that passes; the breaker in Redis does what the one in a process does."""

    rt: Runtime

    def __init__(self) -> None:
        super().__init__()
        self.rt.run(Op("", ("x",), ("FLUSHALL",)))
        self.limits = Limits(failures=3, window=60, open_for=300, probe_lease=30)
        self.rt.breakers.limits = self.limits
        self.now, self.asked = 0.0, 0
        self.model = Local(self.limits, lambda: self.now)
        self.calls: list[tuple[str, str]] = []

    @rule()
    def ask(self) -> None:
        self.asked += 1
        what, left = self.model.allow(str(self.asked))
        try:
            permit = self.rt.breakers.allow("t")
        except Open as e:
            assert what == "open" and abs(e.retry_in - left) < 5
        else:
            assert what == ("probe" if permit.probe else "closed")
            self.calls.append((permit.probe, self.model.probe if permit.probe else ""))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), ok=st.booleans())
    def answer(self, data: st.DataObject, ok: bool) -> None:
        ours, models = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        assert self.rt.breakers.report("t", ok, ours).state == self.model.report(ok, models)

    @rule(times=st.integers(1, 4))
    def fail_several(self, times: int) -> None:
        for _ in range(times):
            assert self.rt.breakers.report("t", False).state == self.model.report(False)

    @rule(seconds=st.sampled_from([20, 45, 100, 310]))
    def wait(self, seconds: int) -> None:
        later(self.rt, seconds, "t")
        self.now += seconds

    @invariant()
    def alike(self) -> None:
        shown = {"half-open": "half"}.get(state := self.rt.breakers.show("t").state, state)
        due = self.model.state == "open" and self.model.until <= self.now
        assert shown == ("half" if due else self.model.state)


def test_any_order_of_calls_does_what_the_model_does(rt: Runtime) -> None:
    Machine.rt = rt
    run_state_machine_as_test(Machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
