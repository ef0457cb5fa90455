"""The language of ARGS, and values that do not fit."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from swarmops.model.faults import Faults, Mark
from swarmops.planning import kinds_spec
from swarmops.planning.kinds_spec import Wrong, make_spec, parse


def test_reads_types_defaults_and_choices() -> None:
    assert parse("dest", "path!") == kinds_spec.Arg("dest", "path", True)
    assert parse("port", "int = 6379").default == 6379
    assert parse("wait", "duration = 30s").default == 30.0
    assert parse("names", 'list = ["a"]').default == ["a"]
    assert parse("state", "started|stopped = started").read("stopped") == "stopped"
    assert parse("update", "bool = false").default is False


def test_refuses_what_is_not_of_the_language() -> None:
    with pytest.raises(ValueError, match="not of the language"):
        parse("x", "string!")


@pytest.mark.parametrize(
    ("type", "value", "read"),
    [
        ("int", "6380", 6380),
        ("bool", "yes", True),
        ("bool", "False", False),
        ("float", "0.5", 0.5),
        ("list", "curl", ["curl"]),
        ("mode", "640", "0640"),
        ("duration", "500ms", 0.5),
        ("duration", 5, 5.0),
        ("duration", "5m", 300.0),
        ("text", 8, "8"),
        ("path", "/etc/redis/redis.conf", "/etc/redis/redis.conf"),
        ("name", "redis-server@6379.service", "redis-server@6379.service"),
        ("any", {"a": 1}, {"a": 1}),
    ],
)
def test_reads_values(type: str, value: object, read: object) -> None:
    assert parse("x", type).read(value) == read


@pytest.mark.parametrize(
    ("type", "value", "raw", "said"),
    [
        ("mode", 416, "0640", 'quote it: "0640"'),
        ("mode", "rw-r-----", None, "is not a mode"),
        ("mode", "0888", None, "is not a mode"),
        ("text", False, "no", 'quote it: "no"'),
        ("text", 1.1, "1.10", 'quote it: "1.10"'),
        ("text", [1], None, "must be a text, not a list"),
        ("path", "etc/redis", None, "is not an absolute path"),
        ("path", "/etc/../root", None, "holds '..'"),
        ("path", "/etc/a\nb", None, "control characters"),
        ("name", "root;id", None, "is not a name"),
        ("name", "-oProxyCommand=x", None, "is not a name"),
        ("name", "a b", None, "is not a name"),
        ("int", True, "true", "must be a whole number, not true"),
        ("int", 1342, "22:22", 'quote it: "22:22"'),
        ("int", "many", None, "must be a whole number"),
        ("bool", "maybe", None, "must be true or false"),
        ("float", "nan", None, "must be a number"),
        ("list", {"a": 1}, None, "must be a list, not a map"),
        ("map", [1], None, "must be a map, not a list"),
        ("duration", "5 parsecs", None, "is not a duration"),
        ("duration", 0, "0", "must be more than 0"),
        ("duration", -1, "-1", "is not a duration"),
        ("duration", "10000d", None, "at most 366d"),
        ("started|stopped", "startd", None, "did you mean 'started'?"),
        ("started|stopped", True, "yes", "true is not one of started, stopped"),
    ],
)
def test_says_what_does_not_fit(type: str, value: object, raw: str | None, said: str) -> None:
    with pytest.raises(Wrong) as e:
        parse("x", type).read(value, raw)
    assert said in f"{e.value.sentence} ({e.value.hint})"


def test_names_unknown_and_missing_arguments() -> None:
    spec = make_spec("copy", SimpleNamespace(ARGS={"dest": "path!", "mode": "mode"}, SHORT="dest"))
    faults = Faults()
    assert spec.names_for("/etc/x", Mark(), "t", faults) == {"dest": "/etc/x"} and not faults
    spec.names_for({"destt": "/etc/x"}, Mark("f", 1, 2), "t", faults)
    assert [str(f) for f in faults] == [
        "f:1:2: t: unknown key 'destt' (did you mean 'dest'?)",
        "f:1:2: t: 'dest' is missing (dest: path)",
    ]


@pytest.mark.parametrize("room", ["kind", "probe", "source"])
def test_every_module_on_hosts_speaks_the_language(room: str) -> None:
    for name in kinds_spec.names(room):
        found = kinds_spec.spec(room, name)
        assert found.args or name == "memory" or room == "probe", name
        assert not found.short or found.short in found.args, name
        assert found.planner_only <= set(found.args), name
