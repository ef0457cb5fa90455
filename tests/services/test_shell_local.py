"""The role `shell` without root: commands of the list on this machine, their secret, and what is refused."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.tasks import TaskFailed
from swarmops.workers.shell.leash import LEAST, version
from tests.conftest import lacking
from tests.runtime.server import free_port
from tests.services.test_local import DECLARED, Here

AGENT = """#!/bin/sh
pwd
printf %s "$API_KEY" | sha256sum
echo x > "$1" && echo written
"""


@pytest.fixture
def here() -> Iterator[Here]:
    if version() < LEAST:
        lacking(f"this kernel has no Landlock of version {LEAST} or newer")
    made = Here(Path(tempfile.mkdtemp(prefix="lo-")))  # a short name: the kernel takes 107 bytes for a socket
    yield made
    made.close()


def test_commands_run_where_there_is_no_root(here: Here) -> None:
    agent, shared = here.folder / "agent", here.folder / "shared"
    agent.write_text(AGENT)
    agent.chmod(0o755)
    command = {
        "argv": [str(agent)],
        "args": {"most": 1},
        "read": [str(here.folder / "agent")],
        "write": [str(shared)],
        "secrets": {"API_KEY": {"secret": "agents.key"}},
        "check": True,
    }
    wanted = {"port": free_port(), "folders": [str(shared)], "commands": {"agent": command}}
    text = DECLARED.replace("client: all", "client: all, shell: all")
    text = text.replace("services: {", f"services: {{shell: {json.dumps(wanted)}, ").replace(
        "64mb", "64mb, clients: [shell]"
    )
    (here.folder / "distributed.yaml").write_text(text)
    assert here.run("secrets", "init")[0] == 0
    key = here.run("secrets", "show", "agents.key", "--yes-print")[1].strip()
    here.deploy()
    assert "changed=0" in here.deploy()
    assert here.run("check-health")[0] == 0

    with Runtime(here.settings) as rt:
        asked = {"command": "agent", "args": [str(shared / "x")]}
        result = rt.tasks.submit_and_wait("shell", asked, needs=["shell"], timeout=60)
        place, sum_, written = result["stdout"].splitlines()
        assert place.startswith(str(here.home / "state/shell/tasks")) and written == "written"
        assert sum_.split()[0] == hashlib.sha256(key.encode()).hexdigest()
        asked["args"] = [str(here.home / "config/x")]
        with pytest.raises(TaskFailed, match="Permission denied"):
            rt.tasks.submit_and_wait("shell", asked, needs=["shell"], retries=0, timeout=60)
    holders = [p for p in here.home.rglob("*") if p.is_file() and key.encode() in p.read_bytes()]
    assert [p.name for p in holders] == ["shell-agent.API_KEY"] and holders[0].stat().st_mode & 0o777 == 0o600
