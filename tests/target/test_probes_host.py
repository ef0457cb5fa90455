"""Probes of the host itself: disk, memory, load, files, commands, clock, names, and what systemd and WireGuard say of
themselves (the tools: tests/infra/test_health.py)."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from swarmops.target.probes import systemd, wireguard
from tests.conftest import lacking
from tests.target.looking import free_port, look


def test_disk_memory_load_file(tmp_path: Path) -> None:
    disk = look("disk", path=str(tmp_path))
    assert disk["ok"] and 0 <= disk["value"] <= 1 and "free" in disk["detail"]
    assert look("disk", path=str(tmp_path / "none"))["ok"] is False
    assert look("disk", path="/sys", writable=False)["ok"]
    memory = look("memory")
    assert memory["ok"] and 0 < memory["value"] < 1
    assert look("load")["ok"]
    file = tmp_path / "stamp"
    assert look("file_age", path=str(file))["ok"] is False
    assert look("file_age", path=str(file), want="absent")["ok"] is True
    file.write_text("x")
    os.utime(file, (time.time() - 100, time.time() - 100))
    assert 99 < look("file_age", path=str(file))["value"] < 200
    assert look("file_age", path=str(file), want="absent")["warn"]


def test_command_speaks_nagios(tmp_path: Path) -> None:
    for code, ok, warn in ((0, True, False), (1, True, True), (2, False, False), (3, None, False), (77, False, False)):
        event = look("command", argv=["sh", "-c", f"echo 'well | x=1'; exit {code}"])
        assert (event["ok"], event["warn"], event["value"]) == (ok, warn, code)
        assert event["detail"] == "sh: well"
    assert look("command", argv=["/no/such"])["ok"] is None


def test_clock_without_chrony_tells_the_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    event = look("clock")
    assert event["ok"] and (abs(event["time"] - time.time()) < 60 or event["value"] is not None)


def test_clock_by_chrony(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "chronyc"
    row = "A29FC801,162.159.200.1,4,1732150000.123,0.000123,-0.0001,0.0002,1.2,0.01,0.03,0.004,0.001,64.2,Normal"
    tool.write_text(f"#!/bin/sh\necho {row}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    event = look("clock")
    assert event["ok"] and event["value"] == 0.000123 and "162.159.200.1" in event["detail"]
    tool.write_text(f"#!/bin/sh\necho {row.replace('Normal', 'Not synchronised')}\n")
    assert look("clock")["warn"]


def test_latency(redis_at) -> None:
    server = redis_at()
    for via in ("tcp", "redis"):
        event = look("latency", host="127.0.0.1", port=server.port, via=via, count=10)
        assert event["ok"] and event["samples"] == 10 and event["value"] <= event["p99"]
    # a port that refuses answers as fast as one that accepts
    assert look("latency", host="127.0.0.1", port=free_port(), count=5)["samples"] == 5
    if os.geteuid() == 0:
        assert look("latency", host="127.0.0.1", via="icmp", count=5)["samples"] == 5


def test_dns() -> None:
    assert look("dns", name="localhost")["ok"]
    assert look("dns", name="localhost", address="10.9.9.9")["ok"] is False


# -- systemd and WireGuard: what their tools say, judged (the tools themselves: tests/infra/test_health.py)


def unit(**more) -> dict:
    row = {"Id": "redis.service", "LoadState": "loaded", "ActiveState": "active", "SubState": "running"}
    row |= {"NRestarts": "0", "Result": "success", "ExecMainStatus": "0", "ExecMainCode": "0"}
    return row | {"ActiveEnterTimestampMonotonic": "1000000"} | more


@pytest.mark.parametrize(
    "row, now, ok, warn, words",
    [
        (unit(), 9999, True, False, "is active"),
        (unit(NRestarts="2"), 1000, True, True, "restarted 2 times, last 17 min ago"),
        (unit(NRestarts="2"), 9999, True, False, "restarted 2 times"),
        (unit(NRestarts="6"), 3, False, False, "keeps restarting, restarted 6 times, up for 2 s"),
        (
            unit(
                NRestarts="4", ActiveState="activating", SubState="auto-restart", ExecMainCode="2", ExecMainStatus="9"
            ),
            9,
            False,
            False,
            "restarted 4 times (signal 9)",
        ),
        (unit(ActiveState="failed", Result="exit-code", ExecMainStatus="1"), 9, False, False, "exit-code, exit code 1"),
        (unit(ActiveState="inactive", SubState="dead"), 9, False, False, "is inactive (dead)"),
        (unit(ActiveState="activating", SubState="start"), 9, True, True, "activating"),
        (unit(LoadState="not-found"), 9, False, False, "no unit"),
    ],
)
def test_systemd_judgement(row: dict, now: float, ok: bool, warn: bool, words: str) -> None:
    found = systemd.judge(row, "active", now)
    assert (found["ok"], bool(found.get("warn"))) == (ok, warn) and words in found["detail"]


def test_systemd_wanted_inactive() -> None:
    assert systemd.judge(unit(), "inactive", 9)["ok"] is False
    assert systemd.judge(unit(ActiveState="inactive"), "inactive", 9)["ok"]
    assert systemd.judge(unit(ActiveState="failed"), "any", 9)["ok"]


def peer(address: str, age: float | None, keepalive: int = 0) -> dict:
    return {"address": address, "keepalive": keepalive, "at": 0 if age is None else 10_000 - age}


@pytest.mark.parametrize(
    "peers, answers, ok, warn, words",
    [
        (
            [peer("10.9.0.1", 5), peer("10.9.0.2", 5000)],
            {"10.9.0.1": 1.0, "10.9.0.2": 2.0},
            True,
            False,
            "2 peers answer",
        ),
        ([peer("10.9.0.1", 5), peer("10.9.0.2", 100)], {"10.9.0.1": 1.0}, True, True, "b does not answer"),
        ([peer("10.9.0.1", 5), peer("10.9.0.2", 400)], {"10.9.0.1": 1.0}, False, False, "last handshake 400 s ago"),
        ([peer("10.9.0.1", 5), peer("10.9.0.2", None)], {"10.9.0.1": 1.0}, False, False, "no handshake yet"),
        ([peer("10.9.0.1", 5)], {"10.9.0.1": 1.0}, False, False, "b (10.9.0.2) is no peer"),
    ],
)
def test_wireguard_judgement(peers: list, answers: dict, ok: bool, warn: bool, words: str) -> None:
    found = wireguard.judge(peers, {"10.9.0.1": "a", "10.9.0.2": "b"}, answers, 10_000)
    assert (found["ok"], bool(found.get("warn"))) == (ok, warn) and words in found["detail"]


def test_wireguard_without_echo_reads_ages_of_peers_with_keepalive_only() -> None:
    quiet = [peer("10.9.0.1", 9000), peer("10.9.0.2", None)]
    assert wireguard.judge(quiet, {}, None, 10_000)["ok"]
    assert wireguard.judge([*quiet, peer("10.9.0.3", 20, 25)], {}, None, 10_000)["value"] == 20
    assert wireguard.judge([peer("10.9.0.3", 200, 25)], {}, None, 10_000)["warn"]
    assert wireguard.judge([peer("10.9.0.3", 301, 25)], {}, None, 10_000)["ok"] is False
    assert wireguard.judge([peer("10.9.0.3", None, 25)], {}, None, 10_000)["ok"] is False


def test_wireguard_without_its_interface_is_down() -> None:
    if not shutil.which("wg"):
        lacking("wg is not installed (apt install wireguard-tools)")
    event = look("wireguard", interface="wg-none", peers={"a": "10.9.0.1"})
    assert event["ok"] is (False if os.geteuid() == 0 else None)
