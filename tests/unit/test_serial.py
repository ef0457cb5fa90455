"""`serial`: what may be written, which batches it makes, and whose turn it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning_project import Planned

from swarmops.cli._deploy_printers import printer_for
from swarmops.delivery.turns import Turns
from swarmops.model.schema.serial import Serial
from swarmops.planning.batches import Wave, rolling
from swarmops.planning.plan import Plan

SIZES = st.lists(st.integers(1, 6) | st.integers(1, 100).map("{}%".format), min_size=1, max_size=4)
WRITTEN: list[list[int | str]] = [
    *([n] for n in (1, 2, 3, 7, 100)),
    *([f"{n}%"] for n in (1, 10, 29, 30, 33, 50, 67, 99, 100)),
    [1, 5, "100%"],
    [1, 2],
    ["10%", 3],
    [2, "30%", "50%"],
]


def plans(*groups: dict[str, list[int | str]]) -> dict[str, Plan]:
    """A plan for each of the hosts h0, h1, ... with the `serial` of its roles."""
    return {f"h{i}": Plan(f"h{i}", serial={r: Serial(tuple(s)) for r, s in g.items()}) for i, g in enumerate(groups)}


def batches(*groups: dict[str, list[int | str]]) -> list[list[str]]:
    return rolling(plans(*groups))[0].batches


def test_the_batches_of_one_role_are_those_of_ansible() -> None:
    cases = [(hosts, written) for hosts in range(1, 26) for written in WRITTEN]
    program = [sys.executable, str(Path(__file__).with_name("serial_answers.py"))]
    said = subprocess.run(program, input=json.dumps(cases), capture_output=True, text=True, timeout=120, check=True)
    for (hosts, written), theirs in zip(cases, json.loads(said.stdout), strict=True):
        ours = [len(batch) for batch in batches(*[{"web": written}] * hosts)]
        assert (ours or [hosts]) == theirs, (hosts, written)


@given(st.data())
def test_no_batch_is_too_large_for_a_role_and_nobody_is_left_out(data: st.DataObject) -> None:
    roles = {name: data.draw(SIZES) for name in "abc"}
    groups = [{r: roles[r] for r in data.draw(st.sets(st.sampled_from("abc")))} for _ in range(data.draw(st.just(9)))]
    made = plans(*groups)
    wave = rolling(made)[0]
    taking_turns = [host for batch in wave.batches for host in batch]
    assert sorted(taking_turns) == (sorted(h for h in made if made[h].serial) if wave.batches else [])
    assert all(wave.batches) and len(wave.batches) != 1
    for role, written in roles.items():
        members = [h for h in made if role in made[h].serial]
        allowed = Serial(tuple(written)).batches(len(members))
        for batch in wave.batches:
            assert len(set(batch) & set(members)) <= next(allowed)


def test_roles_with_and_without_take_turns_side_by_side() -> None:
    web, api = {"web": [1]}, {"api": [2]}
    assert batches(web, api, {}, web, api, api, web | api) == [["h0", "h1", "h4"], ["h3", "h5"], ["h6"]]
    assert batches({}, {}) == [] and batches(web, {}) == [] and batches({"web": ["100%"]}, {"web": ["100%"]}) == []


def test_the_command_line_counts_all_hosts_of_a_wave() -> None:
    made = plans({"web": [1]}, {}, {"web": [1]}, {})
    made["h3"].after = ["h0"]
    waves = rolling(made, Serial((2,)))
    assert [(w.hosts, w.batches) for w in waves] == [(["h0", "h1", "h2"], [["h0", "h1"], ["h2"]]), (["h3"], [])]
    assert [w.batches for w in rolling(made, Serial(("100%",)))] == [[], []]


def test_only_who_shares_the_role_of_one_that_failed_is_held() -> None:
    groups = {"a": ["web"], "b": ["api"], "c": ["web", "api"], "d": ["web"], "e": ["api"]}
    turns = Turns(Wave(list(groups), [["a", "b"], ["d", "e"], ["c"]], groups))
    assert [h for h in groups if turns.first_looks(h)] == ["c", "d", "e"]
    turns.next(lambda host: host != "b", False)
    assert turns.held == dict.fromkeys(("e", "c"), "not started: b failed in an earlier batch of api")
    assert [h for h in groups if turns.may_begin(h)] == ["a", "b", "d"]
    turns.next(lambda host: host != "b", False)
    assert turns.may_begin("d") and not turns.may_begin("c") and not turns.more


NOT = "is not a number of hosts (write 1, 30% or [1, 5, 100%])"


@pytest.mark.parametrize(
    ("written", "column", "said"),
    [
        ("0", 29, f"serial: '0' {NOT}"),
        ("101%", 29, f"serial: '101%' {NOT}"),
        ("half", 29, f"serial: 'half' {NOT}"),
        ("yes", 29, f"serial: 'true' {NOT}"),
        ("1.5", 29, f"serial: '1.5' {NOT}"),
        ("{a: 1}", 29, f"serial: a map {NOT}"),
        ("[1, -5]", 33, f"serial[1]: '-5' {NOT}"),
        ("[]", 29, "serial: an empty list says nothing (write 1, 30% or [1, 5, 100%])"),
    ],
)
def test_what_is_no_serial_is_a_fault_with_its_place(small: Planned, written: str, column: int, said: str) -> None:
    small.write("distributed.yaml", f"version: 1\ninfrastructure:\n  app: {{hosts: all, serial: {written}}}\n")
    small.task("{name: x, command: 'true'}")
    assert small.fault() == f"distributed.yaml:3:{column}: infrastructure.app.{said}"


def test_a_play_without_hosts_or_with_a_slip_is_a_fault(small: Planned) -> None:
    small.task("{name: x, command: 'true'}")
    small.write("distributed.yaml", "version: 1\ninfrastructure:\n  app: {serial: 1}\n")
    assert small.fault() == "distributed.yaml:3:8: infrastructure.app: 'hosts' is missing (hosts: app)"
    small.write("distributed.yaml", "version: 1\ninfrastructure:\n  app: {hosts: all, serail: 1}\n")
    assert small.fault() == "distributed.yaml:3:21: infrastructure.app.serail: unknown key (did you mean 'serial'?)"


def test_a_role_may_say_it_and_the_declaration_wins(small: Planned) -> None:
    task = "tasks:\n  - {name: x, command: 'true'}\n"
    small.role(f"serial: 30%\n{task}")
    assert {h: str(p.serial["app"]) for h, p in small.plan().items()} == {"r1": "30%", "w1": "30%", "w2": "30%"}
    small.write("distributed.yaml", "version: 1\ninfrastructure:\n  app: {hosts: [edge], serial: [1, 100%]}\n")
    assert {h: [str(s) for s in p.serial.values()] for h, p in small.plan().items()} == {
        "r1": [],
        "w1": ["1, 100%"],
        "w2": ["1, 100%"],
    }
    small.role(f"serial: [1, no]\n{task}")
    assert small.fault() == f"roles/app/role.yaml:2:13: serial[1]: 'false' {NOT}"


@pytest.mark.parametrize("given", ["0", "1,x", ""])
def test_a_bad_one_on_the_command_line_is_a_fault_beside_the_others(
    declared: Any, run: Callable[..., tuple[int, str, str]], given: str
) -> None:
    declared.write("version: 1\ninfrastructure: {redis: redis}\nfeatures: {x: 3}\n")
    code, _, err = run("deploy", "lan", "--yes", "--serial", given)
    bad = given.rpartition(",")[2]
    assert code == 2 and f"--serial: '{bad}' {NOT}" in err.splitlines() and "features.x" in err


def test_batches_are_told_before_anything_is_done_and_who_was_held_why(capsys: pytest.CaptureFixture[str]) -> None:
    printer = printer_for("text")
    waves = [{"hosts": ["a"], "batches": []}, {"hosts": ["b", "c", "d"], "batches": [["b"], ["c", "d"]]}]
    printer.show({"type": "start", "hosts": list("abcd"), "check": False, "waves": waves})
    printer.show({"type": "batch", "number": 2, "of": 2, "hosts": ["c", "d"]})
    counts = {"d": dict.fromkeys(("ok", "changed", "would", "skipped", "failed"), 0)}
    why = {"d": "not started: b failed in an earlier batch of web"}
    printer.show({"type": "recap", "hosts": counts, "ends": {"d": "held"}, "why": why, "execs": {}, "seconds": 1})
    said = capsys.readouterr()
    assert said.err.splitlines() == ["deploying 4 hosts", "wave 2 in 2 batches: b; c, d", "batch 2 of 2: c, d"]
    assert "d : ok=0  changed=0  failed=0  held: b failed in an earlier batch of web" in said.out
