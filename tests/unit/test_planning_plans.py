"""Steps, conditions, variables, ports, waves: what a plan holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from planning_project import HOSTS, Planned

from swarmops.model.faults import Faults, InputError
from swarmops.model.project import Project
from swarmops.planning import conditions
from swarmops.planning.explain import explain
from swarmops.planning.plan import Plan, waves
from swarmops.planning.world import World
from swarmops.target.facts import gather
from swarmops.target.when import holds


@pytest.fixture
def small(tmp_path: Path) -> Planned:
    return Planned(tmp_path)


# -- when


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


# -- loops, handlers, tags


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


# -- variables


def test_who_wins(small: Planned) -> None:
    small.rendering("{{ v }} {{ app_v }}", "{v: role}")
    assert small.text() == "role role"
    small.write("distributed.yaml", "version: 1\ninfrastructure: {app: all}\nservices: {app: {v: page}}\n")
    assert small.text() == "page page"
    small.write("inventory/lan/group_vars/all.yaml", "app_v: group\n")
    assert small.text() == "group group"
    small.write("inventory/lan/host_vars/r1.yaml", "app_v: host\n")
    assert small.text() == "host host" and small.text("w1") == "group group"
    assert small.text(extra={"app_v": "given"}) == "given given"
    faults = Faults()
    world = World(Project.open(small.root, None, faults), {"app_v": "given"}, faults)
    origins = explain(world.scope("r1"))["app_v"]
    assert [(o.layer, o.value) for o in origins] == [
        ("role app", "role"),
        ("services.app", "page"),
        ("group all", "group"),
        ("host r1", "host"),
        ("command line", "given"),
    ]
    assert str(origins[1].mark) == "distributed.yaml:3:21" and origins[4].mark.file == "-e app_v"


def test_what_role_py_derives_can_be_overridden_too(small: Planned) -> None:
    small.rendering("{{ d }} {{ app_d }}", "{v: 1}")
    small.write(
        "roles/app/role.py", "def vars(context):\n    return {'d': context.host.name, 'w': context.value('v')}\n"
    )
    assert small.text() == "r1 r1"
    assert small.text(extra={"app_d": "given"}) == "given given"
    small.write("roles/app/role.py", "def vars(context):\n    return {'v': 2, 'd': 3}\n")
    assert "'v' is in the role's vars already" in small.fault()


def test_other_roles_and_other_hosts(small: Planned) -> None:
    small.write("distributed.yaml", "version: 1\ninfrastructure: {app: all, big-store: store}\n")
    small.role("vars: {port: 1, url: 'x://{{ address }}:{{ port }}'}\n", "big-store")
    small.rendering(
        "{{ big_store_port }} {{ hostvars[hosts_of('big-store') | first].big_store_url }} {{ host.roles | join(',') }}"
    )
    small.write("inventory/lan/host_vars/r1.yaml", "big_store_port: 2\n")
    assert small.text("w1") == "1 x://10.0.0.10:2 app"
    assert small.text("r1") == "2 x://10.0.0.10:2 app,big-store"


def test_a_short_name_on_the_command_line_is_refused(small: Planned) -> None:
    small.rendering("{{ v }}", "{v: 1}")
    assert small.fault(extra={"v": 2}) == "-e v: no role or host has a variable 'v' (did you mean app_v?)"


def test_the_command_line_gives_texts_and_roles_have_types(small: Planned) -> None:
    small.rendering("{{ 'yes' if tls else 'no' }} {{ n + 1 }}", "{tls: true, n: 1}")
    assert small.text(extra={"app_tls": "false", "app_n": "41"}) == "no 42"


# -- roles on hosts


def test_needs_come_first_and_when_leaves_a_role_out(small: Planned) -> None:
    small.role("needs: [tunnel, base]\n").role("", "base")
    small.role("needs: [base]\nwhen: network.mesh.mode == 'wireguard'\n", "tunnel")
    plan = small.plan()["r1"]
    assert not small.lines and plan.roles == ["base", "app"] and plan.needs["app"] == ["base"]
    small.write(
        "distributed.yaml",
        "version: 1\ninfrastructure: {app: all}\nnetwork: {mesh: {mode: wireguard, range: 10.77.0.0/24}}\n",
    )
    plan = small.plan()["r1"]
    assert plan.roles == ["base", "tunnel", "app"] and plan.needs["app"] == ["base", "tunnel"]


def test_waves_follow_after(small: Planned) -> None:
    small.write("distributed.yaml", "version: 1\ninfrastructure: {app: edge, big-store: store}\n")
    small.role("after: [big-store]\n").role("", "big-store")
    assert waves(small.plan()) == [["r1"], ["w1", "w2"]]
    assert waves(small.plan(limit="edge")) == [["w1", "w2"]]
    small.role("after: [app]\n", "big-store")
    assert "the hosts wait for each other: r1 -> w1 -> r1" in small.fault()


def test_after_may_hang_on_a_condition(small: Planned) -> None:
    small.write("distributed.yaml", "version: 1\ninfrastructure: {app: edge, big-store: store}\n")
    small.role("vars: {turning: false}\nafter: {big-store: turning}\n").role("", "big-store")
    assert waves(small.plan()) == [["r1", "w1", "w2"]]
    assert waves(small.plan(extra={"app_turning": True})) == [["r1"], ["w1", "w2"]]
    small.role("after: {big-stoer: true}\n")
    assert "there is no role 'big-stoer'" in small.fault()
    small.role("after: {big-store: facts.cores > 1}\n")
    small.plan()
    assert "a role's `after` is decided before any host is asked" in small.lines[0]


def test_after_a_role_that_nobody_has(small: Planned) -> None:
    small.role("after: [big-store]\n").role("", "big-store")
    assert "app comes after big-store, and no host has the role big-store" in small.fault()


def test_waves_of_hand_made_plans() -> None:
    plans = {"a": Plan("a", after=["b"]), "b": Plan("b"), "c": Plan("c", after=["a", "zz"])}
    assert waves(plans) == [["b"], ["a"], ["c"]]


# -- ports


def reach(small: Planned, ports: str, mesh: str = "", host: str = "r1") -> list[dict]:
    network = "network: {subnet: 10.0.0.0/24, controllers: [10.0.0.5/32]%s}" % (f", mesh: {mesh}" if mesh else "")
    small.write("distributed.yaml", f"version: 1\ninfrastructure: {{app: all, front: edge}}\n{network}\n")
    small.role(f"vars: {{port: 80}}\nports: {ports}\n").role("", "front")
    faults = small.faults = Faults()
    world = World(Project.open(small.root, None, faults), {}, faults)
    found = [dict(o) for o in world.openings if o.host == host]
    world.host_faults.flush(faults)
    return found


@pytest.mark.parametrize(
    ("source", "sources"),
    [
        ("front", ["10.0.0.11/32", "10.0.0.12/32"]),
        ("store", []),
        ("w2", ["10.0.0.12/32"]),
        ("subnet", ["10.0.0.0/24"]),
        ("controller", ["10.0.0.5/32"]),
        ("any", ["any"]),
        ("mesh", []),
        ("192.168.7.0/24", ["192.168.7.0/24"]),
        ("fd00::/64", ["fd00::/64"]),
        ("[front, w1, controller]", ["10.0.0.5/32", "10.0.0.11/32", "10.0.0.12/32"]),
    ],
)
def test_from_is_resolved(small: Planned, source: str, sources: list[str]) -> None:
    (opening,) = reach(small, f"[{{port: '{{{{ port }}}}', from: {source}, via: mesh}}]")
    assert not small.lines and opening["sources"] == sources
    assert (opening["port"], opening["proto"], opening["via"]) == (80, "tcp", "any")


def test_mesh_addresses_are_preferred_where_there_is_a_mesh(small: Planned) -> None:
    ports = "[{port: 80, from: front, via: mesh}, {port: 22-23, from: [front, mesh], proto: udp}]"
    via_mesh, via_lan = reach(small, ports, "{mode: wireguard, range: 10.77.0.0/24}")
    assert via_mesh["sources"] == ["10.77.0.11/32", "10.77.0.12/32"] and via_mesh["via"] == "mesh"
    assert via_lan["sources"] == ["10.0.0.11/32", "10.0.0.12/32", "10.77.0.0/24"]
    assert (via_lan["port"], via_lan["proto"]) == ("22-23", "udp")


def test_a_host_known_by_name_only_cannot_be_let_in(small: Planned) -> None:
    small.write("inventory/lan/hosts.yaml", HOSTS.replace("10.0.0.11", "w1.example"))
    reach(small, "[{port: 80, from: front}]")
    assert "w1.ansible_host: 'w1.example' is a name; the firewall of r1 lets w1 in by its address" in small.lines[0]


def test_a_port_with_a_condition(small: Planned) -> None:
    ports = "[{port: 80, from: any, when: inventory_hostname == 'w1'}]"
    assert reach(small, ports) == [] and len(reach(small, ports, host="w1")) == 1


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
