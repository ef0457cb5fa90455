"""Checks run side by side, each with its time, and one that breaks is named."""

from __future__ import annotations

import subprocess
import time
import types
from pathlib import Path

import pytest

import swarmops.target.health as health
from tests.target.looking import listener, look, silent


def test_checks_run_side_by_side_and_a_hanging_one_holds_up_nobody() -> None:
    with listener(silent) as port:
        slow = {"id": "a/slow", "probe": "redis", "args": {"port": port}, "within": 3}
        stuck = {"id": "a/stuck", "probe": "command", "args": {"argv": ["sleep", "60"]}, "within": 3}
        quick = [{"id": f"a/{n}", "probe": "disk", "args": {}} for n in range(20)]
        began = time.monotonic()
        events = list(health.results([slow, stuck, *quick], health.Context()))
        took = time.monotonic() - began
    assert took < 6  # what the two would take one after the other
    assert {e["id"] for e in events[-2:]} == {"a/slow", "a/stuck"}
    assert all(e["ok"] is False and e["timeout"] for e in events[-2:])
    assert all(e["ok"] for e in events[:20])


def test_overall_limit_is_above_every_check() -> None:
    stuck = {"id": "a", "probe": "command", "args": {"argv": ["sleep", "60"]}, "within": 50}
    began = time.monotonic()
    (event,) = health.results([stuck], health.Context(), limit=0.3)
    assert time.monotonic() - began < 25
    assert event["ok"] is False and "0.3 s" in event["detail"]


def test_a_probe_that_breaks_is_unknown_and_named() -> None:
    assert look("no_such")["ok"] is None
    assert "no probe 'no_such'" in look("no_such")["detail"]
    broken = look("tcp")  # no port given
    assert broken["ok"] is None and "KeyError" in broken["detail"]
    assert look("../evil")["ok"] is None


def test_what_services_say_reaches_no_terminal_raw() -> None:
    event = look("command", argv=["printf", r"\033[31mred\033]0;x\007 \302\233 %0500d", "7"])
    assert event["detail"].isprintable() and "\x1b" not in event["detail"]
    assert len(event["detail"]) <= health.LINE


def test_run_emits_through_the_system() -> None:
    said: list[dict] = []
    system = types.SimpleNamespace(emit=said.append)
    health.run({"checks": [{"id": "d", "probe": "disk", "args": {"path": "/"}}], "now": 1.0}, system)
    assert [e["id"] for e in said] == ["d"]


@pytest.mark.parametrize("python", ["3.9.18", "3.13.0"])
def test_every_probe_loads_on_other_pythons(python: str) -> None:
    exe = Path.home() / f".pyenv/versions/{python}/bin/python"
    if not exe.exists():
        pytest.skip(f"no Python {python} here")
    root = Path(health.__file__).parent.parent.parent
    names = sorted(p.stem for p in (root / "swarmops/target/probes").glob("*.py") if p.stem != "__init__")
    code = f"import importlib\nfor n in {names!r}: importlib.import_module('swarmops.target.probes.' + n)"
    subprocess.run([exe, "-S", "-c", code], cwd=root, check=True)
