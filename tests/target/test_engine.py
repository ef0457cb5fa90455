"""The engine's promises, played by the real bootstrap in a child process."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from swarmops.target import wire
from tests.target.harness import Here, command, landed, sha

OLD, NEW = b"generation 1\n", b"generation 2\n"


@pytest.fixture
def here(tmp_path):
    return Here(tmp_path / "state")


def statuses(reports):
    return {k: r["s"] for k, r in reports.items() if k != "done"}


def test_check_changes_nothing_then_apply_then_ok(here, tmp_path):
    step = landed("r", tmp_path / "a.conf", NEW)
    contents = {sha(NEW): NEW}
    looked = here.play([step], contents, mode="check")
    assert statuses(looked) == {"r/a.conf": "would"} and "+generation 2" in looked["r/a.conf"]["diff"]
    assert not (tmp_path / "a.conf").exists()
    assert statuses(here.play([step], contents)) == {"r/a.conf": "changed"}
    assert (tmp_path / "a.conf").read_bytes() == NEW
    assert statuses(here.play([step])) == {"r/a.conf": "ok"}  # no content is asked for


def test_the_engine_is_kept_and_need_not_be_sent_again(here, tmp_path):
    here.play([landed("r", tmp_path / "a", NEW)], {sha(NEW): NEW})
    assert len(list((here.state / "engine").iterdir())) == 1


def test_a_failure_skips_the_rest_of_its_role_and_what_needs_it_but_not_others(here, tmp_path):
    steps = [
        command("a", "fails", ["/bin/false"]),
        landed("a", tmp_path / "a2", NEW),
        landed("b", tmp_path / "b", NEW),
        landed("c", tmp_path / "c", NEW),
    ]
    reports = here.play(steps, {sha(NEW): NEW}, needs={"b": ["a"]})
    assert statuses(reports) == {"a/fails": "failed", "a/a2": "skipped", "b/b": "skipped", "c/c": "changed"}
    assert reports["b/b"]["why"] == "after a/fails failed"
    assert reports["done"]["ok"] is False
    assert reports["a/fails"]["cmds"][-1][:2] == [["/bin/false"], 1]


def handler(tmp_path, argv, watches):
    return command("r", "restart", argv, handler=True, watches=watches)


def test_a_handler_due_before_a_failure_runs_in_the_next_deploy(here, tmp_path):
    conf, log, gate = landed("r", tmp_path / "conf", NEW), tmp_path / "log", tmp_path / "gate"
    restart = handler(tmp_path, ["/bin/sh", "-c", f"echo ran >> {log}"], [conf["id"]])
    between = command("r", "between", ["/bin/sh", "-c", f"test -e {gate}"])
    reports = here.play([conf, between, restart], {sha(NEW): NEW})
    assert statuses(reports) == {"r/conf": "changed", "r/between": "failed", "r/restart": "skipped"}
    gate.touch()
    assert statuses(here.play([conf, between, restart]))["r/restart"] == "changed"
    assert statuses(here.play([conf, between, restart]))["r/restart"] == "ok"
    assert log.read_text() == "ran\n"


def test_a_service_that_does_not_come_up_gets_its_old_config_back(here, tmp_path):
    """F30: also when the failing restart happens in a later run than the change."""
    conf, log = tmp_path / "conf", tmp_path / "log"
    restart = ["/bin/sh", "-c", f"cat {conf} >> {log}; grep -q 1 {conf}"]
    good, bad = landed("r", conf, OLD), landed("r", conf, NEW)
    assert (
        statuses(here.play([good, handler(tmp_path, restart, [good["id"]])], {sha(OLD): OLD}))["r/restart"] == "changed"
    )
    reports = here.play([bad, handler(tmp_path, restart, [bad["id"]])], {sha(NEW): NEW})
    assert reports["r/restart"]["s"] == "failed"
    assert "is back and running" in reports["r/restart"]["why"]
    assert conf.read_bytes() == OLD
    assert log.read_bytes() == OLD + NEW + OLD


def test_check_mode_says_after_what_a_step_would_change(here, tmp_path):
    """A step that cannot be read yet is not guessed at: it names the step it waits for."""
    folder = {"path": str(tmp_path / "new"), "state": "directory", "src": None, "recurse": False}
    args = {**folder, "owner": None, "group": None, "mode": "0755"}
    user = {"name": "swarmops-no-such-user"}
    steps = [
        wire.step("r/folder", "r", "folder", "file", args),
        landed("r", tmp_path / "new" / "conf", NEW, register="conf"),
        command("r", "after", ["/bin/true"], when=["conf.changed"]),
    ]
    reports = here.play(steps, {sha(NEW): NEW}, mode="check")
    assert statuses(reports) == {"r/folder": "would", "r/conf": "would", "r/after": "skipped"}
    assert "not applied" in reports["r/after"]["why"]
    assert user and not (tmp_path / "new").exists()


def test_conditions_see_results_and_facts(here, tmp_path):
    steps = [
        command("r", "ask", ["/bin/echo", "blue"], register="said"),
        landed("r", tmp_path / "blue", NEW, when=["'blue' in said.stdout and facts.arch != 'none'"]),
        landed("r", tmp_path / "red", NEW, when=["said.stdout == colour"], consts={"colour": "red"}),
    ]
    assert statuses(here.play(steps, {sha(NEW): NEW})) == {"r/ask": "changed", "r/blue": "changed", "r/red": "skipped"}


def test_a_secret_step_shows_no_content(here, tmp_path):
    step = landed("r", tmp_path / "secret", b"hunter2hunter2", secret=True)
    reports = here.play([step], {sha(b"hunter2hunter2"): b"hunter2hunter2"}, mode="check")
    assert "hunter2" not in json.dumps(reports) and "diff" not in reports["r/secret"]


def test_two_runs_at_once_the_second_is_refused_naming_the_first(here, tmp_path):
    """F27."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    first = here.start([command("r", "waits", ["/bin/cat", str(gate)])])
    deadline = time.monotonic() + 10
    while not (here.state / "run" / "lock").exists() or not (here.state / "run" / "lock").read_text():
        assert time.monotonic() < deadline
    child = here.start([landed("r", tmp_path / "x", NEW)], run="run2")
    events = list(here.events(child, {}))
    refused = next(e for e in events if e["e"] == "refused")
    assert refused["by"] == "tests" and not (tmp_path / "x").exists()
    gate.write_text("go")
    list(here.events(first, {}))


@pytest.mark.parametrize("how", [signal.SIGKILL, None])
def test_a_lost_controller_ends_the_applier_after_its_current_step(here, tmp_path, how):
    """F26: the current step is finished, the next is not begun, and the lock is free."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    steps = [command("r", "waits", ["/bin/cat", str(gate)]), landed("r", tmp_path / "x", NEW)]
    child = here.start(steps)
    with open(gate, "w"):  # opens once the step is running
        child.stdin.close()
        child.stdout.close()
    child.wait(10)
    assert not (tmp_path / "x").exists()
    assert statuses(here.play([landed("r", tmp_path / "x", NEW)], {sha(NEW): NEW})) == {"r/x": "changed"}


def test_an_approved_run_shows_first_and_applies_after_go(here, tmp_path):
    from swarmops.delivery import ship

    step = landed("r", tmp_path / "a", NEW)
    child = here.start([step], ask=True)
    seen = []
    for event in here.events(child, {sha(NEW): NEW}):
        seen.append(event.get("s") or event["e"])
        if event["e"] == "asked":
            assert not (tmp_path / "a").exists()
            child.stdin.write(ship.word_frame("go"))
            child.stdin.flush()
    assert [s for s in seen if s not in ("hello", "beat")] == ["would", "asked", "changed", "done"]


def test_another_machine_or_deployment_is_not_touched(here, tmp_path):
    """Cases 64 and 66."""
    step = landed("r", tmp_path / "a", NEW)
    assert statuses(here.play([step], {sha(NEW): NEW}, owner="swarm/lan"))
    child = here.start([step], owner="other/lan")
    strangers = [e for e in here.events(child, {}) if e["e"] == "stranger"]
    assert "deployed from 'swarm/lan'" in strangers[0]["why"]
    child = here.start([step], machine="0" * 32)
    strangers = [e for e in here.events(child, {}) if e["e"] == "stranger"]
    assert strangers and "another machine" in strangers[0]["why"]


def test_a_validator_keeps_the_old_file(here, tmp_path):
    """F29."""
    conf = tmp_path / "conf"
    conf.write_bytes(OLD)
    step = landed("r", conf, NEW)
    step["args"]["validate"] = "/bin/grep -q 1 %s"
    reports = here.play([step], {sha(NEW): NEW})
    assert reports["r/conf"]["s"] == "failed" and "not valid" in reports["r/conf"]["why"]
    assert conf.read_bytes() == OLD and [p.name for p in tmp_path.iterdir() if "swarmops" in p.name] == []


def test_a_full_disk_leaves_the_old_file_and_says_so(here, tmp_path):
    """F21. On a tiny tmpfs of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    assert os.system(f"mount -t tmpfs -o size=64k tmpfs {disk}") == 0
    try:
        (disk / "conf").write_bytes(OLD)
        big = b"x" * 200_000
        reports = here.play([landed("r", disk / "conf", big)], {sha(big): big})
        assert "disk is full" in reports["r/conf"]["why"] and "bytes free" in reports["r/conf"]["why"]
        assert (disk / "conf").read_bytes() == OLD and len(list(disk.iterdir())) == 1
    finally:
        os.system(f"umount {disk}")


def test_a_config_is_settled_only_when_its_last_handler_succeeded(here, tmp_path):
    """Restart says yes, the wait after it says no: the old config comes back and the restart runs with it."""
    conf, log = tmp_path / "conf", tmp_path / "log"

    def steps(step):
        restart = command("r", "restart", ["/bin/sh", "-c", f"cat {conf} >> {log}"], handler=True, watches=[step["id"]])
        wait = command("r", "wait", ["/bin/grep", "-q", "1", str(conf)], handler=True, watches=[step["id"]])
        return [step, restart, wait]

    assert here.play(steps(landed("r", conf, OLD)), {sha(OLD): OLD})["done"]["ok"]
    reports = here.play(steps(landed("r", conf, NEW)), {sha(NEW): NEW})
    assert reports["r/wait"]["s"] == "failed" and "is back and running" in reports["r/wait"]["why"]
    assert conf.read_bytes() == OLD and log.read_bytes() == OLD + NEW + OLD
