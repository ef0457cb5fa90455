"""`swarmops shard`, `finding` and `uplink`: what they print and what they end with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmops.runtime import Runtime
from tests.runtime.server import Server, free_port
from tests.runtime.test_cli_state import Command, command, shown

__all__ = ["command"]


def test_a_context_is_loaded_and_read(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_bytes(b"words " * 100_000)
    made = shown(command("shard", "load", "s", str(file), "--specialization", "look", "--json"), "swarmops.context/1")
    assert made["version"] == 1 and made["size"] == 600_000 and made["ratio"] > 3
    code, out, err = command("shard", "context", "s")
    assert (code, out) == (0, ("words " * 1000)[:5000] + "\n") and f"ctx:{made['sha']} version 1" in err
    code, out, _ = command("shard", "load", "s", "-", stdin=b"new")
    assert code == 0 and "version 2, 3 bytes" in out
    assert command("shard", "load", "s")[1] == "s is alive\n"
    status = shown(command("shard", "list", "--json"), "swarmops.shards/1")
    row = {"shard_id": "s", "specialization": "look", "findings_count": 0, "pending_tasks": 0}
    assert (status["total_shards"], status["shards"]) == (1, [row])
    assert "SPECIALIZATION" in command("shard", "list")[1] and "yes" in command("shard", "list", "--all")[1]
    code, out, _ = command("shard", "show", "s")
    assert code == 0 and "context 2" in out and "context.loaded" in out
    assert command("shard", "remove", "s")[0] == 0 and command("shard", "remove", "s")[0] == 1
    code, _, err = command("shard", "show", "s")
    assert (code, err) == (1, "there is no shard s here\n")


def test_findings_and_syntheses(command: Command) -> None:
    assert command("shard", "load", "s")[0] == 0
    code, one, _ = command("finding", "add", "s", "look", '{"n": 1}')
    assert code == 0
    command("finding", "add", "s", "look", "-", stdin=b"some text")
    command("finding", "add", "s", "other", "[1]", "--id", "mine")
    code, out, err = command("finding", "list", "s", "--type", "look", "--limit", "1")
    assert code == 0 and '{"n": 1}' in out and "some text" not in out and "--after 1" in err
    found = shown(command("finding", "list", "s", "--json"), "swarmops.findings/1")
    assert [f["data"] for f in found["findings"]] == [{"n": 1}, "some text", [1]]
    assert json.loads(command("finding", "show", one.strip())[1]) == {"n": 1}
    assert command("finding", "show", "s.none")[0] == 1
    assert command("finding", "add", "s", "look", "{broken")[0] == 2
    asked = command("finding", "synthesize", "s", "Pass 1", "--source", one.strip())[1].strip()
    assert "NO" in command("finding", "list", "s")[1]
    claim = shown(command("finding", "claim", "s", "--as", "me", "--json"), "swarmops.synthesis/1")
    assert (claim["id"], claim["attempt"], claim["sources"]) == (asked, 1, [one.strip()])
    assert command("finding", "claim", "s", "--as", "me")[0] == 1
    assert command("finding", "answer", asked, "short", "--as", "you", "--attempt", "1")[0] == 1
    assert command("finding", "answer", asked, "short", "--as", "me", "--attempt", "1")[0] == 0
    assert command("finding", "show", asked)[1] == "short\n"
    assert command("finding", "synthesize", "s", "Pass 2", "--wait", "0.05")[0] == 1


def test_the_uplink(
    command: Command, own_server: Callable[..., Server], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    centre = own_server()
    command("shard", "load", "s")
    command("finding", "add", "s", "look", "1")
    code, _, err = command("uplink", "sync", "--site", "paris")
    assert code == 2 and "SWARMOPS_CENTRAL_URL" in err
    status = shown(command("uplink", "status", "--site", "paris", "--json"), "swarmops.uplink/1")
    assert status["behind"] == 1
    monkeypatch.setenv("SWARMOPS_CENTRAL_URL", f"redis://127.0.0.1:{free_port()}")
    assert command("uplink", "sync", "--site", "paris")[0] == 3
    monkeypatch.setenv("SWARMOPS_CENTRAL_URL", centre.url)
    did = shown(command("uplink", "sync", "--site", "paris", "--json"), "swarmops.uplink-sync/1")
    assert did["pushed"] == 1
    code, out, _ = command("uplink", "status", "--site", "paris")
    assert code == 0 and "findings not pushed  0" in out and "1 failures" in out
    with Runtime(centre.settings) as rt:
        assert [f.data for f in rt.findings.list("s").findings] == [1]
    assert command("uplink", "sync", "--site", "paris", "--queue", "x")[0] == 2
    assert command("uplink", "sync", "--site", "paris", "--central", "redis://:pw@127.0.0.1")[0] == 2
