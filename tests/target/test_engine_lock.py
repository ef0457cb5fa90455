"""Who may touch a host: one run at a time, of this deployment, on this machine."""

from __future__ import annotations

import json
import os
import time

import pytest

from swarmops.target.lock import Held, Lock
from tests.target.harness import NEW, command, landed, sha, statuses
from tests.waiting import until


def test_two_runs_at_once_the_second_is_refused_naming_the_first(here, tmp_path):
    """F27."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    first = here.start([command("r", "waits", ["/bin/cat", str(gate)])])
    lock = here.state / "run" / "lock"
    until(lambda: lock.exists() and lock.read_text(), "the first run has the lock")
    child = here.start([landed("r", tmp_path / "x", NEW)], run="run2")
    events = list(here.events(child, {}))
    refused = next(e for e in events if e["e"] == "refused")
    assert refused["by"] == "tests" and not (tmp_path / "x").exists()
    gate.write_text("go")
    list(here.events(first, {}))


# -- lock


def test_a_clock_that_jumps_does_not_age_a_holder(system, tmp_path):
    first, second = Lock(system, "one", "r1"), Lock(system, "two", "r2")
    first.acquire(lambda h: None)
    os.utime(first.path, (0, 0))  # as after a jump of the wall clock by years
    with pytest.raises(Held, match="held by one"):
        second.acquire(lambda h: pytest.fail("taken for stale"))
    first.release()
    second.acquire(lambda h: None)
    first.beat()  # late, and harmless
    second.release()


def test_a_silent_holder_is_waited_for_until_it_ends(system):
    first, second = Lock(system, "one", "r1"), Lock(system, "two", "r2")
    first.acquire(lambda h: None)
    note = json.dumps({"by": "one"}).encode()
    os.ftruncate(first.fd, 0)
    os.pwrite(first.fd, b"%020.3f\n" % (time.monotonic() - 60) + note, 0)
    waited = []

    def on_wait(holder):
        waited.append(holder["by"])
        first.release()

    second.acquire(on_wait)
    assert waited == ["one"]
    second.release()


def test_nobody_waits_for_a_lock_that_nobody_wants_any_more(system):
    first, second = Lock(system, "one", "r1"), Lock(system, "two", "r2")
    first.acquire(lambda h: None)
    os.pwrite(first.fd, b"%020.3f\n" % (time.monotonic() - 60), 0)
    with pytest.raises(Held):
        second.acquire(lambda h: None, gone=lambda: True)


def test_another_machine_or_deployment_is_not_touched(here, tmp_path):
    """Cases 64 and 66."""
    step = landed("r", tmp_path / "a", NEW)
    assert statuses(here.play([step], {sha(NEW): NEW}, owner="swarm/lan")) == {"r/a": "changed"}
    child = here.start([step], owner="other/lan")
    strangers = [e for e in here.events(child, {}) if e["e"] == "stranger"]
    assert "deployed from 'swarm/lan'" in strangers[0]["why"]
    child = here.start([step], machine="0" * 32)
    strangers = [e for e in here.events(child, {}) if e["e"] == "stranger"]
    assert strangers and "another machine" in strangers[0]["why"]


# -- who may leave what


def test_a_stranger_and_a_no_leave_nothing(here, tmp_path):
    from swarmops.delivery import ship

    step = landed("r", tmp_path / "a", NEW)
    child = here.start([step], machine="0" * 32)
    list(here.events(child, {}))
    child.wait(60)
    assert not (here.state / "engine").exists()
    child = here.start([step], ask=True)
    for event in here.events(child, {sha(NEW): NEW}):
        if event["e"] == "asked":
            child.stdin.write(ship.word_frame("stop"))
            child.stdin.flush()
    child.wait(60)
    assert not (here.state / "engine").exists() and not (here.state / "owner.json").exists()


def test_a_recorded_machine_whose_id_is_empty_now_is_another_one(system, monkeypatch):
    from swarmops.target import identity

    monkeypatch.setattr(identity, "_owner", lambda system: None)
    system._memo["facts"] = dict(system.facts, machine_id="")
    assert "empty" in identity.stranger({"machine": "a" * 32}, system)
    assert identity.stranger({"machine": "a" * 32, "adopt": True}, system) is None
    assert identity.stranger({"machine": None}, system) is None


@pytest.mark.parametrize("run", ["../x", "a b", "", "é", "x" * 41, "-rf"])
def test_a_run_id_that_is_no_name_is_refused(here, tmp_path, run):
    done = here.play([landed("r", tmp_path / "a", NEW)], {sha(NEW): NEW}, run=run)["done"]
    assert not done["ok"] and "id of this run" in done["why"]
    assert not (tmp_path / "a").exists()
