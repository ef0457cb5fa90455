"""A client that has only redis-cli posts a task, and reads what came of it (S0-29, cases 74, 76, 78)."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.tasks.records import Outcome
from tests.conftest import lacking
from tests.runtime.server import Server

BASE = "swarm:{q:default}:"
if shutil.which("redis-cli") is None:
    lacking("no redis-cli on PATH (apt install redis-tools)")


def cli(server: Server, *args: str, stdin: bytes | None = None) -> str:
    """What redis-cli prints; with stdin, that is the last argument (-x)."""
    argv = ["redis-cli", "-p", str(server.port), *(["-x"] if stdin is not None else []), *args]
    done = subprocess.run(argv, input=stdin, capture_output=True, timeout=60, check=True)
    return done.stdout.decode("utf-8", "replace").rstrip("\n")


def post(server: Server, text: str | bytes) -> None:
    assert cli(server, "LPUSH", BASE + "post", stdin=text if isinstance(text, bytes) else text.encode()).isdigit()


def outcome(server: Server, id: str) -> Any:
    return json.loads(cli(server, "HGET", BASE + "out", id) or "null")


def spoilt(server: Server, rt: Runtime) -> list[dict[str, Any]]:
    """What became of all posts that were no tasks."""
    rt.tasks.beat("w")
    flat = cli(server, "HVALS", BASE + "out")
    return [found for line in flat.splitlines() if (found := json.loads(line))["status"] == "spoilt"]


def test_a_task_is_posted_and_its_result_read_with_redis_cli_only(server: Server, rt: Runtime) -> None:
    post(server, '{"type":"echo","args":{"text":"grüß"},"id":"mine","priority":7,"needs":["npu"],"meta":{"by":"sh"}}')
    assert not rt.tasks.step("plain", want=5).tasks
    assert cli(server, "HGET", BASE + "task", "mine").partition("\n")[2].startswith('{"type":"echo"')
    claim = rt.tasks.step("w", want=5, caps=["npu"]).tasks[0]
    assert (claim.id, claim.kind, json.loads(claim.args), claim.priority) == ("mine", "echo", {"text": "grüß"}, 7)
    assert claim.meta == {"by": "sh"} and claim.fault == ""
    rt.tasks.step("w", [Outcome.done(claim, ["ok", 1])])
    found = outcome(server, "mine")
    assert found["status"] == "done" and found["result"] == ["ok", 1] and found["attempt"] == 1
    assert cli(server, "HGET", BASE + "task", "mine") == ""


def test_posting_an_id_twice_is_posting_it_once(server: Server, rt: Runtime) -> None:
    for _ in range(3):
        post(server, '{"type":"echo","id":"once"}')
    assert [c.id for c in rt.tasks.step("w", want=9).tasks] == ["once"]
    assert cli(server, "LLEN", BASE + "post") == "0"


def test_a_post_without_an_id_gets_one(server: Server, rt: Runtime) -> None:
    post(server, '{"type":"a"}')
    post(server, '{"type":"b","args":[1,2]}')
    claims = rt.tasks.step("w", want=9).tasks
    assert [c.kind for c in claims] == ["a", "b"] and len({c.id for c in claims}) == 2
    assert [c.args for c in claims] == [b"null", b"[1,2]"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"not json", "is not JSON"),
        (b"", "is not JSON"),
        (b"[1,2]", "type is not a name"),
        (b"7", "is not an object"),
        (b'"text"', "is not an object"),
        (b"null", "is not an object"),
        (b'{"args":{}}', "type is not a name"),
        (b'{"type":"Swarm:*"}', "type is not a name"),
        (b'{"type":7}', "type is not a name"),
        (b'{"type":"a|b"}', "type is not a name"),
        (b'{"type":"echo","id":"a b"}', "id is not a name"),
        (b'{"type":"echo","id":{"x":1}}', "id is not a name"),
        (b'{"type":"echo","priority":"high"}', "priority is not"),
        (b'{"type":"echo","priority":10}', "priority is not"),
        (b'{"type":"echo","priority":1.5}', "priority is not"),
        (b'{"type":"echo","delay":-1}', "delay is not"),
        (b'{"type":"echo","timeout":"5 parsecs"}', "timeout is not"),
        (b'{"type":"echo","retries":1e9}', "retries is not"),
        (b'{"type":"echo","needs":"npu"}', "needs is not a list"),
        (b'{"type":"echo","needs":{"a":1}}', "needs is not a list"),
        (b'{"type":"echo","needs":["a,b"]}', "needs is not a list"),
        (b"\x80\x04\x95pickled", "is not JSON"),
        (b"\x1f\x8b\x08gzip", "is not JSON"),
        (b"[" * 5000, "is not JSON"),
        (b'{"type":"echo","args":"' + b"x" * (1 << 20) + b'"}', "has more than 1,048,576 bytes"),
    ],
    ids=lambda v: v[:40].decode("latin-1") if isinstance(v, bytes) else "",
)
def test_a_bad_post_is_named_and_hurts_nobody(server: Server, rt: Runtime, text: bytes, reason: str) -> None:
    post(server, text)
    post(server, '{"type":"echo","id":"good"}')
    assert [c.id for c in rt.tasks.step("w", want=9).tasks] == ["good"]
    (found,) = spoilt(server, rt)
    assert reason in found["error"] and "posted" in found


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (b'{"type":"echo","id":"odd","args":{"a":1,"a":2}}', "is there twice"),
        (b'{"type":"echo","id":"odd","args":"\xff\xfe"}', "is not UTF-8"),
        (b'{"type":"echo","id":"odd","args":"\\ud800"}', "lone surrogate"),
    ],
    ids=["twice", "latin-1", "surrogate"],
)
def test_what_redis_takes_for_json_and_we_do_not_is_handed_out_with_the_fault(
    server: Server, rt: Runtime, args: bytes, reason: str
) -> None:
    post(server, args)
    found = rt.tasks.step("w", want=9).tasks
    if found:
        assert found[0].id == "odd" and reason in found[0].fault and found[0].args == b"null"
    else:
        assert spoilt(server, rt)


def test_null_fields_are_as_fields_left_out(server: Server, rt: Runtime) -> None:
    post(server, '{"type":"echo","id":null,"priority":null,"needs":null,"delay":null,"args":null}')
    assert [c.kind for c in rt.tasks.step("w", want=9).tasks] == ["echo"]


def test_a_number_survives_the_way_unchanged(server: Server, rt: Runtime) -> None:
    """Lua's numbers are doubles, its empty tables objects: what users wrote is never written anew."""
    post(server, '{"type":"echo","args":{"n":12345678901234567890,"f":0.1,"empty":[],"none":{}}}')
    args = json.loads(rt.tasks.step("w", want=1).tasks[0].args)
    assert args == {"n": 12345678901234567890, "f": 0.1, "empty": [], "none": {}}
