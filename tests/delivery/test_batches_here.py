"""Deploys in batches, on this machine as four hosts: the real engine and its words, with no SSH between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from swarmops.delivery import deploy as deploying
from swarmops.delivery.access import Access, access_to
from swarmops.delivery.deploy import Deploy
from swarmops.delivery.options import Options
from swarmops.health.gate import unwell
from swarmops.model.faults import Faults
from swarmops.model.inventory import Host
from swarmops.model.project import Project
from swarmops.model.schema.serial import Serial

HOSTS = ("a", "b", "c", "d")
ROLE = """role: app
rootless: true
vars: {word: one}
tasks:
  - name: write the word
    copy: {content: "{{ word }}", dest: "FOLDER/{{ inventory_hostname }}", mode: "0644"}
    notify: restart
handlers:
  - name: restart
    command:
      argv: [sh, -c, "echo {{ inventory_hostname }} >> FOLDER/log; test ! -e FOLDER/broken-{{ inventory_hostname }}"]
checks:
  - name: answers
    command: {argv: [sh, -c, "test ! -e FOLDER/ill-{{ inventory_hostname }} || exit 2"]}
"""
DECLARED = """version: 1
deployment: {{name: rolling, tier: lan}}
infrastructure:
  app: {{hosts: all, serial: {serial}}}
"""


class Here:
    """A project whose hosts are all this machine, each with an engine's state of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file("roles/app/role.yaml", ROLE.replace("FOLDER", str(folder)))
        hosts = "".join(f"    {host}: {{ansible_connection: local}}\n" for host in HOSTS)
        self.file("inventory/lan/hosts.yaml", f"all:\n  hosts:\n{hosts}")
        self.declare("1")

    def file(self, name: str, text: str = "") -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def declare(self, serial: str) -> None:
        self.file("distributed.yaml", DECLARED.format(serial=serial))

    def deploy(self, word: str, decide: bool | None = None, patience: float = 0, **more: Any) -> list[dict[str, Any]]:
        """The records of a deploy; the last has its exit code."""
        faults = Faults()
        project = Project.open(self.folder, "lan", faults)
        gate = partial(unwell, project, patience=patience)
        run = Deploy(project, Options(extra={"app_word": word}, ask=decide is not None, gate=gate, **more), faults)
        records = []
        for record in run.run():
            records.append(record)
            if record["type"] == "asked":
                assert self.log == [], "nothing is changed before the user's word"
                run.decide(bool(decide))
        records[-1]["code"] = run.exit_code()
        return records

    @property
    def log(self) -> list[str]:
        """The hosts whose handler ran since this was asked last, in that order."""
        file = self.folder / "log"
        found = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return found

    def words(self) -> list[str]:
        return [(self.folder / host).read_text() for host in HOSTS]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    def own_state(host: Host, store: Any = None) -> Access:
        return replace(access_to(host, store), state=str(tmp_path / "state" / host.name))

    monkeypatch.setattr(deploying, "access_to", own_state)
    monkeypatch.setenv("SWARMOPS_STATE", str(tmp_path / "kept"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    made = Here(tmp_path)
    assert made.deploy("one")[-1]["code"] == 0 and sorted(made.log) == list(HOSTS)
    yield made


def told(records: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(r["type"], *r["hosts"]) for r in records if r["type"] in ("batch", "gate")]


def test_hosts_take_turns_and_each_is_looked_after(here: Here) -> None:
    records = here.deploy("two")
    assert here.log == list(HOSTS) and here.words() == ["two"] * 4
    assert told(records) == [
        ("gate", "a"),
        ("batch", "b"),
        ("gate", "b"),
        ("batch", "c"),
        ("gate", "c"),
        ("batch", "d"),
    ]
    assert records[-1]["execs"] == {"a": 2, "b": 2, "c": 2, "d": 1}
    assert {h: c["changed"] for h, c in records[-1]["hosts"].items()} == dict.fromkeys(HOSTS, 2)
    assert not [r for r in records if r["type"] == "step" and r["status"] == "would"]


def test_who_has_nothing_to_change_takes_no_turn(here: Here) -> None:
    (here.folder / "c").write_text("by hand")
    records = here.deploy("one")
    assert told(records) == [("batch", "c")] and here.log == ["c"]
    records = here.deploy("one")
    assert told(records) == [] and records[-1]["execs"] == dict.fromkeys(HOSTS, 1)
    assert {h: c["ok"] for h, c in records[-1]["hosts"].items()} == dict.fromkeys(HOSTS, 2)


def test_after_a_failure_the_others_are_held_and_retry_goes_on(here: Here) -> None:
    here.declare("[1, 2, '100%']")
    here.file("broken-b")
    records = here.deploy("two")
    assert records[-1]["ends"] == {"a": "done", "b": "done", "c": "done", "d": "held"} and records[-1]["code"] == 1
    assert records[-1]["why"] == {"d": "not started: b failed in an earlier batch of app"}
    assert here.words() == ["two", "one", "two", "one"], "b has its earlier word back"
    (here.folder / "broken-b").unlink()
    here.log.clear()
    records = here.deploy("two", retry=True)
    assert records[0]["hosts"] == ["b", "d"] and records[0]["waves"][0]["batches"] == [["b"], ["d"]]
    assert here.log == ["b", "d"] and here.words() == ["two"] * 4 and records[-1]["code"] == 0


def test_a_later_wave_is_held_for_who_failed_not_for_who_was_held(here: Here) -> None:
    here.file("roles/late/role.yaml", "role: late\nrootless: true\nafter: [app]\nserial: 1\ntasks: []\n")
    here.file(
        "distributed.yaml",
        "version: 1\ndeployment: {name: rolling, tier: lan}\ninfrastructure:\n"
        "  app: {hosts: [a, b], serial: 1}\n  late: [c, d]\n",
    )
    here.file("broken-a")
    records = here.deploy("two")
    assert [w["batches"] for w in records[0]["waves"]] == [[["a"], ["b"]], [["c"], ["d"]]]
    assert records[-1]["why"] == {
        "b": "not started: a failed in an earlier batch of app",
        "c": "not started: a failed in an earlier wave",
        "d": "not started: a failed in an earlier wave",
    }


def test_continue_goes_on_after_a_failure(here: Here) -> None:
    here.file("broken-a")
    records = here.deploy("two", carry_on=True)
    assert here.words() == ["one", "two", "two", "two"] and records[-1]["code"] == 1


def test_a_host_that_is_not_well_holds_the_others_and_so_does_the_retry(here: Here) -> None:
    here.file("ill-a")
    records = here.deploy("two")
    assert records[-1]["ends"] == {"a": "unwell", "b": "held", "c": "held", "d": "held"}
    assert "answers" in records[-1]["why"]["a"] and here.words() == ["two", "one", "one", "one"]
    assert here.log == ["a"]
    assert here.deploy("two", retry=True)[-1]["ends"]["a"] == "unwell" and here.log == [], "nothing changes, ill it is"
    (here.folder / "ill-a").unlink()
    assert here.deploy("two", retry=True)[-1]["code"] == 0 and here.log == ["b", "c", "d"]


def test_what_becomes_well_in_time_is_well(here: Here) -> None:
    here.file("ill-a")
    faults = Faults()
    project = Project.open(here.folder, "lan", faults)
    checks = {n: p.checks for n, p in Deploy(project, Options(), faults).plans.items()}
    looks = unwell(project, {"a": checks["a"]}, {"b": checks["b"]}, patience=60)
    assert "answers" in next(looks)["a"]
    (here.folder / "ill-a").unlink()
    assert list(looks)[-1] == {}


def test_a_check_that_nobody_to_come_passes_holds_nobody(here: Here) -> None:
    """As in a first deploy, or where the whole swarm is ill and this deploy is the cure."""
    for host in HOSTS:
        here.file(f"ill-{host}")
    assert here.deploy("two")[-1]["code"] == 0 and here.log == list(HOSTS)


def test_the_user_is_asked_once_and_then_they_take_turns(here: Here) -> None:
    """With one host at a time, too: whoever waits for the user's word gives its place to the next."""
    records = here.deploy("two", decide=True, forks=1)
    assert [r["would"] for r in records if r["type"] == "asked"] == [8]
    assert here.log == list(HOSTS) and records[-1]["code"] == 0


def test_looking_and_a_user_who_says_no_change_nothing(here: Here) -> None:
    records = here.deploy("two", check=True)
    assert len(records[0]["waves"][0]["batches"]) == 4 and told(records) == []
    assert {r["host"] for r in records if r["type"] == "step" and r["status"] == "would"} == set(HOSTS)
    assert here.deploy("two", decide=False)[-1]["code"] == 1
    assert here.log == [] and here.words() == ["one"] * 4
    records = here.deploy("one", decide=False)
    assert "asked" not in [r["type"] for r in records] and records[-1]["code"] == 0, "there is nothing to ask about"


def test_the_command_line_wins_and_limit_counts(here: Here) -> None:
    records = here.deploy("two", serial=Serial(("50%",)), limit="b,c,d")
    assert records[0]["waves"][0]["batches"] == [["b"], ["c"], ["d"]]
    records = here.deploy("three", serial=Serial(("100%",)))
    assert records[0]["waves"][0]["batches"] == [] and told(records) == []
