"""The fleet as it was last seen: documents, samples of bounded number, and changes of state as events."""

from __future__ import annotations

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Invalid, TooLarge


def test_a_document_replaces_the_one_before(rt: Runtime) -> None:
    assert rt.fleet.published("health") is None
    rt.fleet.publish("health", {"hosts": []}, "laptop")
    at = rt.fleet.publish("health", {"hosts": [1]}, "ci")
    found = rt.fleet.published("health")
    assert found and (found.value, found.at_ms, found.by) == ({"hosts": [1]}, at, "ci")
    assert rt.fleet.published("backups") is None
    with pytest.raises(Invalid):
        rt.fleet.publish("weather", {})
    with pytest.raises(TooLarge):
        rt.fleet.publish("health", "x" * 5_000_000)


def test_samples_come_back_in_order_and_a_change_of_state_is_an_event(rt: Runtime) -> None:
    fine, bad = {"npu-1": ("ok", "")}, {"npu-1": ("critical", "nobody listens")}
    changes = [rt.fleet.sample({"npu-1": ms}, states) for ms, states in ((1.5, fine), (2.0, fine), (None, bad))]
    assert changes[1:] == [0, 1]
    assert [latencies["npu-1"] for _, latencies in rt.fleet.samples()] == [1.5, 2.0, None]
    assert [latencies["npu-1"] for _, latencies in rt.fleet.samples(limit=2)] == [2.0, None]
    now = rt.fleet.samples(limit=1)[0][0]
    assert all(ms >= now for ms, _ in rt.fleet.samples(minutes=0))
    told = [e for e in rt.events.read() if e.what == "fleet.service"]
    assert told, "the change is told"
    with pytest.raises(Invalid):
        rt.fleet.sample({}, {"npu-1": ("tired", "")})
