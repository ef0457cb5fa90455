"""Commands on what is not there, cannot be written, or is not theirs: a sentence and an exit code, no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.op import command
from tests.runtime.commands import Command
from tests.runtime.server import Server
from tests.runtime.test_cli_redis import swarmops as program


@pytest.mark.parametrize(
    "args",
    [
        ("finding", "list", "nope"),
        ("state", "get", "nope"),
        ("state", "snapshots", "nope"),
        ("state", "snapshots", "nope", "--checkpoints"),
        ("state", "delete", "nope"),
        ("coordinator", "take", "nope"),
        ("coordinator", "release", "nope", "cpu"),
        ("coordinator", "release", "known", "nope"),
        ("shard", "show", "nope"),
        ("swarm", "show", "nope"),
        ("task", "get", "nope"),
    ],
)
def test_what_is_not_there_ends_with_1(swarmops: Command, rt: Runtime, args: tuple[str, ...]) -> None:
    rt.swarms.create("one", id="known")
    rt.resources.define("cpu", 8)
    said = swarmops(*args)
    assert said.code == 1 and "nope" in said.out + said.err, said


def test_what_is_there_and_empty_is_fine(swarmops: Command, rt: Runtime) -> None:
    rt.swarms.create("one", id="known")
    rt.shards.register("s")
    rt.state.save("known", {"a": 1})
    rt.resources.define("cpu", 8)
    assert swarmops("finding", "list", "s").code == 0
    assert swarmops("state", "snapshots", "known").code == 0
    assert swarmops("coordinator", "take", "known").code == 0
    assert swarmops("coordinator", "release", "known", "cpu").code == 0
    assert swarmops("state", "delete", "known").code == 0


@pytest.mark.parametrize("where", ["nowhere/events.jsonl", "file/events.jsonl"])
def test_events_that_cannot_be_exported(swarmops: Command, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    said = swarmops("events", "--export", str(tmp_path / where))
    assert said.code == 2 and said.err.startswith(f"--export: {tmp_path}/{where}: ") and said.err.count("\n") == 1


def test_who_answers_no_is_not_unreachable(own_server: Callable[..., Server], tmp_path: Path) -> None:
    """README: 3 is for what is unreachable."""
    server = own_server("--requirepass", "right")
    with Runtime(server.settings.but(password="right")) as admin:
        admin.run(command("x", "ACL", "SETUSER", "app", "on", "nopass", "~mine:*", "+@all"))
    said = program("task", "list", SWARMOPS_REDIS_URL=f"redis://:wrong@127.0.0.1:{server.port}")
    assert said.returncode == 1 and "refused the user name or password" in said.stderr and "wrong" not in said.stderr
    said = program("task", "list", SWARMOPS_REDIS_URL=f"redis://app:x@127.0.0.1:{server.port}")
    assert said.returncode == 1 and "permission" in said.stderr
    server.kill()
    said = program("task", "list", SWARMOPS_REDIS_URL=f"redis://:right@127.0.0.1:{server.port}")
    assert said.returncode == 3 and "refused the connection" in said.stderr


def test_all_wrong_variables_are_told_in_a_line_each() -> None:
    said = program("task", "list", REDIS_PORT="abc", SWARM_TTL="abc", HEARTBEAT_INTERVAL="-5")
    assert said.returncode == 2 and said.stderr.splitlines() == [
        "REDIS_PORT: 'abc' is not a whole number",
        "SWARM_TTL: 'abc' is not a number of seconds",
        "HEARTBEAT_INTERVAL: '-5' is not from 10 to 315360000000",
    ]


def test_variables_count_with_a_given_redis(server: Server) -> None:
    said = program("swarm", "limit", "--redis", server.url, SWARM_MAX_COUNT="7")
    assert said.returncode == 0 and "at most 7" in said.stdout, said


def test_what_others_wrote_is_not_told_in_the_words_of_lua(swarmops: Command, rt: Runtime) -> None:
    rt.run(command("x", "SET", rt.keys.registry("leader"), "what is this", "PX", 60_000))
    said = swarmops("leader", "show")
    assert said.code == 1 and "something else writes to this namespace" in said.err and "script" not in said.err
