"""Rendering: secrets are noticed however they come in."""

from __future__ import annotations

import pytest
from planning_project import HOSTS, Planned

SECRET = "s3cret-of-16-letters-and-more"


@pytest.fixture
def with_secret(small: Planned, monkeypatch: pytest.MonkeyPatch) -> Planned:
    monkeypatch.setenv("SWARMOPS_SECRET_REDIS_APP", SECRET)
    small.write(
        "inventory/lan/group_vars/all.yaml", "pw: {secret: redis.app}\nusers: [{name: app, pw: {secret: redis.app}}]\n"
    )
    return small


@pytest.mark.parametrize(
    "use",
    [
        "{{ pw }}", "{{ pw | sha256 }}", "{{ 'x' ~ pw }}",
        "{{ pw ~ 'x' }}", "{{ 'x' + pw }}", "{{ pw + 'x' }}",
        "{{ own }}", "{{ '%s' % pw }}", "{{ '%s' | format(pw) }}",
        "{{ pw | upper }}", "{{ pw.upper() }}", "{{ pw[0:4] }}",
        "{{ url }}", "{{ users | map(attribute='pw') | join(' ') }}", "{{ users | to_json }}",
        "{{ secret('redis.app') }}", "{% for u in users %}{{ u.pw }}{% endfor %}", "{% set x = pw %}{{ x }}",
        "{{ 'a'.join([pw, 'b']) }}", "{{ pw | b64 }}", "{% for u in users %}{% for k, v in u.items() %}{{ v ~ '' }}{% endfor %}{% endfor %}",  # noqa: E501
        "{{ hostvars.w1.pw }}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(pw) }}", "{% include 'app/y.j2' %}",
        "{{ pw | replace('s', 't') }}", "{{ derived }}", "{{ glued }}",
        "{{ '{}'.format(pw) }}", "{{ {'a': pw} | to_json }}", "{{ pw | list | join('') }}",
    ],
)  # fmt: skip
def test_a_file_with_a_secret_is_secret_however_it_came_in(with_secret: Planned, use: str) -> None:
    with_secret.rendering(use, '{own: "{{ pw }}", url: "redis://{{ pw }}@x"}').template("{{ pw }}", "app/y.j2")
    with_secret.write(
        "roles/app/role.py",
        "def vars(context):\n"
        "    return {'derived': context.store.get('redis.app'), 'glued': 'x' + context.vars['pw']}\n",
    )
    assert with_secret.secret()


@pytest.mark.parametrize(
    "use",
    ["plain", "{{ users | map(attribute='name') | join(' ') }}", "{% if pw %}yes{% endif %}", "{{ users | length }}"],
)
def test_a_file_without_one_is_not(with_secret: Planned, use: str) -> None:
    assert not with_secret.rendering(use).secret()


def test_secrets_in_arguments_and_checks(with_secret: Planned) -> None:
    with_secret.role(
        "vars: {list: ['{{ pw }}']}\n"
        "tasks:\n"
        "  - {name: a, lineinfile: {path: /etc/x, line: 'requirepass {{ pw }}'}}\n"
        "  - {name: b, command: {argv: '{{ list }}'}}\n"
        "  - {name: c, command: 'echo {{ item }}', loop: ['{{ pw }}', x]}\n"
        "checks: [{name: c, tcp: {port: 1, host: '{{ pw }}'}}]\n"
    )
    plan = with_secret.plan()["r1"]
    assert not with_secret.lines
    assert [s.get("secret", False) for s in plan.steps] == [True, True, True, False]
    assert plan.steps[0]["args"]["line"] == f"requirepass {SECRET}" and type(plan.steps[0]["args"]["line"]) is str
    assert plan.checks[0]["secret"]
    assert SECRET not in " ".join(s["id"] + s["name"] for s in plan.steps)


def test_no_fault_tells_a_secret(with_secret: Planned) -> None:
    with_secret.task(
        "{name: a, copy: {content: x, dest: '{{ pw }}', mode: '{{ pw }}', owner: '{{ pw ~ \"/\" }}'}}"
    ).plan()
    assert len(with_secret.lines) == 3 and SECRET not in " ".join(with_secret.lines)
    with_secret.rendering("{{ pw | int(base='x' ~ pw) }}{{ (pw ~ '')[9] / 0 }}").plan()
    assert with_secret.lines and SECRET not in " ".join(with_secret.lines)


def test_a_secret_that_is_not_there_is_a_fault_where_it_is_named(
    small: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARMOPS_SECRETS", str(small.root / "none" / "secrets.yaml"))
    small.write("inventory/lan/hosts.yaml", HOSTS + "  vars:\n    pw: {secret: redis.app}\n").rendering(
        "{{ pw | default('') }}"
    )
    small.plan()
    assert len(small.lines) == 1
    assert small.lines[0].startswith("inventory/lan/hosts.yaml:7:9: pw: there is no secret 'redis.app'")


def test_a_name_cannot_hold_a_secret(with_secret: Planned) -> None:
    fault = with_secret.task("{name: 'set {{ pw }}', command: 'true'}").fault()
    assert "its name holds a secret" in fault and SECRET not in fault


def test_a_condition_with_a_secret_makes_the_step_secret(with_secret: Planned) -> None:
    with_secret.role(
        "tasks:\n  - {name: a, command: id, register: got}\n  - {name: b, command: id, when: got.stdout != pw}\n"
    )
    step = with_secret.steps()[1]
    assert step["secret"] and step["consts"] == {"pw": SECRET}
