"""The engine's promises, played by the real bootstrap in a child process."""

from __future__ import annotations

import json
import os

import pytest

from swarmops.target import wire
from swarmops.target.engine import Engine
from swarmops.target.system import Failed
from tests.target.harness import NEW, command, landed, sha, statuses


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


def test_check_mode_says_after_what_a_step_would_change(here, tmp_path):
    """A step that cannot be read yet is not guessed at: it names the step it waits for."""
    folder = {"path": str(tmp_path / "new"), "state": "directory", "src": None, "recurse": False}
    args = {**folder, "owner": None, "group": None, "mode": "0755"}
    steps = [
        wire.step("r/folder", "r", "folder", "file", args),
        landed("r", tmp_path / "new" / "conf", NEW, register="conf"),
        command("r", "after", ["/bin/true"], when=["conf.changed"]),
    ]
    reports = here.play(steps, {sha(NEW): NEW}, mode="check")
    assert statuses(reports) == {"r/folder": "would", "r/conf": "would", "r/after": "skipped"}
    assert "not applied" in reports["r/after"]["why"]
    assert not (tmp_path / "new").exists()


def test_conditions_see_results_and_facts(here, tmp_path):
    steps = [
        command("r", "ask", ["/bin/echo", "blue"], register="said"),
        landed("r", tmp_path / "blue", NEW, when=["'blue' in said.stdout and facts.arch != 'none'"]),
        landed("r", tmp_path / "red", NEW, when=["said.stdout == colour"], consts={"colour": "red"}),
    ]
    assert statuses(here.play(steps, {sha(NEW): NEW})) == {"r/ask": "changed", "r/blue": "changed", "r/red": "skipped"}


@pytest.mark.parametrize("expression", ["x ==", "(" * 300, "f()", "x.y < 1", "x" + ".y" * 5000])
def test_a_condition_that_cannot_be_decided_fails_its_step(here, tmp_path, expression):
    reports = here.play(
        [landed("a", tmp_path / "a", NEW, when=[expression]), landed("b", tmp_path / "b", NEW)], {sha(NEW): NEW}
    )
    assert reports["a/a"]["s"] == "failed" and reports["b/b"]["s"] == "changed"


def test_a_condition_on_what_check_mode_could_not_decide_is_not_decided_either(here, tmp_path):
    steps = [
        landed("r", tmp_path / "conf", NEW, register="conf"),
        command("r", "second", ["/bin/true"], when=["conf.changed"], register="second"),
        command("r", "third", ["/bin/true"], when=["not(second.skipped)"]),
    ]
    reports = here.play(steps, {sha(NEW): NEW}, mode="check")
    assert "not applied" in reports["r/third"]["why"]


def test_a_secret_step_shows_no_content(here, tmp_path):
    step = landed("r", tmp_path / "secret", b"hunter2hunter2", secret=True)
    reports = here.play([step], {sha(b"hunter2hunter2"): b"hunter2hunter2"}, mode="check")
    assert "hunter2" not in json.dumps(reports) and "diff" not in reports["r/secret"]


@pytest.mark.parametrize("pipe", ["both", "stdin"])
def test_a_lost_controller_ends_the_applier_after_its_current_step(here, tmp_path, pipe):
    """F26: the current step is finished, the next is not begun, and the lock is free."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    steps = [command("r", "waits", ["/bin/cat", str(gate)]), landed("r", tmp_path / "x", NEW)]
    child = here.start(steps)
    with open(gate, "w"):  # opens once the step is running
        child.stdin.close()
        if pipe == "both":
            child.stdout.close()
    child.wait(60)
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


def test_a_50_mb_content_lands_whole(here, tmp_path):
    big = os.urandom(1 << 20) * 50
    assert statuses(here.play([landed("r", tmp_path / "big", big)], {sha(big): big})) == {"r/big": "changed"}
    assert (tmp_path / "big").stat().st_size == 50 << 20


class Kind:
    """A kind whose parts raise what they are told to."""

    def __init__(self, **raises):
        self.raises = raises

    def __getattr__(self, name):
        if name not in ("want", "read", "fix", "diff", "prefetch", "out"):
            raise AttributeError(name)

        def part(*args):
            if name in self.raises:
                raise self.raises[name]
            return {"want": {"x": 1}, "read": {"x": 0}}.get(name, {})

        return part


def engine(system, kind, steps):
    events = []
    system.emit = lambda event, now=True: events.append(event)
    made = Engine({"steps": steps, "run": "r1", "diff": True}, system, {"k": kind, "fine": Kind()})
    made.kinds["fine"].raises = {}
    return made, events


@pytest.mark.parametrize("part", ["want", "read", "fix", "prefetch", "diff", "out"])
@pytest.mark.parametrize("error", [TypeError("a\nb"), KeyError("x"), RecursionError(), Failed("a sentence")])
def test_a_fault_in_a_kind_fails_its_step_and_not_the_run(system, part, error):
    steps = [
        wire.step("a/bad", "a", "bad", "k", {"dest": None}, register="r", content="0" * 64),
        wire.step("b/next", "b", "next", "command_like", {}),
    ]
    steps[1]["kind"] = "fine"
    kind = Kind(**{part: error})
    if part == "out":
        kind.raises["read"] = None
        kind = type("K", (), {"want": lambda s, a: {}, "read": lambda s, a, w, y: {}, "out": kind.out})()
    made, events = engine(system, kind, steps)
    made.play()
    reports = {steps[e["i"]]["id"]: e for e in events if e["e"] == "step"}
    assert reports["a/bad"]["s"] == "failed" and "\n" not in reports["a/bad"]["why"], reports
    assert "b/next" in reports
