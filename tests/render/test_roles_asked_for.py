"""Roles that are off unless asked for, `shell` and `redisinsight`: what they make, and every mistake at its place."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmops.model import declared
from swarmops.model.faults import Faults, InputError
from swarmops.model.project import Project
from swarmops.model.secrets import Store
from swarmops.operate.status import services_of, urls
from swarmops.planning import commands
from swarmops.planning.plan import Plan, make_plans
from swarmops.workers.shell.commands import rules_of
from tests.conftest import lacking

ROOT = Path(__file__).parents[2]
PAGE = """\
version: 1
deployment: {{name: small, tier: lan}}
infrastructure: {{redis: redis, client: "all:!redis", coordinator: work, {role}: {on}, firewall: all}}
services:
  redis: {{clients: [coordinator, shell]}}
  coordinator: {{port: 8002}}
  {role}: {said}
network: {{controllers: [10.99.0.1/32]}}
"""
HOSTS = """\
all:
  vars: {ansible_user: ops}
  children:
    redis: {hosts: {redis-1: {ansible_host: 10.99.0.2}}}
    work: {hosts: {work-1: {ansible_host: 10.99.0.3, ansible_port: 2222}}}
"""
GIVEN = f"{{url: 'https://files.example/ri.tar.gz', checksum: 'sha256:{'0' * 64}'}}"
Make = Callable[..., "Made"]


class Made:
    def __init__(self, project: Project, plans: dict[str, Plan]):
        self.project, self.plans = project, plans

    def text(self, host: str, path: str) -> str:
        plan = self.plans[host]
        return plan.contents[next(f.sha for f in plan.files if f.path == path)].decode()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Plans of two hosts with one role more; raises InputError with all faults."""
    monkeypatch.setenv("SWARMOPS_SECRETS", str(tmp_path / "store/secrets.yaml"))
    monkeypatch.setenv("SWARMOPS_STATE", str(tmp_path / "state"))
    store = Store.at(None, "small")
    users = ("admin", "app", "health", "backup", "replica")
    tokens = ("admin", "read", "agent", "worker")
    for name in [
        "tls.ca",
        "agents.key",
        "redisinsight.key",
        *(f"redis.{u}" for u in users),
        *(f"api.{t}" for t in tokens),
    ]:
        store.create(name)

    def make(role: str, said: str, on: str = "work") -> Made:
        (tmp_path / "inventory").mkdir(exist_ok=True)
        (tmp_path / "inventory/lan.yaml").write_text(HOSTS)
        (tmp_path / "distributed.yaml").write_text(PAGE.format(role=role, said=said, on=on))
        faults = Faults()
        project = Project.open(tmp_path, None, faults)
        declared.check(project, faults)
        plans = make_plans(project, faults=faults)
        faults.stop_if_any()
        return Made(project, plans)

    return make


def faults_of(make: Make, role: str, said: str, on: str = "work") -> list[str]:
    with pytest.raises(InputError) as refused:
        make(role, said, on)
    return refused.value.lines()[:-1]


def exposure(unit: str, name: str, folder: Path) -> float:
    if not shutil.which("systemd-analyze"):
        lacking("systemd-analyze is not installed")
    (folder / name).write_text(unit)
    asked = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(folder / name)]
    said = subprocess.run(asked, capture_output=True, text=True).stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert found, said
    return float(found[1])


# -- shell

COMMANDS = """{folders: [/srv/agents], options: {limits: {output: 1mb}, grace: 3s}, commands: {
    words: {argv: [/usr/bin/wc, -w]},
    agent: {argv: [/opt/agents/agent, 3], args: {most: 1, match: "[a-z]+"}, timeout: 10m, env: {COLOUR: red},
            secrets: {API_KEY: {secret: agents.key}}, read: [/srv/data], write: [/srv/agents/out], dir: /srv/agents,
            files: ["*.md"], ports: [443], check: true}}}"""


def test_the_worker_is_told_its_commands_and_no_secret(make: Make, tmp_path: Path) -> None:
    made = make("shell", COMMANDS)
    text = made.text("work-1", "/etc/swarmops/shell.json")
    options = json.loads(text)["options"]
    assert options["limits"] == {"output": 1 << 20} and options["grace"] == 3
    assert options["commands"]["words"] == {"argv": ["/usr/bin/wc", "-w"]}
    agent = options["commands"]["agent"]
    assert agent["argv"] == ["/opt/agents/agent", "3"] and agent["timeout"] == 600 and agent["ports"] == [443]
    assert agent["secrets"] == {"API_KEY": "agent.API_KEY"}
    unit = made.text("work-1", "/etc/systemd/system/swarmops-shell.service")
    assert "LoadCredential=agent.API_KEY:/etc/swarmops/shell-agent.API_KEY\n" in unit
    assert "ReadWritePaths=/srv/agents\n" in unit
    key = Store.at(None, "small").get("agents.key").open()
    holders = {
        f"{host} {f.path}" for host, p in made.plans.items() for f in p.files if key.encode() in p.contents[f.sha]
    }
    assert holders == {"work-1 /etc/swarmops/shell-agent.API_KEY"}
    assert key not in json.dumps([[*p.steps, *p.checks, *p.backups] for p in made.plans.values()])
    step = next(s for s in made.plans["work-1"].steps if "API_KEY" in s["id"])
    assert step["secret"] and step["args"]["mode"] == "0600"
    assert exposure(unit, "swarmops-shell.service", tmp_path) <= 2.0


def test_what_is_declared_is_what_the_worker_reads(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every word that planning lets through is one that the worker knows, with the same meaning."""
    options = json.loads(make("shell", COMMANDS).text("work-1", "/etc/swarmops/shell.json"))["options"]
    assert set(options["commands"]["agent"]) == set(commands.Command.fields), "the example above has all of them"
    (tmp_path / "agent.API_KEY").write_text("x")
    agent = options["commands"]["agent"]
    agent["argv"][0], agent["dir"] = "/bin/true", str(tmp_path)  # what the host has
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    faults: list[str] = []
    rules = rules_of(options, tmp_path, faults)
    assert faults == [] and rules.commands["agent"].timeout == 600 and rules.commands["agent"].ports == (443,)
    assert set(commands.Options.fields) == set(
        re.findall(r'(?:fields\.\w+\(|fields\.inner\()"(\w+)"', inspect.getsource(rules_of))
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("{commands: {a: {argv: [/bin/ls], <tiemout: 5}}}", "a.tiemout: unknown key (did you mean 'timeout'?)"),
        ("{commands: {a: {argv: [<ls]}}}", "a.argv[0]: 'ls' is not the whole path of a program"),
        ("{commands: {a: {argv: [<bin/ls]}}}", "'bin/ls' is not the whole path of a program"),
        ("{commands: {a: {argv: [</bin/bash, -c, x]}}}", "'/bin/bash' is a shell"),
        ("{commands: {a: {argv: [</usr/bin/zsh-5.9]}}}", "is a shell"),
        ("{commands: {a: {argv: [</usr/bin/env, ls]}}}", "'/usr/bin/env' runs other programs"),
        ("{commands: {a: {argv: <[]}}}", "must be a list that begins with a program"),
        ("{commands: {a: {argv: </bin/ls}}}", "must be a list that begins with a program"),
        ("{commands: {a: <{}}}", "'argv' is missing"),
        ("{commands: {A b: <{argv: [/bin/ls]}}}", "'A b' is not a name"),
        ("{commands: {a: {argv: [</bin/../bin/ls]}}}", "has '..'"),
        ("{commands: {a: {argv: [</home/me/ls]}}}", "commands of the unit do not see '/home/me/ls'"),
        ("{commands: {a: {argv: [/bin/ls, <{secret: agents.key}]}}}", "a secret in an argument could be seen"),
        ("{commands: {a: {argv: [/bin/ls], env: {a-b: <x}}}}", "'a-b' is not a name for an environment variable"),
        ("{commands: {a: {argv: [/bin/ls], env: {LD_PRELOAD: <x}}}}", "changes which code programs load"),
        ("{commands: {a: {argv: [/bin/ls], env: {HOME: <x}}}}", "HOME is set for every command"),
        ("{commands: {a: {argv: [/bin/ls], env: {N: <5}}}}", "text is wanted here, not the number 5"),
        ("{commands: {a: {argv: [/bin/ls], env: {X: <{secret: agents.key}}}}}", "would stand in the configuration"),
        ("{commands: {a: {argv: [/bin/ls], secrets: {X: <hello}}}}", "must refer to a secret"),
        ("{commands: {a: {argv: [/bin/ls], secrets: {API_KEY: <hello}}}}", "a secret stands here in plain text"),
        ("{commands: {a: {argv: [/bin/ls], env: {X: x}, secrets: <{X: {secret: agents.key}}}}}", "in `env` already"),
        ("{commands: {a: {argv: [/bin/ls], timeout: <soon}}}", "'soon' is not a time"),
        ("{commands: {a: {argv: [/bin/ls], args: {match: <'('}}}}", "is not a regular expression"),
        ("{commands: {a: {argv: [/bin/ls], args: {most: <-1}}}}", "-1 is not a number of arguments"),
        ("{commands: {a: {argv: [/bin/ls], ports: [443, <0]}}}", "a.ports[1]: 0 is not a port"),
        ("{commands: {a: {argv: [/bin/ls], files: [<../x]}}}", "is not within the task's folder"),
        ("{commands: {a: {argv: [/bin/ls], read: [</root/x]}}}", "do not see '/root/x'"),
        ("{commands: {a: {argv: [/bin/ls], write: [</srv/x]}}}", "'/srv/x' is in none of the folders"),
        ("{commands: {a: {argv: [/bin/ls], dir: </srv/x}}}", "'/srv/x' is in none of the folders"),
        ("{folders: [</etc/agents]}", "'/etc/agents' is the system's"),
        ("{folders: [</srv]}", "'/srv' is the system's"),
        ("{folders: [</home/agents]}", "the unit does not see '/home/agents'"),
        ("{folders: [<agents]}", "'agents' is not an absolute path"),
        ("{options: {user: <root}}", "commands run as the unit's own"),
        ("{options: {commands: <{}}}", "they are shell_commands"),
        ("{options: {<kep: 3}}", "options.kep: unknown key (did you mean 'keep'?)"),
        ("{options: {limits: {memory: <much}}}", "limits.memory: 'much' is not a size"),
        ("{commands: <[ls]}", "is not a map of settings"),
        ("{port: <8002}", "port 8002 on work-1 is taken by coordinator"),
    ],
)
def test_a_mistake_is_named_at_its_place(make: Make, said: str, words: str) -> None:
    """`<` stands before the place."""
    column = len("  shell: ") + said.index("<") + 1
    found = faults_of(make, "shell", said.replace("<", ""))
    assert len(found) == 1 and words in found[0], found
    assert found[0].startswith(f"distributed.yaml:7:{column}: services.shell."), found


def test_all_mistakes_are_named_at_once(make: Make) -> None:
    found = faults_of(
        make, "shell", "{commands: {a: {argv: [ls], tiemout: 5}, b: {}}, folders: [x], options: {kep: 1}}"
    )
    assert len(found) == 5, found


def test_a_secret_that_is_not_there_is_named(make: Make) -> None:
    found = faults_of(make, "shell", "{commands: {a: {argv: [/bin/ls], secrets: {X: {secret: agents.none}}}}}")
    assert any("agents.none" in line for line in found), found


def test_the_coordinator_watches_it_and_a_worker_beside_others_has_a_name_of_its_own(make: Make) -> None:
    told = json.loads(make("shell", COMMANDS).text("work-1", "/etc/swarmops/coordinator.json"))
    assert {"role": "shell", "url": "http://127.0.0.1:8082/health"}.items() <= {
        k: v for s in told["services"] if s["role"] == "shell" for k, v in s.items()
    }.items()


# -- redisinsight


def test_redis_insight_stays_on_loopback(make: Make, tmp_path: Path) -> None:
    """S4-07. Rendered and judged; its archive is the user's, so that it is not run here."""
    made = make("redisinsight", GIVEN, on="redis")
    unit = made.text("redis-1", "/etc/systemd/system/swarmops-redisinsight.service")
    assert 'Environment="RI_APP_HOST=127.0.0.1"\n' in unit and 'Environment="RI_APP_PORT=8002"\n' in unit
    assert "User=swarmops-redisinsight\n" in unit and "8002" not in made.text("redis-1", "/etc/nftables.conf")
    key = Store.at(None, "small").get("redisinsight.key").open()
    assert key not in unit + made.text("redis-1", "/usr/local/lib/swarmops/redisinsight")
    assert exposure(unit, "swarmops-redisinsight.service", tmp_path) <= 2.0
    program = tmp_path / "redisinsight"
    program.write_text(made.text("redis-1", "/usr/local/lib/swarmops/redisinsight"))
    program.chmod(0o755)
    (tmp_path / "swarmops-redisinsight.service").write_text(
        unit.replace("/usr/local/lib/swarmops/redisinsight", str(program))
    )
    judged = ["systemd-analyze", "verify", str(tmp_path / "swarmops-redisinsight.service")]
    done = subprocess.run(judged, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    subprocess.run(["sh", "-n", str(program)], check=True)


def test_status_says_how_to_reach_what_is_on_loopback(make: Make) -> None:
    project = make("redisinsight", GIVEN.replace("url", "port: 8012, url"), on="work").project
    row = next(r for r in urls(project) if r["service"] == "redisinsight")
    assert row["url"] == "http://127.0.0.1:8012/" and row["node"] == "work-1"
    assert row["more"]["tunnel"] == "ssh -L 8012:127.0.0.1:8012 -p 2222 ops@10.99.0.3"
    assert "redisinsight" in services_of(project)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("{}", "say where its archive is: redisinsight_archive, or redisinsight_url with redisinsight_checksum"),
        ("{url: 'https://files.example/x'}", "redisinsight_url needs redisinsight_checksum: sha256:..."),
        ("{archive: none.tar.gz}", "there is no templates/redisinsight/none.tar.gz"),
        (GIVEN.replace("0" * 64, "beef"), "checksum must be sha256: and 64 hex digits"),
        (GIVEN.replace("url", "environment: {RI_APP_HOST: 0.0.0.0}, url"), "RI_APP_HOST is the role's to say"),
    ],
)
def test_redis_insight_is_not_guessed(make: Make, said: str, words: str) -> None:
    found = faults_of(make, "redisinsight", said, on="redis")
    assert any(words in line for line in found), found


@pytest.mark.parametrize("said", [GIVEN, GIVEN.replace("url", "port: 8002, url")], ids=["by default", "said"])
def test_two_services_never_share_a_port_of_a_host(make: Make, said: str) -> None:
    """X-01: the coordinator's 8002 and that of Redis Insight."""
    found = faults_of(make, "redisinsight", said)
    assert len(found) == 1 and "port 8002 on work-1 is taken by coordinator (each service needs its own)" in found[0], (
        found
    )
