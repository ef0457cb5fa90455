"""The verbs message, events and stats, as a shell sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.op import Op
from tests.runtime.commands import Command
from tests.runtime.server import Server


def test_a_message_is_sent_read_and_acknowledged(swarmops: Command) -> None:
    code, _, err = swarmops("message", "send", "agent.b", "announcement", '{"text": "x"}')
    assert code == 1 and "there is no agent.b" in err
    assert swarmops("message", "read", "agent.b")[:2] == (0, "")
    code, out, _ = swarmops(
        "message", "send", "agent.b", "announcement", '{"text": "x\\u001b[31m"}', "--from", "agent.a", "--json"
    )
    sent = json.loads(out)
    assert (code, sent["schema"], sent["waiting"]) == (0, "swarmops.message.sent/1", 1)
    code, out, _ = swarmops("message", "read", "agent.b")
    assert "announcement  agent.a -> agent.b" in out and "\x1b" not in out
    mark = out.split()[1]
    assert swarmops("message", "ack", "agent.b", mark)[1] == "1 acknowledged\n"
    assert (
        swarmops("message", "read", "agent.b", "--json")[1].split()
        == '{ "schema": "swarmops.messages/1", "messages": [] }'.split()
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("send", "agent.b", "reboot"), "type: 'reboot' is unknown (there are coordination_request"),
        (("send", "agent.b", "announcement", "{"), "payload: is not JSON"),
        (("send", "agent.b", "announcement", "{}"), "payload.text: is missing"),
        (("send", "agent.b\n", "announcement"), r"to: 'b\n' is not a name"),
        (("broadcast", "announcement", "[NaN]"), "payload: is not JSON: NaN"),
        (("broadcast", "announcement", '{"text":"x"}', "--channel", "a:b"), "channel: 'a:b' is not a name"),
        (("ack", "agent.b", "*"), "marks: '*' is no mark"),
    ],
)
def test_wrong_input_is_one_line_and_2(swarmops: Command, args: tuple[str, ...], says: str) -> None:
    code, out, err = swarmops("message", *args)
    assert code == 2 and out == "" and says in err and err.count("\n") == 1, err


def test_history_and_broadcast(swarmops: Command) -> None:
    for text in "123":
        assert swarmops("message", "broadcast", "announcement", json.dumps({"text": text}))[0] == 0
    out = json.loads(swarmops("message", "history", "--limit", "2", "--json")[1])
    assert [m["payload"]["text"] for m in out["messages"]] == ["3", "2"]


def test_a_request_is_answered_from_another_shell(server: Server, swarmops: Command) -> None:
    env = {**os.environ, "SWARMOPS_REDIS_URL": server.url}
    program = [sys.executable, "-m", "swarmops", "message"]
    with Runtime(server.settings) as rt:
        rt.messages.take("agent.b")
        listen = [*program, "listen", "agent.b", "--count", "1", "--for", "30", "--json"]
        with (
            subprocess.Popen(listen, env=env, stdout=subprocess.PIPE, text=True) as listener,
            subprocess.Popen(
                [*program, "request", "agent.b", '{"q": 1}', "--timeout", "30"],
                env=env,
                stdout=subprocess.PIPE,
                text=True,
            ) as asker,
        ):
            assert listener.stdout and asker.stdout
            asked = json.loads(listener.stdout.readline())
            assert asked["payload"] == {"q": 1} and listener.wait(30) == 0
            assert swarmops("message", "reply", asked["id"], '{"a": 2}', "--from", "agent.b")[0] == 0
            assert json.loads(asker.stdout.read()) == {"a": 2} and asker.wait(30) == 0
        assert rt.messages.undelivered("agent.b") == 0
    code, _, err = swarmops("message", "request", "agent.b", "--timeout", "0.1")
    assert code == 1 and "no answer from agent.b within 0.1 s" in err


def test_events_are_shown_escaped_and_exported(server: Server, swarmops: Command, tmp_path: Path) -> None:
    """Case 94."""
    with Runtime(server.settings) as rt:
        key = rt.keys.registry("events")
        rt.run(Op("", (key,), ("XADD", key, "1000-0", "what", "agent.dead", "id", "a\n\x1b[31mleader", "why", "x")))
    code, out, _ = swarmops("events")
    assert code == 0 and out.count("\n") == 1 and "\x1b" not in out and "a\\n\\x1b[31mleader  why=x" in out
    assert json.loads(swarmops("events", "--json")[1])["what"] == "agent.dead"
    assert swarmops("events", "--since", "1h")[1] == "" and swarmops("events", "--since", "soon")[0] == 2
    assert swarmops("events", "--what", "task.")[1] == ""
    file = tmp_path / "audit.jsonl"
    assert swarmops("events", "--export", str(file), "--follow", "--for", "0.05")[0] == 0
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ["a\n\x1b[31mleader"]


def test_stats_in_three_forms_and_alerts(server: Server, swarmops: Command) -> None:
    with Runtime(server.settings) as rt:
        rt.stats.count("errors", 101)
    assert json.loads(swarmops("stats", "--json")[1])["registry"]["counters"]["errors"] == 101
    assert "swarmops_errors_total 101\n" in swarmops("stats", "--prometheus")[1]
    assert "errors 101\n" in swarmops("stats", "--statistics")[1]
    assert swarmops("stats", "--queue", "default", "--queue", "other")[0] == 0
    code, out, _ = swarmops("stats", "--alerts")
    assert code == 1 and out == "WARNING errors: 101 errors were counted, more than 100\n"
    assert swarmops("stats", "--alerts", "--error-limit", "10")[0] == 2
    assert swarmops("stats", "--alerts", "--error-limit", "200")[:2] == (0, "OK\n")
