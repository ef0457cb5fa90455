"""Variables: who wins, what roles derive, and what the command line may give."""

from __future__ import annotations

from planning_project import Planned

from swarmops.model.faults import Faults
from swarmops.model.project import Project
from swarmops.planning.explain import explain
from swarmops.planning.world import World


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
