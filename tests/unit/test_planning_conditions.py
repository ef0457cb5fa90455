"""`when`: what of a condition is decided here, and what the host decides."""

from __future__ import annotations

import json

import pytest
from planning_project import Planned

from swarmops.planning import conditions
from swarmops.target.facts import gather
from swarmops.target.when import holds


def test_a_condition_is_split_between_here_and_there(small: Planned) -> None:
    small.role(
        "vars: {wanted: true, least: 4, names: [debian, ubuntu]}\n"
        "tasks:\n"
        "  - {name: a, apt: curl, register: got}\n"
        "  - {name: b, apt: tmux, when: wanted and got is changed and facts.cores >= least and facts.distribution in names}\n"  # noqa: E501
        "  - {name: c, apt: tmux, when: [not wanted, got is changed]}\n"
        "  - {name: d, apt: tmux, when: (got.rc | default(0)) == 0 or wanted, tags: [x]}\n"
    )
    small.plan()
    assert "a `when` over results or facts cannot use filters" in small.lines[0]
    small.write("roles/app/role.yaml", (small.root / "roles/app/role.yaml").read_text().rpartition("  - {name: d")[0])
    a, b = small.steps()
    assert a["register"] == "got"
    assert b["when"] == ["got.changed", "(facts.cores >= least)", "(facts.distribution in names)"]
    assert b["consts"] == {"least": 4, "names": ["debian", "ubuntu"]}
    facts = {"cores": 8, "distribution": "debian"}
    assert all(holds(w, {**b["consts"], "got": {"changed": True}, "facts": facts}) for w in b["when"])


@pytest.mark.parametrize(
    ("when", "there"),
    [
        ("got is not changed", "(not got.changed)"),
        ("not (got is failed or got is skipped)", "(not (got.failed or got.skipped))"),
        ("got.stdout == 'a\"b'", "(got.stdout == 'a\"b')"),
        ("got.rc in [0, 2]", "(got.rc in const_0)"),
        ("got is defined", "(got is not None)"),
        ("got.facts['x'] != none", "(got.facts['x'] != None)"),
        ("0 < got.rc <= 3", "(0 < got.rc <= 3)"),
        ("got.stdout == inventory_hostname ~ '!'", "(got.stdout == const_0)"),
        ("got is success", "got.succeeded"),
    ],
)
def test_what_goes_to_the_host(small: Planned, when: str, there: str) -> None:
    small.role(f"tasks:\n  - {{name: a, apt: curl, register: got}}\n  - name: b\n    apt: tmux\n    when: {when}\n")
    assert small.steps()[1]["when"] == [there]
    holds(there, {"got": {"rc": 1, "facts": {}}, "const_0": [1]})


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("gott is changed", "'gott' is not set for"),
        ("later is changed", "'later' is registered later, by 'c' (move that task up)"),
        ("got is chnged", "a result cannot be tested with 'is chnged' (did you mean 'changed'?)"),
        ("facts.distro == 'debian'", "there is no fact 'distro'"),
        ("got.stdout.strip() == ''", "cannot use calls"),
        ("got ==", "tasks[b].when: "),
        ("nope", "'nope' is not set for r1, w1, w2"),
    ],
)
def test_a_condition_that_cannot_be_decided(small: Planned, when: str, said: str) -> None:
    small.role(
        f"tasks:\n  - {{name: a, apt: curl, register: got}}\n  - {{name: b, apt: tmux, when: {json.dumps(when)}}}\n"
        "  - {name: c, apt: x, register: later}\n"
    )
    assert said in small.fault()


def test_a_result_of_a_task_that_is_left_out_counts_as_skipped(small: Planned) -> None:
    small.role(
        "tasks:\n"
        "  - {name: a, apt: curl, register: got, when: inventory_hostname == 'w1'}\n"
        "  - {name: b, apt: tmux, when: got is changed}\n"
        "  - {name: c, apt: vim, when: got is skipped or facts.cores > 1}\n"
    )
    plans = small.plan()
    assert [s["name"] for s in plans["w1"].steps] == ["a", "b", "c"]
    assert [s["name"] for s in plans["r1"].steps] == ["c"]
    assert plans["r1"].steps[0]["consts"]["got"]["skipped"] is True


def test_facts_are_those_of_the_host() -> None:
    assert set(conditions.FACTS) == set(gather())


def test_a_result_in_an_argument_is_explained(small: Planned) -> None:
    small.role("tasks:\n  - {name: a, apt: curl, register: got}\n  - {name: b, command: 'echo {{ got.stdout }}'}\n")
    assert small.fault().endswith("(it is registered by a task: only `when` can ask it, on the host)")
