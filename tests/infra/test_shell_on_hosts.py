"""The role `shell` on one host: what a task may run, what a command can reach, where its secret is, how it all ends."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.delivery.release import locks
from swarmops.delivery.release.lock import locked
from swarmops.delivery.release.parts import ReleaseError, Target
from swarmops.lab import Guest
from swarmops.model.secrets import Store
from swarmops.workers.shell.leash import LEAST, version
from tests.conftest import lacking
from tests.infra.small import Small, until

HOST, ADDRESS = "work-1", "10.72.0.11"
DEBIAN_13 = Target("3.13", "x86_64", "glibc 2.41")
UNIT = "swarmops-shell"
# In place of a CLI agent: does what its first argument says. Its program is ours, its arguments are the task's.
AGENT = r"""#!/bin/sh
case $1 in
    who) id -un; pwd; ls -A; cat ;;
    key) printf %s "$API_KEY" | sha256sum ;;
    talk) echo "first words"; setsid sleep 1971 & sleep 1972 & while [ ! -e /srv/shared/go ]; do sleep 0.1; done
          echo "last words"; mkdir answer; echo 42 > answer/it.md ;;
    stay) setsid sleep 1973 & sleep 1974 ;;
    do) shift; eval "$*" ;;
esac
"""
COMMANDS = {
    "agent": {
        "argv": ["/opt/agents/agent"],
        "args": {"most": 1, "match": "who|key|talk"},
        "secrets": {"API_KEY": {"secret": "agents.key"}},
        "write": ["/srv/shared"],
        "files": ["answer/*.md"],
        "timeout": "2m",
    },
    "stays": {"argv": ["/opt/agents/agent", "stay"], "timeout": "1500ms"},
    "tries": {"argv": ["/opt/agents/agent", "do"], "args": {"most": 1, "match": "(?s).*"}},
    "apart": {"argv": ["/opt/agents/agent", "do"], "args": {"most": 1, "match": "(?s).*"}, "ports": [22]},
}
TOOLS = f"""role: tools
tasks:
  - {{name: make the folder, file: {{path: /opt/agents, state: directory, mode: "0755"}}}}
  - name: put the agent there
    copy: {{content: {json.dumps(AGENT)}, dest: /opt/agents/agent, mode: "0755"}}
"""
CLIENT = "SWARMOPS_RUNTIME=/etc/swarmops/runtime.json /opt/swarmops/shell/bin/swarmops task"


class Work:
    """The host, and tasks for it given through its Redis."""

    def __init__(self, small: Small, key: str):
        self.small, self.key = small, key

    def on(self, script: str, **how: Any) -> str:
        return self.small.on(HOST, script, **how)

    def submit(self, *args: str, **more: Any) -> str:
        command, *rest = args
        asked = json.dumps({"command": command, "args": rest, **more})
        return self.on(f"{CLIENT} submit shell --needs shell --retries 0 --args {shlex.quote(asked)}")

    def task(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.on(f"{CLIENT} get {id} --json"))
        return found

    def run(self, *args: str, **more: Any) -> dict[str, Any]:
        """The result of a command that may run."""
        command, *rest = args
        asked = json.dumps({"command": command, "args": rest, **more})
        given = f"{CLIENT} submit shell --needs shell --retries 0 --wait 60 --args {shlex.quote(asked)}"
        found: dict[str, Any] = json.loads(self.on(given, timeout=90))
        return found

    def refused(self, *args: str) -> str:
        """Why a command did not run, or failed."""
        id = self.submit(*args)
        self.on(f"{CLIENT} wait {id} --timeout 60", well=False, timeout=90)
        told = self.task(id)
        assert told["status"] == "dead", told
        return str(told["error"])

    def everywhere(self) -> str:
        """All that anybody on the host can see of the unit and what it runs, and all that root can but the secret's
        own file: arguments, units, configuration, logs, what it keeps."""
        return self.on(
            f"ps -eo args; systemctl show {UNIT}; systemctl cat {UNIT}; journalctl --no-pager -o cat;"
            " cat /etc/swarmops/*.json /etc/swarmops/.env;"
            " find /var/lib/swarmops* -type f -size -1M -exec cat {} + | tr -d '\\0'"
        )


@pytest.fixture(scope="module")
def work(can_lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    if version() < LEAST:
        lacking(f"this kernel has no Landlock of version {LEAST} or newer")
    small = Small.up("shell", [Guest(HOST, ADDRESS)], tmp_path_factory.mktemp("shell"))
    try:
        roles = ("redis", "client", "tools", "shell")
        small.declare(
            {
                "deployment": {"name": "work", "tier": "lan"},
                "infrastructure": dict.fromkeys(roles, "all"),
                "services": {
                    "redis": {"clients": ["shell"]},
                    "shell": {"commands": COMMANDS, "folders": ["/srv/shared"]},
                },
                "network": {"mesh": {"mode": "none"}},
            },
            {"work": {HOST: {"ansible_host": ADDRESS}}},
        )
        small.file("roles/tools/role.yaml", TOOLS)
        try:  # here, since the lab's network has no way out
            locked(locks(Path(small.lab.environment()["SWARMOPS_STATE"])), ["worker"], DEBIAN_13)
        except ReleaseError as e:
            lacking(f"wheels for the hosts: {e}")
        assert small.controller.run("secrets", "init").code == 0
        said = small.controller.deploy()
        assert said.code == 0, said
        yield Work(small, Store.at(None, "work", small.controller.env).get("agents.key").open())
    finally:
        small.lab.down(now=True)


def test_one_deploy_and_all_is_well(work: Work) -> None:
    again = work.small.controller.deploy()
    assert again.code == 0 and work.small.controller.changed(again) == [], again
    assert work.small.health("--limit", HOST)["bad"] == {}
    kept = work.small.controller.run("collect-backups", "lan", "--to", "backups")
    assert kept.code == 0, kept


def test_a_command_of_the_list_runs_as_the_units_user_in_a_folder_of_its_own(work: Work) -> None:
    told = work.run("agent", "who", stdin="the prompt")
    assert told["exit"] == 0, told
    user, folder, *rest = told["stdout"].splitlines()
    assert user == UNIT and folder.startswith(f"/var/lib/{UNIT}/tasks/") and rest == ["tmp", "the prompt"]
    assert work.on(f"stat -c '%a %U' {folder}") == f"700 {UNIT}"


def test_what_is_not_on_the_list_is_refused(work: Work) -> None:
    assert "'rm' is not allowed here (allowed: agent, apart, stays, tries)" in work.refused("rm", "-rf")
    assert "'who; id' does not fit 'who|key|talk'" in work.refused("agent", "who; id")


def test_it_is_seen_while_it_runs_and_its_secret_is_nowhere(work: Work) -> None:
    id = work.submit("agent", "talk")
    until(lambda: "first words" in json.dumps(work.task(id)["progress"]), 60, "the first words are told")
    assert work.task(id)["status"] == "running"
    pids = work.on("pgrep -f /opt/agents/agent")
    everywhere = work.everywhere()
    assert "/opt/agents/agent talk" in everywhere, "it was running"
    assert work.key not in everywhere
    assert work.on(
        "grep -rlF -f /etc/swarmops/shell-agent.API_KEY /etc /opt/swarmops/shell/ /var/lib /var/log /srv"
    ) == ("/etc/swarmops/shell-agent.API_KEY")
    assert work.on("stat -c '%a %U' /etc/swarmops/shell-agent.API_KEY") == "600 root"
    work.on("touch /srv/shared/go")
    result = json.loads(work.on(f"{CLIENT} wait {id} --timeout 60", timeout=90))
    assert result["stdout"] == "first words\nlast words\n" and result["files"]["answer/it.md"]["bytes"] == 3
    until(lambda: work.on("pgrep -f 'sleep 197[12]'", well=False) == "", 30, f"nothing is left of {pids}")


def test_the_secret_reaches_the_command_that_asks_for_it_and_no_other(work: Work) -> None:
    assert work.run("agent", "key")["stdout"].split()[0] == hashlib.sha256(work.key.encode()).hexdigest()
    assert "API_KEY" not in work.run("tries", "env")["stdout"]


def test_a_command_reaches_nothing_outside(work: Work) -> None:
    tries = [
        f"cat /run/credentials/{UNIT}.service/agent.API_KEY",
        "cat /etc/swarmops/shell-agent.API_KEY",
        f"ls /var/lib/{UNIT}/tasks",
        f"sh -c 'echo x > /var/lib/{UNIT}/x'",
        "sh -c 'echo x > /srv/shared/x'",  # another command's folder
        "sh -c 'echo x > /etc/x'",
        "sh -c 'echo x > /opt/agents/agent'",
        "ls /home",
        "ls /root",
        "ls /tmp",
        "cat /proc/$PPID/environ",  # the worker's: not even there
        'sh -c "kill -9 $PPID"',
    ]
    told = work.run("tries", "; ".join(f"{what} && echo try {i} WORKED" for i, what in enumerate(tries)))
    said = [line for line in told["stderr"].splitlines() if line]
    assert "WORKED" not in told["stdout"], told
    assert len(said) == len(tries), said
    assert [line for line in said if not re.search("denied|not permitted|Read-only|/proc/.*No such", line)] == []


def test_a_command_with_ports_connects_to_these_alone(work: Work) -> None:
    """What a command without `ports` may is all that the host may: docs/executors.md says so."""
    ask = 'python3 -c \'import socket; print(socket.create_connection(("127.0.0.1", {}), 5) and "through")\''
    assert work.run("tries", ask.format(6379))["stdout"] == "through\n"
    assert work.run("apart", ask.format(22))["stdout"] == "through\n"
    told = work.run("apart", ask.format(6379))
    assert told["exit"] != 0 and "Permission denied" in told["stderr"], told


def test_all_ends_when_its_time_is_over(work: Work) -> None:
    assert "stays was ended after 1.5 s" in work.refused("stays")
    assert work.on("pgrep -f 'sleep 197[34]'", well=False) == ""


def test_the_unit_is_locked_up(work: Work) -> None:
    said = work.on(f"systemd-analyze security --no-pager {UNIT}").splitlines()[-1]
    print(said)
    assert float(said.split(":")[1].split()[0]) <= 2.0, said


def test_a_program_that_is_not_there_gives_way_to_the_commands_before(work: Work) -> None:
    declared = work.small.root / "distributed.yaml"
    good = declared.read_text()
    declared.write_text(good.replace("/opt/agents/agent", "/opt/agents/none", 1))
    assert declared.read_text() != good
    said = work.small.controller.deploy()
    declared.write_text(good)
    why = str(work.small.controller.failed(said))
    assert said.code == 1 and "'/opt/agents/none' is not a program here" in why, said
    assert "the previous /etc/swarmops/shell.json is back and running" in why, said
    assert work.run("agent", "who")["exit"] == 0
    assert work.small.controller.deploy().code == 0


def test_another_secret_reaches_the_next_command(work: Work) -> None:
    rotated = work.small.controller.run("secrets", "rotate", "agents.key")
    assert rotated.code == 0, rotated
    said = work.small.controller.deploy()
    assert said.code == 0, said
    key = Store.at(None, "work", work.small.controller.env).get("agents.key").open()
    assert key != work.key
    assert work.run("agent", "key")["stdout"].split()[0] == hashlib.sha256(key.encode()).hexdigest()
