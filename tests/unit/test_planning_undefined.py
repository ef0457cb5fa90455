"""Rendering: what is not set is told with its line, its hosts and the closest name (58), and includes (60)."""

from __future__ import annotations

import pytest
from planning_project import Planned


def test_an_undefined_variable_has_line_hosts_and_the_closest_name(small: Planned) -> None:
    small.rendering("a\nb {{ maxmem }}\n", "{maxmemory: 1gb}")
    assert small.fault() == (
        "templates/app/x.j2:2: 'maxmem' is not set for r1, w1, w2 (close: maxmemory, from roles/app/role.yaml:2)"
    )


def test_all_undefined_variables_come_at_once_each_once(small: Planned) -> None:
    small.rendering(
        "{{ one }}\n{% if two %}{% endif %}\n{{ one }}{{ three.four.five }}\n{% for x in six %}{% endfor %}\n"
    )
    small.plan()
    assert [line.split(" is not set")[0] for line in small.lines] == [
        "templates/app/x.j2:1: 'one'",
        "templates/app/x.j2:2: 'two'",
        "templates/app/x.j2:3: 'three'",
        "templates/app/x.j2:4: 'six'",
    ]


@pytest.mark.parametrize(
    "use",
    [*("{{ x + 1 }}", "{{ x ~ 'a' }}", "{{ x == 1 }}", "{{ x[0] }}", "{{ x() }}", "{{ x | length }}", "{{ x | upper }}"),  # noqa: E501
     *("{{ x | join(',') }}", "{{ x | to_json }}", "{{ x | sha256 }}", "{{ 'a' in x }}", "{{ x | int }}", "{{ x > 2 }}"),  # noqa: E501
     *("{{ x | redis_quote }}", "{{ [x] | lines }}", "{% set y = x %}{{ y }}", "{{ -x }}", "{{ x.y }}", "{{ 5 * x }}")],
)  # fmt: skip
def test_every_use_of_what_is_not_set_is_one_fault(small: Planned, use: str) -> None:
    assert small.rendering(use).fault().startswith("templates/app/x.j2:1: 'x' is not set for")


def test_looking_is_not_using(small: Planned) -> None:
    small.rendering("{{ x | default('d') }}{% if x is defined %}no{% endif %}{{ network.nope | default('e') }}")
    assert small.text() == "de"


def test_a_key_that_is_not_in_a_map(small: Planned) -> None:
    fault = small.rendering("{{ network.subnett }}").fault()
    assert fault == "templates/app/x.j2:1: 'subnett' is not in network for r1, w1, w2 (did you mean 'subnet'?)"


def test_undefined_in_an_argument_has_the_line_of_the_role(small: Planned) -> None:
    small.task("{name: a, copy: {content: 'x {{ nope }}', dest: '/etc/{{ inventory_hostnam }}'}}").plan()
    assert small.lines == [
        "roles/app/role.yaml:3:31: tasks[a].copy.content: 'nope' is not set for r1, w1, w2",
        "roles/app/role.yaml:3:53: tasks[a].copy.dest: 'inventory_hostnam' is not set for r1, w1, w2 "
        "(close: inventory_hostname)",
    ]


def test_a_fault_in_a_variable_is_one_fault_wherever_it_is_used(small: Planned) -> None:
    small.rendering(
        "{{ a }}\n{{ b }}{{ c | default('x') }}\n", '{a: "{{ nope }}", b: "{{ a }}/x", c: "{{ b | upper }}"}'
    )
    assert small.fault() == "roles/app/role.yaml:2:8: vars.a: 'nope' is not set for r1, w1, w2"


def test_variables_that_go_in_a_circle(small: Planned) -> None:
    small.rendering("{{ a }}", '{a: "{{ b }}", b: "{{ a }}"}')
    assert "variables go in a circle: app.a -> app.b -> app.a" in small.fault()


def test_what_ansible_knows_and_we_do_not_is_explained(small: Planned) -> None:
    assert "facts.distribution" in small.rendering("{{ ansible_distribution }}").fault()
    assert "secret('name')" in small.rendering("{{ lookup('file', 'x') }}").fault()


def test_only_some_hosts(small: Planned) -> None:
    small.write("inventory/lan/host_vars/w1.yaml", "motto: hi\n").rendering("{{ motto }}")
    assert small.fault() == ("templates/app/x.j2:1: 'motto' is not set for r1, w2")


def test_errors_in_a_template_have_their_line(small: Planned) -> None:
    assert (
        small.rendering("a\n{% if %}\n")
        .fault()
        .startswith("templates/app/x.j2:2: tasks[write x].template.src: expected")
    )
    assert "templates/app/x.j2:2: fails: " in small.rendering("a\n{{ 1 / 0 }}\n").fault()
    assert "templates/app/x.j2:1: " in small.rendering("{{ ''.__class__.__mro__ }}").fault()


# -- includes


def test_include_beside_and_below(small: Planned) -> None:
    small.rendering("{% include 'y.j2' %}{% include 'app/y.j2' %}{% from 'm.j2' import m %}{{ m(1) }}")
    small.template("[{{ inventory_hostname }}]", "app/y.j2").template(
        "{% macro m(x) %}m{{ x }}{% endmacro %}", "app/m.j2"
    )
    assert small.text() == "[r1][r1]m1"


@pytest.mark.parametrize("name", ["../../distributed.yaml", "/etc/passwd", "app/../../../x"])
def test_include_outside_is_refused(small: Planned, name: str) -> None:
    assert small.rendering(f"a\n{{% include '{name}' %}}").fault() == (
        f"templates/app/x.j2:2: fails: '{name}' is outside templates/ for r1, w1, w2"
    )


def test_a_link_out_of_templates_is_refused(small: Planned) -> None:
    small.rendering("{% include 'app/link.j2' %}")
    (small.root / "templates/app/link.j2").symlink_to("/etc/passwd")
    assert "leads outside templates/" in small.fault()


def test_src_outside_is_refused(small: Planned) -> None:
    small.task("{name: a, copy: {src: ../../distributed.yaml, dest: /etc/x}}")
    assert "is outside templates/" in small.fault()


def test_an_include_that_is_not_there_has_a_hint(small: Planned) -> None:
    small.rendering("\n{% include 'app/usrs.j2' %}").template("", "app/users.j2")
    fault = small.fault()
    assert (
        fault.startswith("templates/app/x.j2:2: there is no templates/app/usrs.j2")
        and "did you mean 'users.j2'?" in fault
    )
