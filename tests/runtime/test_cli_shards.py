"""`swarmops shard`, `finding` and `uplink`: what they print and what they end with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmops.runtime import Runtime
from tests.runtime.commands import Command
from tests.runtime.server import Server, free_port


def test_a_context_is_loaded_and_read(swarmops: Command, tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_bytes(b"words " * 100_000)
    made = swarmops("shard", "load", "s", str(file), "--specialization", "look", "--json").document(
        "swarmops.context/1"
    )
    assert made["version"] == 1 and made["size"] == 600_000 and made["ratio"] > 3
    code, out, err = swarmops("shard", "context", "s")
    assert (code, out) == (0, ("words " * 1000)[:5000] + "\n") and f"ctx:{made['sha']} version 1" in err
    code, out, _ = swarmops("shard", "load", "s", "-", stdin=b"new")
    assert code == 0 and out.endswith("version 2, 3 bytes, 4 in Redis\n"), "what is not smaller is not said to be"
    assert swarmops("shard", "load", "s")[1] == "s is alive\n"
    status = swarmops("shard", "list", "--json").document("swarmops.shards/1")
    row = {"shard_id": "s", "specialization": "look", "findings_count": 0, "pending_tasks": 0}
    assert (status["total_shards"], status["shards"]) == (1, [row])
    assert "SPECIALIZATION" in swarmops("shard", "list")[1] and "yes" in swarmops("shard", "list", "--all")[1]
    code, out, _ = swarmops("shard", "show", "s")
    assert code == 0 and "context 2" in out and "context.loaded" in out
    assert swarmops("shard", "remove", "s")[0] == 0 and swarmops("shard", "remove", "s")[0] == 1
    code, _, err = swarmops("shard", "show", "s")
    assert (code, err) == (1, "there is no shard s here\n")


def test_findings_and_syntheses(swarmops: Command) -> None:
    assert swarmops("shard", "load", "s")[0] == 0
    code, one, _ = swarmops("finding", "add", "s", "look", '{"n": 1}')
    assert code == 0
    swarmops("finding", "add", "s", "look", "-", stdin=b"some text")
    swarmops("finding", "add", "s", "other", "[1]", "--id", "mine")
    code, out, err = swarmops("finding", "list", "s", "--type", "look", "--limit", "1")
    assert code == 0 and '{"n": 1}' in out and "some text" not in out and "--after 1" in err
    found = swarmops("finding", "list", "s", "--json").document("swarmops.findings/1")
    assert [f["data"] for f in found["findings"]] == [{"n": 1}, "some text", [1]]
    assert json.loads(swarmops("finding", "show", one.strip())[1]) == {"n": 1}
    assert swarmops("finding", "show", "s.none")[0] == 1
    assert swarmops("finding", "add", "s", "look", "{broken")[0] == 2
    asked = swarmops("finding", "synthesize", "s", "Pass 1", "--source", one.strip())[1].strip()
    assert "NO" in swarmops("finding", "list", "s")[1]
    claim = swarmops("finding", "claim", "s", "--as", "me", "--json").document("swarmops.synthesis/1")
    assert (claim["id"], claim["attempt"], claim["sources"]) == (asked, 1, [one.strip()])
    assert swarmops("finding", "claim", "s", "--as", "me")[0] == 1
    assert swarmops("finding", "answer", asked, "short", "--as", "you", "--attempt", "1")[0] == 1
    assert swarmops("finding", "answer", asked, "short", "--as", "me", "--attempt", "1")[0] == 0
    assert swarmops("finding", "show", asked)[1] == "short\n"
    assert swarmops("finding", "synthesize", "s", "Pass 2", "--wait", "0.05")[0] == 1


def test_the_uplink(
    swarmops: Command, own_server: Callable[..., Server], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    centre = own_server()
    swarmops("shard", "load", "s")
    swarmops("finding", "add", "s", "look", "1")
    code, _, err = swarmops("uplink", "sync", "--site", "paris")
    assert code == 2 and "SWARMOPS_CENTRAL_URL" in err
    status = swarmops("uplink", "status", "--site", "paris", "--json").document("swarmops.uplink/1")
    assert status["behind"] == 1
    monkeypatch.setenv("SWARMOPS_CENTRAL_URL", f"redis://127.0.0.1:{free_port()}")
    assert swarmops("uplink", "sync", "--site", "paris")[0] == 3
    monkeypatch.setenv("SWARMOPS_CENTRAL_URL", centre.url)
    did = swarmops("uplink", "sync", "--site", "paris", "--json").document("swarmops.uplink-sync/1")
    assert did["pushed"] == 1
    code, out, _ = swarmops("uplink", "status", "--site", "paris")
    assert code == 0 and "findings not pushed  0" in out and "1 failures" in out
    with Runtime(centre.settings) as rt:
        assert [f.data for f in rt.findings.list("s").findings] == [1]
    assert swarmops("uplink", "sync", "--site", "paris", "--queue", "x")[0] == 2
    assert swarmops("uplink", "sync", "--site", "paris", "--central", "redis://:pw@127.0.0.1")[0] == 2
