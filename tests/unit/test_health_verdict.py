"""States, thresholds, the worst of many, latency classes, the clock, and every printer over one verdict."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmops.health import formats, latency
from swarmops.health.formats import jsonl, table
from swarmops.health.verdict import HostHealth, Result, State, Verdict, clock, echoes, judge, result, worst

OK, WARNING, CRITICAL, UNKNOWN = State


def check(probe: str = "disk", **more: Any) -> dict[str, Any]:
    return {"id": f"base/{probe}", "role": "base", "name": probe, "probe": probe, "args": {}, **more}


def state_of(event: dict[str, Any], **more: Any) -> State:
    return judge("h", check(**more), event).state


def test_worst_puts_unknown_below_warning() -> None:
    assert worst([]) is OK
    assert worst([OK, UNKNOWN]) is UNKNOWN
    assert worst([UNKNOWN, WARNING]) is WARNING
    assert worst([WARNING, CRITICAL, UNKNOWN]) is CRITICAL


@pytest.mark.parametrize(
    "event, more, state",
    [
        ({"ok": True}, {}, OK),
        ({"ok": False}, {}, CRITICAL),
        ({"ok": None}, {}, UNKNOWN),
        ({}, {}, UNKNOWN),
        ({"ok": True, "warn": True}, {}, WARNING),
        ({"ok": True, "value": 0.5}, {"max": 0.9, "warn": {"max": 0.8}}, OK),
        ({"ok": True, "value": 0.85}, {"max": 0.9, "warn": {"max": 0.8}}, WARNING),
        ({"ok": True, "value": 0.9}, {"max": 0.9}, OK),
        ({"ok": True, "value": 0.91}, {"max": 0.9, "warn": {"max": 0.8}}, CRITICAL),
        ({"ok": True, "value": -1}, {"min": 0}, CRITICAL),
        ({"ok": True, "value": 3}, {"warn": {"min": 5}}, WARNING),
        ({"ok": True, "value": 0}, {"max": 0}, OK),
        ({"ok": False, "value": 0.1}, {"max": 0.9}, CRITICAL),
        ({"ok": True}, {"max": 5}, UNKNOWN),
        ({"ok": True, "value": "12"}, {"max": 5}, UNKNOWN),
        ({"ok": True, "value": float("nan")}, {"max": 5}, UNKNOWN),
        # limits that the probe brings are used where the check has none of its own
        ({"ok": True, "value": 0.97, "limits": {"max": 0.95}}, {}, CRITICAL),
        ({"ok": True, "value": 0.97, "limits": {"max": 0.95}}, {"max": 0.99}, OK),
        ({"ok": True, "value": 0.97, "limits": "none"}, {}, OK),
    ],
)
def test_thresholds(event: dict, more: dict, state: State) -> None:
    assert state_of(event, **more) is state


def test_a_beyond_value_is_told_in_words() -> None:
    found = judge("h", check(max=0.9), {"ok": True, "value": 0.934, "unit": "ratio", "detail": "/: 1 GB free"})
    assert found.detail == "93.4 % is above 90 %: /: 1 GB free"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("ok", "value", "unit", "detail", "ms", "warn", "limits", "class", "time")


@given(st.dictionaries(st.sampled_from(KEYS), anything))
def test_whatever_a_host_sends_is_judged_and_printed(event: dict[str, Any]) -> None:
    """A host is not trusted: no event breaks the verdict or a printer, or puts control characters on a terminal."""
    found = judge("h", check("latency", max=3), event)
    other = judge("h", check("clock"), clock(event, 5.0, 6.0))
    verdict = Verdict((HostHealth("h", ("base",), (found, other)),), 0.1, 1.0, ("base",))
    for name in formats.NAMES:
        text = formats.text(name, verdict, verbose=True)
        assert text.replace("\n", "").isprintable()
    json.loads(formats.text("json", verdict))
    ET.fromstring(formats.text("junit", verdict))


@pytest.mark.parametrize(
    "ms, name, verdict, first",
    [
        (0.4, "localhost", "Ideal", "debugging"),
        (3, "lan", "Excellent", "debugging"),
        (15, "region", "Good", "debugging"),
        (45, "cross-region", "Acceptable", "chat"),
        (79, "cross-region", "Acceptable", "claiming tasks"),
        (200, "continent", "Workable", "context loading"),
    ],
)
def test_latency_classes(ms: float, name: str, verdict: str, first: str) -> None:
    found = latency.classify(ms)
    assert (found.name, found.verdict, latency.uses(ms)[0]) == (name, verdict, first)


def test_latency_beyond_250_ms_or_the_declared_class_warns() -> None:
    def made(ms: float, declared: str | None = None) -> Result:
        return judge("h", check("latency"), {"ok": True, "value": ms, "detail": "x"}, declared)

    assert made(3).state is OK and "good for debugging, chat" in made(3).detail
    assert made(251).state is WARNING and "Avoid" in made(251).detail
    assert made(30, "region").state is WARNING and "declared as region" in made(30, "region").detail
    assert made(3, "region").state is OK
    own = judge("h", check("latency"), {"ok": True, "value": 3.0, "class": "localhost"}, "region")
    assert own.state is WARNING


def test_clock_is_judged_by_what_is_certain() -> None:
    def off(theirs: float) -> Result:
        event = {"ok": True, "time": theirs, "limits": {"max": 30, "warn": {"max": 0.5}}, "unit": "s"}
        return judge("h", check("clock"), clock(event, 100.0, 100.6))

    assert off(100.3).state is OK and off(100.3).value == 0
    assert off(101.0).state is OK and "0.40 s ahead" in off(101.0).detail
    assert off(101.2).state is WARNING
    assert off(99.0).state is WARNING and "behind" in off(99.0).detail
    assert off(3700.0).state is CRITICAL
    said = {"ok": True, "value": 0.001, "detail": "chrony follows x"}
    assert clock(said, 100, 101) == said


def made(host: str, role: str, name: str, state: State, detail: str = "", **more: Any) -> Result:
    probe = {"id": f"{role}/{name}" if role else name, "role": role, "name": name, "probe": "tcp"}
    service = more.pop("service", role)
    return result(host, {**probe, "service": service}, state, detail, **more)


def host(name: str, *results: Result) -> HostHealth:
    roles = dict.fromkeys(r.role for r in results if r.role)
    return HostHealth(name, tuple(roles), results)


REACHED = {"role": "", "name": "reach", "state": OK, "value": 31.0, "unit": "ms", "ms": 31.0}


@pytest.fixture
def fleet() -> Verdict:
    one = host(
        "redis-1",
        made("redis-1", **REACHED),
        made("redis-1", "redis", 'answers "x"', CRITICAL, "10.0.0.23:6379: refused | <the> connection & so"),
        made("redis-1", "base", "disk", OK, value=0.4, unit="ratio", ms=2, limits={"max": 0.95, "warn": {"max": 0.85}}),
    )
    two = host(
        "ai-1", made("ai-1", **REACHED), made("ai-1", "ai", "leader", WARNING, "late", value=7, limits={"min": 5})
    )
    three = host("npu-1", made("npu-1", **REACHED), made("npu-1", "npu", "devices", UNKNOWN, "no tool"))
    four = host("web-1", made("web-1", **REACHED))
    return Verdict((one, two, three, four), 0.812, 1795224885.0, ("redis", "ai"))


def test_table_names_hosts_services_and_reasons(fleet: Verdict) -> None:
    text = table.text(fleet)
    rows = text.splitlines()
    assert len(rows) == 7 and rows[1].startswith("redis-1  CRITICAL  redis")
    assert "refused" in rows[1] and "1 of 1 checks OK" in rows[4]
    said = rows[-1]
    assert said.startswith("CRITICAL: CRITICAL on redis-1; WARNING on ai-1; UNKNOWN on npu-1. 1 of 4 hosts are well.")
    assert "redis is down (no host serves it)." in said and "ai is" not in said
    assert len(table.text(fleet, verbose=True).splitlines()) == 15


def test_table_when_all_is_well() -> None:
    verdict = Verdict((host("a", made("a", **REACHED)),), 0.5, 1.0)
    assert table.text(verdict).endswith("OK: 1 of 1 hosts are well, 1 checks in 0.50 s.")


def test_service_on_several_hosts_is_degraded_not_down() -> None:
    bad = host("r1", made("r1", "redis", "answers", CRITICAL))
    good = host("r2", made("r2", "redis", "answers", OK))
    verdict = Verdict((bad, good), 1.0, 1.0, ("redis",))
    assert verdict.ill() == {"redis": (["r1"], 2)}
    assert "redis is degraded (1 of 2 hosts serve it)." in table.sentence(verdict)


def test_one_dead_service_makes_no_other_host_ill() -> None:
    """S4-39: its users cannot reach it and say so, but that is one trouble."""
    redis = host(
        "r1", made("r1", "", "reach", CRITICAL, "timeout"), made("r1", "redis", "answers", UNKNOWN, quiet=True)
    )
    user = host(
        "ai", made("ai", "client", "redis can be reached", CRITICAL, service="redis"), made("ai", "ai", "x", OK)
    )
    before = Verdict((redis, user), 1.0, 1.0, ("redis", "ai"))
    verdict = echoes(before)
    assert [h.state for h in verdict.hosts] == [CRITICAL, OK] and list(verdict.ill()) == ["redis"]
    # but when the service itself is well, a user that cannot reach it is ill: the way between them is cut (F16)
    fine = host("r1", made("r1", "redis", "answers", OK))
    assert [h.state for h in echoes(Verdict((fine, user), 1.0, 1.0, ("redis", "ai"))).hosts] == [OK, CRITICAL]


def test_a_host_that_is_gone_makes_no_other_host_ill() -> None:
    """S4-39: its peers do not hear it, which is its trouble; one that is there and not heard is theirs."""
    gone = host("npu-1", made("npu-1", "", "reach", CRITICAL, "timeout"))
    silent = judge("ai-1", TUNNEL, {"ok": True, "warn": True, "detail": "npu-1 ...", "silent": ["npu-1"]})
    both = judge("db-1", TUNNEL, {"ok": False, "detail": "npu-1, ai-1 ...", "silent": ["npu-1", "ai-1"]})
    there = host("ai-1", made("ai-1", **REACHED), silent)
    verdict = echoes(Verdict((gone, there, host("db-1", made("db-1", **REACHED), both)), 1.0, 1.0))
    assert [h.state for h in verdict.hosts] == [CRITICAL, OK, CRITICAL]
    well = host("npu-1", made("npu-1", **REACHED))
    assert [h.state for h in echoes(Verdict((well, there), 1.0, 1.0)).hosts] == [OK, WARNING]


TUNNEL = {"id": "wireguard/tunnel", "role": "wireguard", "name": "tunnel", "probe": "wireguard"}


def test_json(fleet: Verdict) -> None:
    data = json.loads(formats.text("json", fleet))
    assert (data["schema"], data["state"], data["exit"]) == ("swarmops.health/1", "CRITICAL", 2)
    assert data["services"]["redis"] == {"state": "down", "hosts": 1, "without": ["redis-1"]}
    assert data["hosts"][0]["checks"][2]["value"] == 0.4
    assert data["counts"] == {"OK": 1, "WARNING": 1, "CRITICAL": 1, "UNKNOWN": 1}


def test_jsonl_is_one_event_a_line(fleet: Verdict) -> None:
    rows = [json.loads(row) for row in formats.text("jsonl", fleet).splitlines()]
    assert [r["e"] for r in rows] == ["check"] * 8 + ["verdict"]
    assert {r["schema"] for r in rows} == {"swarmops.health/1"}
    assert rows[-1]["hosts"]["redis-1"] == "CRITICAL"
    assert json.loads(jsonl.line(fleet.hosts[0].results[0]))["host"] == "redis-1"


SAMPLE = re.compile(r'^swarmops_[a-z_]+(\{[a-z]+="([^"\\\n]|\\.)*"(,[a-z]+="([^"\\\n]|\\.)*")*\})? -?[0-9.e+-]+$')


def test_prometheus_is_gauges_with_three_labels_at_most(fleet: Verdict) -> None:
    text = formats.text("prometheus", fleet)
    rows = text.splitlines()
    samples = [r for r in rows if not r.startswith("#")]
    assert all(SAMPLE.match(r) for r in samples)
    assert {r.split()[-1] for r in rows if r.startswith("# TYPE")} == {"gauge"}
    assert set(re.findall(r'[{,]([a-z]+)="', text)) == {"host", "role", "check"}
    assert 'swarmops_check_state{host="redis-1",role="redis",check="answers \\"x\\""} 2' in samples
    assert 'swarmops_host_state{host="npu-1"} 3' in samples
    assert "refused" not in text  # what hosts say becomes no label
    assert len(samples) == len({r.rsplit(" ", 1)[0] for r in samples})


def test_junit(fleet: Verdict) -> None:
    root = ET.fromstring(formats.text("junit", fleet))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("8", "1", "1")
    assert root.find(".//failure").get("message").endswith("<the> connection & so")
    assert len(root.findall("testsuite")) == 4


def test_nagios_is_one_line_with_one_bar(fleet: Verdict) -> None:
    text = formats.text("nagios", fleet)
    assert "\n" not in text and text.count("|") == 1 and text.startswith("SWARMOPS CRITICAL - ")
    said, data = text.split("|")
    assert "redis-1" in said and "refused" in said
    assert (
        "hosts_ok=1;;;0;4" in data and "'redis-1/base/disk'=0.4;0.85;0.95" in data and "'ai-1/ai/leader'=7;;5:" in data
    )
    many = Verdict(fleet.hosts * 500, 1.0, 1.0)
    assert len(formats.text("nagios", many)) <= 8000
