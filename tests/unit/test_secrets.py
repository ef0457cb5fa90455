"""A secret never shows itself: not in texts, errors or logs (reliability-security 5; case 48)."""

from __future__ import annotations

import base64
import copy
import dataclasses
import html
import json
import pickle
import shlex
import traceback
import urllib.parse

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from secret_values import values

from swarmops.model.redactor import Redactor
from swarmops.model.secrets import Secret, reference, references
from swarmops.model.secretvalues import generate


@dataclasses.dataclass
class Holder:
    secret: Secret


@given(values)
@settings(max_examples=150, deadline=None)
def test_a_secret_never_leaks(value: str) -> None:
    secret = Secret("redis.app", value)
    shown = f"<secret redis.app {secret.tag}>"
    texts = [str(secret), repr(secret), f"{secret}", f"{secret!r}", f"{secret:>40}", "%s %r" % (secret, secret)]  # noqa: UP031
    texts += [str.format("{!s:<50}", secret), repr([secret]), repr({"a": secret}), str((secret,))]
    texts += [json.dumps({"a": secret}, default=str), repr(Holder(secret)), str(dataclasses.asdict(Holder(secret)))]
    texts += [repr(pickle.loads(pickle.dumps(secret))), str(vars(type(secret)).keys())]
    assert all(value not in text for text in texts)
    assert texts[0] == shown and pickle.loads(pickle.dumps(secret)) == shown
    assert value.encode() not in pickle.dumps(secret) and value.encode() not in pickle.dumps(Holder(secret))
    assert secret.open() == value
    assert copy.deepcopy(secret) is secret and copy.copy(secret) is secret


@given(values)
@settings(max_examples=50, deadline=None)
def test_errors_do_not_show_it(value: str) -> None:
    secret = Secret("redis.app", value)
    for mistake in (
        lambda: json.dumps(secret),
        lambda: secret + "x",  # type: ignore[operator]
        lambda: "x" + secret,  # type: ignore[operator]
        lambda: len(secret),  # type: ignore[arg-type]
        lambda: list(secret),
        lambda: int(secret),  # type: ignore[call-overload]
        lambda: secret["x"],  # type: ignore[index]
        lambda: secret.value,  # type: ignore[attr-defined]
        lambda: yaml.safe_dump({"a": secret}),
        lambda: {"a": 1}[secret],  # type: ignore[index]
    ):
        try:
            mistake()
        except Exception as e:
            assert e.__traceback__
            e.__traceback__ = e.__traceback__.tb_next  # this test's own frame has the value
            said = "".join(traceback.TracebackException.from_exception(e, capture_locals=True).format())
            assert repr(value) not in said and value not in f"{e} {e!r} {e.args!r}"
        else:
            pytest.fail("no error")


def test_a_tag_tells_versions_apart_and_is_stable() -> None:
    assert Secret("a", "x" * 20, b"k").tag == Secret("a", "x" * 20, b"k").tag
    assert Secret("a", "x" * 20, b"k").tag != Secret("a", "y" * 20, b"k").tag
    assert Secret("a", "x" * 20) == Secret("b", "x" * 20) != "x" * 20


# The redactor


def encoded(value: str) -> list[str]:
    data = value.encode()
    found = [value, json.dumps(value), shlex.quote(value), urllib.parse.quote(value, safe=""), repr(value)]
    found += [base64.b64encode(b"x" * n + data + b"yz").decode() for n in range(4)]
    found += [base64.urlsafe_b64encode(data).decode(), html.escape(value), data.hex()]
    return [*found, urllib.parse.quote_plus(value), json.dumps(json.dumps(value))]


@given(values, st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=150, deadline=None)
def test_the_redactor_finds_every_form(value: str, before: str, after: str) -> None:
    redactor = Redactor([Secret("redis.app", value)])
    inner = base64.b64encode(value.encode()).decode()[4:-8]
    for text in encoded(value):
        cleaned = redactor.clean(before + text + after)
        assert "<secret redis.app>" in cleaned
        if len(value.strip()) == len(value) and "<secret" not in value:
            assert value not in cleaned.replace("<secret redis.app>", "") or value in before + after
            assert len(inner) < 8 or inner not in cleaned or inner in before + after


def test_the_redactor_leaves_short_values_and_other_text_alone() -> None:
    redactor = Redactor({"pin": "1234567", "app": "k" * 20})
    assert redactor.clean("1234567 deploy of redis-1: 3 changed") == "1234567 deploy of redis-1: 3 changed"
    assert Redactor().clean("x") == "x"


def test_the_redactor_prefers_the_longer_secret_and_finds_lines_of_a_key() -> None:
    both = Redactor({"short": "abcdefgh", "long": "abcdefghijkl"})
    assert both.clean("abcdefghijkl abcdefgh") == "<secret long> <secret short>"
    pem = generate("tls.ca")
    line = pem.splitlines()[1]
    assert Redactor({"tls.ca": pem}).clean(f"log: {line}") == "log: <secret tls.ca>"
    assert Redactor({"tls.ca": pem}).clean("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


def test_the_redactor_is_fast_enough_for_every_line() -> None:
    import time

    redactor = Redactor({f"s{i}": generate(f"s{i}") for i in range(20)})
    lines = ["ok redis/write redis.conf on redis-1 was 0640 want 0640 in 3 ms"] * 1000
    start = time.perf_counter()
    for line in lines:
        redactor.clean(line)
    assert time.perf_counter() - start < 20


def test_references() -> None:
    assert reference({"secret": "redis.app"}) == "redis.app"
    assert reference({"secret": "a", "b": 1}) is None and reference("redis.app") is None
    assert [n for n, _ in references({"a": [{"secret": "x"}], "b": {"secret": "y"}})] == ["x", "y"]
