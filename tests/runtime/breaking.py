"""Calls that fail, and time that passes, for a breaker."""

from __future__ import annotations

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.op import Op


def fail(rt: Runtime, times: int = 1, target: str = "npu-1") -> None:
    for _ in range(times):
        with pytest.raises(ZeroDivisionError), rt.breakers.guard(target):
            raise ZeroDivisionError


def later(rt: Runtime, seconds: float, target: str = "npu-1") -> None:
    """As if so many seconds had passed: every time in the breaker is moved back."""
    key = rt.keys.tagged("brk", target)
    until, fails = rt.run(Op("", (key,), ("HMGET", key, "until", "fails")))
    ms = round(seconds * 1000)
    if until:
        rt.run(Op("", (key,), ("HSET", key, "until", int(until) - ms)))
    if fails:
        moved = [f"{int(at) - ms}={id}" for at, id in (f.split("=") for f in fails.decode().split(","))]
        rt.run(Op("", (key,), ("HSET", key, "fails", ",".join(moved))))
