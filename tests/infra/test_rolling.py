"""`serial` on three hosts: one after the other, none after one that failed, and `--retry` goes on from there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from swarmops.lab import Guest
from tests.infra.fleet import Said
from tests.infra.small import Small

HOSTS = {f"web-{n}": f"10.74.0.1{n}" for n in (1, 2, 3)}
UNIT = """[Unit]
Description=A page
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStart=/usr/bin/python3 -u -m http.server --directory /srv 8000
[Install]
WantedBy=multi-user.target
"""
ROLE = f"""role: web
vars: {{word: one}}
tasks:
  - {{name: make the folder, file: {{path: /srv, state: directory, mode: "0755"}}}}
  - name: write the unit
    copy: {{content: {json.dumps(UNIT)}, dest: /etc/systemd/system/page.service, mode: "0644"}}
    notify: [restart the page, the page answers]
  - name: write the word
    copy: {{content: "{{{{ word }}}}\\n", dest: /srv/word, mode: "0644"}}
    notify: [restart the page, the page answers]
  - {{name: keep the page up, systemd: {{name: page, enabled: true, state: started}}}}
handlers:
  - {{name: restart the page, systemd: {{name: page, state: restarted}}}}
  - {{name: the page answers, wait: {{url: "http://127.0.0.1:8000/word", timeout: 20s}}}}
checks:
  - {{name: page answers, http: {{url: "http://127.0.0.1:8000/word"}}}}
"""


@pytest.fixture(scope="module")
def pages(can_lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    small = Small.up("rolling", [Guest(n, a) for n, a in HOSTS.items()], tmp_path_factory.mktemp("rolling"))
    try:
        declare(small, [1, "100%"])
        small.file("roles/web/role.yaml", ROLE)
        yield small
    finally:
        small.lab.down(now=True)


def declare(small: Small, serial: Any) -> None:
    sections = {
        "deployment": {"name": "rolling", "tier": "lan"},
        "infrastructure": {"web": {"hosts": "web", "serial": serial}},
    }
    small.declare(sections, {"web": {n: {"ansible_host": a} for n, a in HOSTS.items()}})


def deploy(small: Small, *args: str) -> tuple[Said, list[dict[str, Any]]]:
    """What a deploy said, and its records in their order."""
    said = small.controller.run("deploy", "lan", "--yes", "--format", "jsonl", *args)
    return said, [json.loads(line) for line in said.out.splitlines()]


def of(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [r for r in records if r["type"] == kind]


def started(small: Small) -> dict[str, int]:
    """Host -> when its page was started, on the clock that all hosts of a lab share."""
    ask = "systemctl show page --property ActiveEnterTimestampMonotonic --value"
    return {host: int(small.on(host, ask)) for host in HOSTS}


def words(small: Small) -> list[str]:
    return [small.on(host, "cat /srv/word") for host in HOSTS]


@pytest.fixture(scope="module")
def deployed(pages: Small) -> Small:
    """Nobody is well before a first deploy, so that nothing is looked for between its batches."""
    said, records = deploy(pages)
    assert said.code == 0, said
    assert of(records, "start")[0]["waves"] == [
        {"hosts": list(HOSTS), "batches": [["web-1"], ["web-2", "web-3"]]},
    ]
    assert [b["hosts"] for b in of(records, "batch")] == [["web-2", "web-3"]]
    at = started(pages)
    assert at["web-1"] < at["web-2"] and at["web-1"] < at["web-3"]
    return pages


def test_what_changes_nothing_takes_no_turns(deployed: Small) -> None:
    said, records = deploy(deployed, "--serial", "1")
    assert said.code == 0 and len(of(records, "start")[0]["waves"][0]["batches"]) == 3
    assert not of(records, "batch") and not of(records, "gate"), said
    assert of(records, "recap")[0]["execs"] == dict.fromkeys(HOSTS, 1)


def test_one_after_the_other_each_when_the_one_before_is_well(deployed: Small) -> None:
    declare(deployed, 1)
    said, records = deploy(deployed, "-e", "web_word=two")
    assert said.code == 0, said
    at = started(deployed)
    assert sorted(at, key=lambda host: at[host]) == list(HOSTS)
    told = [(r["type"], *r["hosts"]) for r in records if r["type"] in ("gate", "batch")]
    assert told == [("gate", "web-1"), ("batch", "web-2"), ("gate", "web-2"), ("batch", "web-3")]
    steps = [r["host"] for r in of(records, "step") if r["status"] == "changed"]
    assert steps == sorted(steps)
    assert words(deployed) == ["two"] * 3


def test_none_is_begun_after_one_that_failed_and_retry_goes_on(deployed: Small) -> None:
    bad = "/run/systemd/system/page.service.d"
    deployed.on(
        "web-1",
        f"mkdir -p {bad}; printf '[Service]\\nExecStartPre=/bin/false\\n' > {bad}/bad.conf; systemctl daemon-reload",
    )
    before, had = started(deployed), words(deployed)
    said = deployed.controller.run("deploy", "lan", "--yes", "-e", "web_word=three")
    assert said.code == 1, said
    assert "3 batches: web-1; web-2; web-3" in said.err
    why = "held: web-1 failed in an earlier batch of web"
    assert f"web-2 : ok=0  changed=0  failed=0  {why}" in said.out, said
    assert f"web-3 : ok=0  changed=0  failed=0  {why}" in said.out, said
    assert words(deployed)[1:] == had[1:]
    assert {h: t for h, t in started(deployed).items() if h != "web-1"} == {h: before[h] for h in ("web-2", "web-3")}

    deployed.on("web-1", f"rm -r {bad}; systemctl daemon-reload")
    said, records = deploy(deployed, "--retry", "-e", "web_word=three")
    assert said.code == 0, said
    assert of(records, "start")[0]["hosts"] == list(HOSTS)
    assert [b["hosts"] for b in of(records, "batch")] == [["web-2"], ["web-3"]]
    assert words(deployed) == ["three"] * 3
    again, _ = deploy(deployed, "--retry")
    assert again.code == 2 and "no failed deploy" in again.err


def test_a_host_that_is_gone_holds_those_behind_it_unless_told_to_continue(deployed: Small) -> None:
    deployed.lab.fault("pause", "web-2")
    try:
        change = ("--connect-timeout", "3", "-e", "web_word=four")
        said, records = deploy(deployed, *change)
        assert said.code == 1, said
        assert of(records, "recap")[0]["ends"] == {"web-1": "done", "web-2": "unreachable", "web-3": "held"}
        said, records = deploy(deployed, "--continue", *change)
        assert said.code == 3, said
        assert of(records, "recap")[0]["ends"] == {"web-1": "done", "web-2": "unreachable", "web-3": "done"}
    finally:
        deployed.lab.heal()
    assert [deployed.on(h, "cat /srv/word") for h in ("web-1", "web-3")] == ["four"] * 2


def test_check_shows_all_hosts_at_once(deployed: Small) -> None:
    said, records = deploy(deployed, "--check", "--diff", "-e", "web_word=five")
    assert said.code == 0 and len(of(records, "start")[0]["waves"][0]["batches"]) == 3
    assert {r["host"] for r in of(records, "step") if r["status"] == "would"} == set(HOSTS)
    assert not of(records, "batch")
