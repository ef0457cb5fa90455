"""Mistakes in role files: each with its line, all at once (cases 17, 18, 20, 43, 44)."""

from __future__ import annotations

from pathlib import Path

import pytest
from planning_project import Planned


@pytest.fixture
def small(tmp_path: Path) -> Planned:
    return Planned(tmp_path)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("{name: a, copy: {destt: /x, dest: /y, content: z}}", "3:22: tasks[a].copy: unknown key 'destt' (did you mean 'dest'?)"),  # noqa: E501
        ("{name: a, coppy: {dest: /y}}", "tasks[a]: unknown kind 'coppy' (did you mean 'copy'?)"),
        ("{name: a, copy: {content: z}}", "tasks[a].copy: 'dest' is missing (dest: path)"),
        ("{name: a, copy: {content: z, dest: /y, mode: 0640}}", 'tasks[a].copy.mode: 0640 is read as the number 416 (quote it: "0640")'),  # noqa: E501
        ("{name: a, block: [{name: b}]}", "tasks[a]: unknown key 'block' (write its tasks one after the other, each with its `when`)"),  # noqa: E501
        ("{name: a, copy: {content: z, dest: /y}, become: true}", "tasks[a]: unknown key 'become' (every task runs as root)"),  # noqa: E501
        ("{name: a, copy: {content: z, dest: /y}, with_items: [b]}", "unknown key 'with_items' (use loop)"),
        ("{name: a, copy: {content: z, dest: /y}, loop: b}", "tasks[a].loop: must be a list, not 'b'"),
        ("{name: a, copy: {content: z, dest: y}}", "tasks[a].copy.dest: 'y' is not an absolute path (it begins with /)"),  # noqa: E501
        ("{copy: {content: z, dest: /y}}", "tasks[0]: has no name"),
        ("{name: a}", "tasks[a]: has no kind"),
        ("{name: a, apt: curl, group: ops}", "tasks[a]: has two kinds: apt and group"),
        ("{name: a, copy: /x/y}", "tasks[a].copy: must be a map of arguments, not '/x/y'"),
        ("{name: a, apt: curl, notify: go}", "tasks[a].notify: there is no handler 'go' (the role has no handlers)"),
        ("{name: a, apt: curl, when: '{{ x }}'}", "tasks[a].when: is an expression already (write it without {{ }})"),
        ("{name: a, apt: curl, register: a-b}", "tasks[a].register: 'a-b' is not a name for a result"),
        ("{name: a, apt: curl, register: r, loop: [x]}", "tasks[a].register: a task with a loop has many results"),
        ("{name: a, apt: curl, guard: maybe}", "tasks[a].guard: must be true or false, not 'maybe'"),
        ("{name: a, copy: {src: x, content: z, dest: /y}}", "tasks[a].copy: has both src and content"),
        ("{name: a, copy: {dest: /y}}", "tasks[a].copy: has neither src nor content"),
        ("{name: a, template: {src: nope.j2, dest: /y}}", "tasks[a].template.src: there is no templates/app/nope.j2"),
        ("{name: a, copy: {src: nope, dest: /y}}", "tasks[a].copy.src: there is no templates/app/nope"),
        ("{name: a, copy: {content: '{{ x', dest: /y}}", "tasks[a].copy.content: unexpected end of template"),
        ("just text", "tasks[0]: must be a map, not 'just text'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_task(small: Planned, task: str, said: str) -> None:
    assert said in small.task(task).fault()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task: []\n", "2:1: unknown key 'task' (did you mean 'tasks'?)"),
        ("vars: [a]\n", "vars: must be a map, not a list"),
        ("vars: {a-b: 1}\n", "vars: 'a-b' is not a variable's name"),
        ("tasks: {name: a}\n", "tasks: must be a list, not a map"),
        ("needs: [bse]\n", "needs: there is no role 'bse' (did you mean 'base'?)"),
        ("needs: [app]\n", "2:9: needs: app cannot come before itself"),
        ("after: [app]\n", "2:9: after: app cannot come after itself"),
        ("handlers: [{name: h, systemd: {name: x}, notify: y}]\n", "handlers[h]: unknown key 'notify'"),
        ("checks: [{name: c, tcpp: {port: 1}}]\n", "checks[c]: unknown probe 'tcpp' (did you mean 'tcp'?)"),
        ("checks: [{name: c, tcp: {port: 1}, within: 5 parsecs}]\n", "'5 parsecs' is not a duration"),
        ("checks: [{name: c, tcp: {port: 1}, from: moon}]\n", "'moon' is not one of host, controller"),
        ("checks: [{name: c, tcp: {port: 1}, warn: {most: 1}}]\n", "must hold max or min"),
        ("backups: [{name: b, files: {paths: [/etc/x]}, keep: 0}]\n", "must be a whole number above 0"),
        ("ports: [{port: 1}]\n", "ports[0]: 'from' is missing"),
        ("ports: [{port: 70000, from: any}]\n", "70000 is not a port"),
        ("ports: [{port: 80, from: [stroe]}]\n", "'stroe' is no role, group, host or network (did you mean 'store'?)"),
        ("ports: [{port: 80, from: [10.0.0.1/24]}]\n", "'10.0.0.1/24' has host bits set (10.0.0.0/24)"),
        ("ports: [{port: 80, from: any, proto: icmp}]\n", "'icmp' is not one of tcp, udp"),
    ],
)
def test_a_mistake_in_a_role(small: Planned, text: str, said: str) -> None:
    assert said in small.role(text).fault()


def test_a_folder_of_another_name(small: Planned) -> None:
    small.write("roles/app/role.yaml", "role: web\n")
    assert small.fault() == "roles/app/role.yaml:1:7: role: says 'web', its folder says 'app' (role: app)"


def test_an_unknown_role_is_named_with_those_there_are(small: Planned) -> None:
    small.role("").write("distributed.yaml", "version: 1\ninfrastructure: {apq: all}\n")
    assert "infrastructure.apq: there is no role 'apq' (did you mean 'app'?)" in small.fault()


def test_a_circle_is_printed(small: Planned) -> None:
    small.role("needs: [two]\n").role("needs: [three]\n", "two").role("needs: [app]\n", "three")
    assert small.fault() == (
        "roles/three/role.yaml:2:9: needs: the roles need each other in a circle: app -> two -> three -> app"
    )


def test_all_faults_come_at_once(small: Planned) -> None:
    small.task("{name: a, copy: {destt: /x}, become: true}", "vars: [x]\n").plan()
    assert len(small.lines) == 4


def test_a_handler_that_is_unknown_is_hinted_at(small: Planned) -> None:
    small.task(
        "{name: a, apt: curl, notify: restart curl}",
        "handlers: [{name: restart curls, systemd: {name: curl, state: restarted}}]\n",
    )
    assert "there is no handler 'restart curl' (did you mean 'restart curls'?)" in small.fault()


def test_the_kind_says_when_arguments_do_not_go_together(small: Planned) -> None:
    fault = small.task("{name: a, copy: {content: z, dest: /y/}}").fault()
    assert fault.endswith("tasks[a].copy: dest is the whole path of the file, not a folder")


def test_ansible_names_are_read(small: Planned) -> None:
    small.task("{name: a, ansible.builtin.apt: {name: [curl, tmux], state: present}}")
    assert small.steps()[0]["args"]["name"] == ["curl", "tmux"]


def test_a_role_py_that_fails_is_a_fault_with_its_line_and_no_echo(small: Planned) -> None:
    small.rendering("{{ made }}\n")
    small.write("roles/app/role.py", "def vars(context):\n    raise ValueError('no store is there')\n")
    assert small.fault() == "roles/app/role.py:2: vars: no store is there for r1, w1, w2"
    small.write("roles/app/role.py", "def vars(context:\n")
    small.plan()
    assert small.lines[0].startswith("roles/app/role.py:1: cannot be loaded: SyntaxError")
