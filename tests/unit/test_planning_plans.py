"""Steps, loops, handlers, tags, checks and backups: what a plan holds."""

from __future__ import annotations

import json

import pytest
from planning_project import Planned

from swarmops.model.faults import InputError


def test_loops_name_their_items_and_keep_nested_data(small: Planned) -> None:
    small.role(
        "vars: {users: [{name: ada, groups: [ops]}, {name: bob}]}\n"
        "tasks:\n"
        "  - {name: make user, user: {name: '{{ item.name }}', groups: '{{ item.groups | default(omit) }}'}, loop: '{{ users }}'}\n"  # noqa: E501
        "  - {name: 'say {{ item }}', command: 'echo {{ item }}', loop: [a, b], when: item != 'a'}\n"
    )
    steps = small.steps()
    assert [s["id"] for s in steps] == ["app/make user[ada]", "app/make user[bob]", "app/say b"]
    assert [s["args"]["groups"] for s in steps[:2]] == [["ops"], None]


def test_a_handler_watches_the_steps_that_this_host_has(small: Planned) -> None:
    small.role(
        "tasks:\n"
        "  - {name: a, copy: {content: x, dest: '/etc/{{ item }}'}, loop: [p, q], notify: go}\n"
        "  - {name: b, apt: curl, when: \"inventory_hostname == 'w1'\", notify: [go, other]}\n"
        "handlers:\n"
        "  - {name: other, systemd: {name: y, state: restarted}}\n"
        "  - {name: go, systemd: {name: x, state: restarted}}\n"
    )
    plans = small.plan()
    assert not small.lines
    by_id = {s["id"]: s for s in plans["r1"].steps}
    assert list(by_id) == ["app/a[p]", "app/a[q]", "app/go"]
    assert by_id["app/go"]["watches"] == ["app/a[p]", "app/a[q]"] and by_id["app/go"]["handler"] is True
    assert by_id["app/a[p]"]["notify"] == ["app/go"]
    assert [s["id"] for s in plans["w1"].steps if s.get("handler")] == ["app/other", "app/go"]


def test_tags_choose_and_unknown_ones_are_refused(small: Planned) -> None:
    small.role(
        "tags: [all-of-it]\n"
        "tasks:\n"
        "  - {name: a, apt: x, tags: [one]}\n"
        "  - {name: b, apt: y, tags: [two], notify: go}\n"
        "  - {name: c, apt: z, tags: [always]}\n"
        "  - {name: d, apt: u, tags: [never, deep]}\n"
        "handlers: [{name: go, systemd: {name: x, state: restarted}}]\n"
    )

    def chosen(*tags: str) -> list[str]:
        return [s["name"] for s in small.steps(tags=list(tags)) if not s.get("skip")]

    assert chosen("one") == ["a", "c"]
    assert chosen("two") == ["b", "c", "go"]
    assert chosen("all-of-it") == chosen("app") == ["a", "b", "c", "go"]
    assert chosen("deep") == ["c", "d"]
    assert small.steps()[0]["tags"] == ["all-of-it", "app", "one"]
    with pytest.raises(InputError, match=r"--tags: onne: no task has this tag \(did you mean 'one'\?\)"):
        small.plan(tags=["onne"])


def test_limit_only_chooses_what_is_returned(small: Planned) -> None:
    small.rendering("{{ hosts_of('app') | join(' ') }}")
    assert list(small.plan(limit="edge:!w2")) == ["w1"]
    assert small.text("w1", limit="w1") == "r1 w1 w2"
    with pytest.raises(InputError):
        small.plan(limit="nobody")


def test_two_tasks_that_write_one_file_are_refused(small: Planned) -> None:
    small.role(
        "tasks:\n  - {name: a, copy: {content: x, dest: /etc/x}}\n  - {name: b, copy: {content: y, dest: /etc/x}}\n"
    )
    assert "writes /etc/x, as 'app/a' does already for r1, w1, w2" in small.fault()


def test_plans_are_the_same_every_time_and_share_contents(small: Planned) -> None:
    small.rendering("{{ services | to_json }}{{ groups | to_json }}")
    first, second = small.plan(), small.plan()
    assert first == second
    assert first["r1"].steps[0]["content"] == first["w1"].steps[0]["content"]


def test_content_becomes_its_sha(small: Planned) -> None:
    small.task("{name: a, copy: {content: 'hello {{ inventory_hostname }}', dest: /etc/x, mode: '0600'}}")
    plan = small.plan()["w1"]
    step, file = plan.steps[0], plan.files[0]
    assert plan.contents[step["content"]] == b"hello w1" and step["args"]["content"] == step["content"] == file.sha
    assert (file.path, file.mode, file.role, file.step) == ("/etc/x", "0600", "app", "app/a")
    assert str(file.mark) == "roles/app/role.yaml:3:21"


def test_plain_files_are_taken_as_they_are(small: Planned) -> None:
    small.task("{name: a, copy: {src: logo.bin, dest: /etc/x}}")
    (small.root / "templates/app").mkdir(parents=True)
    (small.root / "templates/app/logo.bin").write_bytes(b"\x00\xff{{ x }}")
    plan = small.plan()["r1"]
    assert not small.lines
    assert list(plan.contents.values()) == [b"\x00\xff{{ x }}"]


# -- checks and backups


def test_checks_and_backups(small: Planned) -> None:
    small.write("distributed.yaml", "version: 1\ninfrastructure: {app: all}\nbackup: {keep: 5}\n")
    small.role(
        "vars: {port: 80, most: 0.9}\n"
        "checks:\n"
        "  - {name: answers, tcp: {port: '{{ port }}', host: '{{ address }}'}, within: 500ms, from: controller}\n"
        "  - {name: load, load: {}, max: '{{ most }}', warn: {max: 0.5}, service: host}\n"
        "  - {name: 'port {{ item }}', tcp: {port: '{{ item }}'}, loop: [1, 2], when: item > 1}\n"
        "backups:\n"
        "  - {name: conf, files: {paths: [/etc/x]}}\n"
        "  - {name: more, files: {paths: [/etc/y]}, keep: 3}\n"
    )
    plan = small.plan()["r1"]
    assert not small.lines
    answers, load, port = plan.checks
    assert (answers["id"], answers["probe"], answers["within"]) == ("app/answers", "tcp", 0.5)
    assert (answers["from"], answers["args"]["host"], answers["args"]["port"]) == ("controller", "10.0.0.10", 80)
    assert (load["max"], load["warn"], load["service"], load["from"]) == (0.9, {"max": 0.5}, "host", "host")
    assert port["id"] == "app/port 2" and port["args"]["port"] == 2 and port["service"] == "app"
    assert [(b["source"], b["keep"]) for b in plan.backups] == [("files", 5), ("files", 3)]
    json.dumps([plan.steps, plan.checks, plan.backups])
