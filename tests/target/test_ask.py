"""A host that is told to ask first: not where everything is as it should be, but wherever that is unsure."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmops.delivery import ship
from tests.target.harness import NEW, OLD, Here, command, handler, landed, sha
from tests.target.test_incoming import WHEELS, pieces, step

CONTENTS = {sha(NEW): NEW, sha(OLD): OLD}


def told(here: Here, steps: list[dict[str, Any]], word: str = "stop", **more: Any) -> list[str]:
    """What a host says in turn, when it is given the word as soon as it asks."""
    child = here.start(steps, ask=True, **more)
    seen = []
    for event in here.events(child, CONTENTS):
        seen.append(event.get("s") or event["e"])
        if event["e"] == "asked":
            child.stdin.write(ship.word_frame(word))
            child.stdin.flush()
    child.stdin.close()
    child.wait(60)
    return [s for s in seen if s not in ("hello", "beat")]


def test_nothing_to_change_asks_nobody(here: Here, tmp_path: Path) -> None:
    steps = [landed("r", tmp_path / "a", NEW), handler(tmp_path, ["/bin/true"], ["r/a"])]
    here.play(steps, CONTENTS, owner="swarm/lan")
    assert told(here, steps, owner="swarm/lan") == ["ok", "ok", "done"]
    assert told(here, steps, owner="swarm/lan", check=True) == ["ok", "ok", "done"]


def of_somebody_else(here: Here, tmp_path: Path) -> list[dict[str, Any]]:
    (here.state / "owner.json").write_text('{"owner": "other/lan"}')
    return [landed("r", tmp_path / "a", NEW)]


def left_unconfirmed(here: Here, tmp_path: Path) -> list[dict[str, Any]]:
    (here.state / "rollback" / "cafe").mkdir(parents=True)
    return [landed("r", tmp_path / "a", NEW)]


def changed(here: Here, tmp_path: Path) -> list[dict[str, Any]]:
    return [landed("r", tmp_path / "a", OLD)]


def a_failure(here: Here, tmp_path: Path) -> list[dict[str, Any]]:
    return [landed("r", tmp_path / "no" / "folder" / "a", NEW)]


def a_handler_that_is_due(here: Here, tmp_path: Path) -> list[dict[str, Any]]:
    return [landed("r", tmp_path / "a", NEW), handler(tmp_path, ["/bin/true"], ["r/a"])]


def what_hangs_on_a_command(here: Here, tmp_path: Path) -> list[dict[str, Any]]:
    asks = command("r", "ask", ["/bin/false"], register="said", args={"changed_when": False})
    return [landed("r", tmp_path / "a", NEW), asks, command("r", "do", ["/bin/true"], when=["said.rc != 0"])]


@pytest.mark.parametrize(
    "make",
    [of_somebody_else, left_unconfirmed, changed, a_failure, a_handler_that_is_due, what_hangs_on_a_command],
)
def test_whatever_is_not_sure_asks(
    here: Here, tmp_path: Path, make: Callable[[Here, Path], list[dict[str, Any]]]
) -> None:
    here.play([landed("r", tmp_path / "a", NEW)], CONTENTS, owner="swarm/lan")
    said = told(here, make(here, tmp_path), owner="swarm/lan", adopt=True)
    assert said[-2:] == ["asked", "done"]
    assert (tmp_path / "a").read_bytes() == NEW, "it was told to stop"


def test_a_release_comes_after_the_word_and_not_before(here: Here, tmp_path: Path) -> None:
    child = here.start([step(tmp_path / "opt")], ask=True)
    seen = []
    for line in child.stdout:
        event = json.loads(line)
        seen.append(event.get("s") or event["e"])
        if event["e"] == "asked":
            child.stdin.write(ship.word_frame("go"))
        elif event["e"] == "need":
            child.stdin.write(b"".join(pieces(d) for d in WHEELS.values() if sha(d) in event["contents"]))
        child.stdin.flush()
    child.stdin.close()
    child.wait(60)
    order = list(dict.fromkeys(s for s in seen if s not in ("hello", "beat", "file")))
    assert order == ["would", "asked", "need", "changed", "done"]
