"""Rendering: what is not set (58), line breaks (56), texts that arrive unchanged (57), data that stays data (59),
includes (60), and secrets that are noticed however they come in."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from planning_project import HOSTS, Planned

ODD = [
    "pa\"ss'w%rd",
    "$HOME `id` $(id)",
    "back\\slash\\",
    "# no comment",
    "{{ 7*7 }} {% x %}",
    "%n %h 100%%",
    "ü€",
    "a  b",
]


@pytest.fixture
def small(tmp_path: Path) -> Planned:
    return Planned(tmp_path)


def yaml_text(text: str) -> str:
    return json.dumps(text)


# -- what is not set


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


# -- line breaks and control characters


@pytest.mark.parametrize("odd", ["a\nb", "a\rb", "a\x1b[31m", "a\u2028b", "a\u202eb", "a\x85b", "a\0b"])
@pytest.mark.parametrize(
    "use", ["{{ motto }}", "{{ motto | redis_quote }}", "{{ [motto] | lines }}", "x{{ motto ~ 'c' }}"]
)
def test_no_value_brings_a_line_of_its_own(small: Planned, odd: str, use: str) -> None:
    small.rendering(use).plan(extra={"motto": odd})
    assert small.lines and "a value holds" in small.lines[0], small.lines


def test_nor_into_arguments(small: Planned) -> None:
    small.task("{name: a, lineinfile: {path: /etc/x, line: '{{ motto }}'}}").plan(extra={"motto": "a\nb"})
    assert "tasks[a].lineinfile.line: a value holds a line break" in small.lines[0]
    small.task("{name: a, apt: {name: '{{ motto }}'}}").plan(extra={"motto": ["curl", "a\nb"]})
    assert "a value holds a line break" in small.lines[0]


def test_lines_that_the_role_makes_are_welcome(small: Planned) -> None:
    small.rendering(
        "{{ [1, 2] | lines }}\n{{ banner }}{% macro m(x) %}<\n{{ x }}>{% endmacro %}{{ m(3) | indent(2) }}\n"
        "{% set y %}u\nv{% endset %}{{ y }}\n{{ {'a': [1]} | to_json(indent=1) }}\n",
        '{banner: "one\\ntwo\\n"}',
    )
    assert small.text() == '1\n2\none\ntwo\n<\n  3>\nu\nv\n{\n "a": [\n  1\n ]\n}\n'


@pytest.mark.parametrize(
    ("value", "said"), [("{{ none }}", "null"), ("{{ [1] }}", "a list"), ("{{ network }}", "a map")]
)
def test_what_is_no_text_is_not_written(small: Planned, value: str, said: str) -> None:
    assert said in small.rendering(value).fault()


# -- quoting


@pytest.mark.parametrize("odd", ODD)
def test_odd_texts_arrive_unchanged(small: Planned, odd: str) -> None:
    small.rendering("{{ v }}\n{{ v | json }}\n{{ v | sh_quote }}\n")
    plain, as_json, as_sh = small.text(extra={"v": odd}).splitlines()
    assert plain == odd and json.loads(as_json) == odd
    shell = subprocess.run(["sh", "-c", f"printf %s {as_sh}"], capture_output=True, text=True, check=True)
    assert shell.stdout == odd


def test_inventory_values_are_not_templates(small: Planned) -> None:
    small.rendering("{{ motto }} {{ app_own }} {{ own }}", '{own: "{{ motto }}"}')
    small.write("inventory/lan/group_vars/all.yaml", 'motto: "{{ 7*7 }}"\n')
    assert small.text() == "{{ 7*7 }} {{ 7*7 }} {{ 7*7 }}"


@pytest.mark.runtime
@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")
def test_redis_reads_back_what_redis_quote_wrote(small: Planned, tmp_path: Path) -> None:
    small.rendering('unixsocket {{ socket }}\nport 0\nsave ""\nproc-title-template {{ v | redis_quote }}\n')
    for odd in (o for o in ODD if "{" not in o):
        conf, sock = tmp_path / "r.conf", tmp_path / "r.sock"
        conf.write_text(small.text(extra={"v": odd, "socket": str(sock)}).replace("proc-title-template", "requirepass"))
        server = subprocess.Popen(["redis-server", str(conf), "--daemonize", "no"], stdout=subprocess.DEVNULL)
        try:
            assert _ask(sock, ["AUTH", odd]) == b"+OK\r\n", odd
        finally:
            server.terminate()
            server.wait(10)


def _ask(path: Path, words: list[str]) -> bytes:
    """One command over a unix socket, once it listens."""
    until = time.monotonic() + 10
    while True:
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(path))
            except OSError:
                if time.monotonic() > until:
                    raise
                continue
            data = [w.encode() for w in words]
            s.sendall(b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%s\r\n" % (len(d), d) for d in data))
            return s.recv(4096)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("odd", [o for o in ODD if "{" not in o])
def test_systemd_accepts_what_systemd_escape_wrote(small: Planned, tmp_path: Path, odd: str) -> None:
    small.rendering("[Service]\nType=oneshot\nEnvironment={{ ('X=' ~ v) | systemd_escape }}\n"
                    "ExecStart=/bin/echo {{ v | systemd_escape(exec=true) }}\n")  # fmt: skip
    unit = tmp_path / "odd.service"
    unit.write_text(small.text(extra={"v": odd}))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert "odd.service" not in done.stderr, done.stderr


# -- secrets

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
