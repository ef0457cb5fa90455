"""Parts of swarmops.web and of the API's configuration that need no server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from swarmops.gateways.http import config
from swarmops.runtime.access import issue, split
from swarmops.runtime.errors import (
    Conflict,
    Forbidden,
    Full,
    Illegal,
    Invalid,
    NotFound,
    SwarmError,
    TooLarge,
    Unavailable,
)
from swarmops.web.answers import Json, Wrong, answer
from swarmops.web.limits import Limits, host_in
from swarmops.web.strict import json_of, path_of
from swarmops.web.tokens import Tokens, read_file


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Invalid("a", "is wrong"), 422), (TooLarge("a", "is large"), 413), (NotFound("no"), 404), (Full("no"), 429),
        (Forbidden("no"), 403), (Conflict("no"), 409), (Illegal("no"), 409), (Unavailable("timeout", "no"), 503),
        (Unavailable("memory", "no"), 429), (SwarmError("no"), 409), (Wrong(418, "tea"), 418), (ValueError("x"), 500),
    ],
)  # fmt: skip
def test_every_error_has_its_status(error: Exception, status: int) -> None:
    said = answer(error)
    assert said.status_code == status
    assert ("retry-after" in said.headers) is (status in (429, 503))
    body = json.loads(bytes(said.body))
    assert set(body) <= {"error", "path", "errors"} and "error" in body
    if status == 500:
        assert "x" not in body["error"].split()


def test_a_sender_that_was_too_fast_hears_when_it_may_again() -> None:
    assert answer(Full("too fast: again in 2300 ms")).headers["retry-after"] == "3"


@pytest.mark.parametrize(("value", "shown"), [({"a": float("nan")}, {"a": None}), (["\ud800"], ["\ud800"])])
def test_what_json_cannot_hold_is_shown_and_is_no_fault(value: Any, shown: Any) -> None:
    assert json.loads(bytes(Json(value).body)) == shown


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a.test", "a.test"), ("A.test:80", "a.test"), ("127.0.0.1:8002", "127.0.0.1"), ("[::1]:8002", "::1"),
        ("[::1]", "::1"), ("::1", ""), ("a:b", ""), ("a.test:80:90", ""), ("[::1", ""), ("[::1]x", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_name_in_a_host_header(host: str, name: str) -> None:
    assert host_in(host) == name


def test_paths_of_wrong_fields() -> None:
    assert path_of(("body", "steps", 3, "name")) == "steps[3].name"
    assert path_of(("query", "limit")) == "limit" and path_of(("body",)) == "body"


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_only_json_is_json(kind: str) -> None:
    with pytest.raises(Wrong) as e:
        json_of(b"{}", kind)
    assert e.value.status == 415
    assert json_of(b'{"a": 1}', "application/json; charset=utf-8") == {"a": 1}


def test_a_long_number_in_a_text_is_a_text() -> None:
    digits = "1" * 400
    assert json_of(json.dumps({"a": digits}).encode(), "application/json") == {"a": digits}
    with pytest.raises(Wrong, match="too large"):
        json_of(f'{{"a": [{digits}]}}'.encode(), "application/json")


def test_the_pace_of_callers_is_kept_apart_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, now = Limits(None, rate=10, burst=2), [100.0]
    monkeypatch.setattr("swarmops.web.limits.time.monotonic", lambda: now[0])

    def wait(client: str) -> float:
        return limits._too_fast({"type": "http", "client": (client, 1)})

    assert [wait("a"), wait("a")] == [0, 0] and 0 < wait("a") <= 0.1
    assert wait("b") == 0
    now[0] += 0.11
    assert wait("a") == 0 and wait("a") > 0


def test_callers_are_not_remembered_without_end() -> None:
    limits = Limits(None, rate=10)
    for i in range(10_100):
        limits._too_fast({"client": (f"host-{i}", 1)})
    assert len(limits._callers) == 10_000


def test_a_token_opens_until_it_is_over(tmp_path: Path) -> None:
    file, found = tmp_path / "tokens.json", {}
    kept = []
    for id, expires in (("good", None), ("later", 4_000_000_000), ("over", 1)):
        found[id], digest = issue(id)
        kept.append({"id": id, "sha256": digest, "scopes": ["read"], "expires": expires})
    file.write_text(json.dumps(kept))
    tokens = Tokens.of_file(file)

    async def opens(text: str) -> bool:
        return await tokens.check(text) is not None

    assert asyncio.run(opens(f"Bearer {found['good']}")) and asyncio.run(opens(f"bearer  {found['later']} "))
    good = found["good"]
    for wrong in (good, f"Basic {good}", f"Bearer {found['over']}", "Bearer good.", f"Bearer {good}x"):
        assert not asyncio.run(opens(wrong))


def test_anything_can_be_split() -> None:
    for text in ("", ".", "a", "a.b.c", "\ud800.\udfff", "a" * 10_000):
        id, digest = split(text)
        assert len(id) <= 63 and len(digest) == 64


def test_faults_of_a_configuration_are_said_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "coordinator.json"
    wrong = {"port": 70_000, "bind": ["nowhere"], "origins": ["*"], "limits": {"rat": 1}, "surprise": 1, "duties": 1}
    file.write_text(json.dumps(wrong))
    with pytest.raises(Invalid) as e:
        config.read(file)
    for word in ("port", "bind[0]", "origins[0]", "limits.rat", "surprise", "duties"):
        assert word in str(e.value), word


def test_files_of_a_configuration_lie_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "coordinator.json"
    file.write_text(json.dumps({"tokens": "tokens.json", "tls": {"cert": "a.crt", "key": "a.key"}, "port": 0}))
    found = config.read(file)
    assert found.tokens == tmp_path / "tokens.json" and found.tls == (tmp_path / "a.crt", tmp_path / "a.key")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"id": "a"}]', '[{"id": "a", "sha256": 3, "scopes": ["read"]}]'])
def test_token_files_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokens.json").write_text(text)
    with pytest.raises(Invalid, match=r"tokens\.json"):
        read_file(tmp_path / "tokens.json")
