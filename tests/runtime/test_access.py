"""Tokens in Redis: shown once, kept as a hash, refused in the same words whatever is wrong with them (S16)."""

from __future__ import annotations

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.access.room import issue
from swarmops.runtime.errors import Exists, Invalid, NotFound
from swarmops.runtime.op import command


def test_a_token_counts_until_it_is_revoked(rt: Runtime) -> None:
    text, digest = issue("ci")
    made = rt.access.create("ci", digest, ["submit", "read"], lasts=60, note="the build")
    assert rt.access.check(text) == made and made.scopes == ("read", "submit")
    assert [t.id for t in rt.access.list()] == ["ci"] and digest not in str(made.as_dict())
    with pytest.raises(Exists):
        rt.access.create("ci", digest, ["read"])
    assert rt.access.revoke("ci")
    with pytest.raises(NotFound):
        rt.access.check(text)
    with pytest.raises(NotFound):
        rt.access.revoke("ci")


def test_all_that_is_no_token_is_refused_in_the_same_words(rt: Runtime) -> None:
    text, digest = issue("a")
    rt.access.create("a", digest, ["read"])
    late, hashed = issue("late")
    rt.access.create("late", hashed, ["read"], lasts=1)
    key = rt.keys.registry("tokens")
    kept = rt.run(command(key, "HGET", key, "late"))
    rt.run(command(key, "HSET", key, "late", kept.replace(b'"expires":', b'"expires":1,"was":')))
    rt.run(command(key, "HSET", key, "spoilt", "no json"))
    said = set()
    for wrong in (text[:-1], text + "x", "a", "", "b" + text[1:], late, "spoilt.x", text.upper()):
        with pytest.raises(NotFound) as refused:
            rt.access.check(wrong)
        said.add(str(refused.value))
    assert len(said) == 1
    assert [t.id for t in rt.access.list()] == ["a", "late"]


@pytest.mark.parametrize(
    "wrong",
    [{"scopes": []}, {"scopes": "read"}, {"scopes": ["root"]}, {"lasts": 0}, {"note": "two\nlines"}, {"id": "A b"}],
)
def test_what_is_wrong_with_a_new_token_is_said(rt: Runtime, wrong: dict) -> None:
    given = {"id": "x", "sha256": "0" * 64, "scopes": ["read"], **wrong}
    with pytest.raises(Invalid):
        rt.access.create(**given)
    assert rt.access.list() == []
