"""One pool of agents at home, in an office and in the cloud (S1-01, S1-16, S1-17, S1-38): each home has a NAT of its
own, the coordinator has TLS with a certificate by the deployment's CA, and all connections go outwards.

The NATs are real: the network between hides the agents' addresses and lets nobody in who was not called.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from swarmops.delivery.release import locks
from swarmops.delivery.release.lock import locked
from swarmops.delivery.release.parts import ReleaseError, Target
from swarmops.lab import Guest
from swarmops.model.authority import make_ca
from swarmops.model.secrets import Store
from swarmops.planning.certificates import public_part
from tests.conftest import lacking
from tests.infra.small import Small, until

ROOT = Path(__file__).parents[2]
DEBIAN_13 = Target("3.13", "x86_64", "glibc 2.41")
CLOUD, HOME, OFFICE = "10.71.0.11", "10.72.0.12", "10.73.0.13"
SEEN = {"home-1": "10.71.0.2", "office-1": "10.71.0.3"}  # all that the cloud ever sees of them
URL = f"https://{CLOUD}:8002"
NATS = f"""
table ip nat_boxes {{
  set cut {{ type ipv4_addr; }}
  chain out {{
    type nat hook postrouting priority 100;
    ip saddr 10.72.0.0/24 ip daddr 10.71.0.0/24 snat to {SEEN["home-1"]}
    ip saddr 10.73.0.0/24 ip daddr 10.71.0.0/24 snat to {SEEN["office-1"]}
  }}
  chain in {{
    type filter hook forward priority 0; policy accept;
    ip saddr @cut drop
    ip daddr @cut drop
    ct state established,related accept
    ip daddr {{ 10.72.0.0/24, 10.73.0.0/24 }} drop
  }}
}}
"""
SECTIONS: dict[str, Any] = {
    "deployment": {"name": "pool", "tier": "lan"},
    "infrastructure": dict.fromkeys(("base", "redis", "client", "coordinator", "firewall"), "cloud"),
    "services": {
        "redis": {"port": 6379, "maxmemory": "64mb", "clients": ["coordinator"]},
        "coordinator": {
            "port": 8002,
            "path": "/api/health",
            "tls": True,
            "clients": ["controller", *(f"{a}/32" for a in SEEN.values())],
            "agents": {"heartbeat": 1, "grace": 20},  # so that a link that is cut is noticed within 8 s
        },
    },
    "network": {"subnet": "10.71.0.0/24", "controllers": ["10.71.0.1/32"]},
}
ASK = """
import json, os, sys
from swarmops.client import Client
said = json.load(sys.stdin)
with Client(said["url"], os.environ["TOKEN"], ca=said["ca"]) as client:
    json.dump(eval(said["what"], {"client": client, **said["names"]}), sys.stdout)
"""
KNOCK = """
import socket, sys
for place in sys.argv[1:]:
    host, _, port = place.partition(":")
    try:
        socket.create_connection((host, int(port)), 1.5).close(); print(place, "open")
    except OSError as e:
        print(place, "closed")
"""


class Pool:
    """The cloud, deployed, and agents at three places. ca: a file of the deployment's CA, as a user saves it."""

    def __init__(self, small: Small, folder: Path):
        self.small, self.folder, self.ca = small, folder, folder / "ca.crt"
        said = small.controller.run("secrets", "show", "tls.ca", "--public")
        assert said.code == 0 and "PRIVATE" not in said.out, said
        self.ca.write_text(said.out)
        self.store = Store.at(None, "pool", small.controller.env)
        self.agents: dict[str, subprocess.Popen[bytes]] = {}

    def token(self, who: str) -> str:
        return f"{who}.{self.store.get(f'api.{who}').open()}"

    def ask(self, what: str, who: str = "worker", **names: Any) -> Any:
        """What an expression with `client` gives, which stands on the controller."""
        said = {"url": URL, "ca": str(self.ca), "what": what, "names": names}
        argv = self.small.lab.controller_argv([sys.executable, "-c", ASK])
        env = {**os.environ, "TOKEN": self.token(who)}
        done = subprocess.run(argv, input=json.dumps(said), env=env, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, host: str, name: str, ca: Path | None = None, url: str = URL) -> None:
        """An agent over WebSocket in the network of a host."""
        program = [sys.executable, str(ROOT / "tests/infra/nat_agent.py"), url, name, str(ca or self.ca)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TOKEN": self.token("agent"), "PYTHONUNBUFFERED": "1"}
        self._run(name, self.small.network_of(host, program), env)

    def start_plain(self, host: str, name: str) -> None:
        """The agent of docs/agents-http.md, with the host's own Python and nothing else."""
        page = (ROOT / "docs/agents-http.md").read_text()
        code = page.split("## In Python, with nothing but Python")[1].split("```python\n")[1].split("```")[0]
        old = 'HANDLERS = {"upper": lambda text: text.upper(), "add": lambda a, b: a + b}'
        assert old in code
        home = self.small.files_of(host) / "root"
        (home / "agent.py").write_text(
            code.replace(old, 'HANDLERS = {"where": lambda n: (time.sleep(0.1), [ME, n])[1]}')
        )
        (home / "ca.crt").write_text(self.ca.read_text())
        settings = f"export SWARMOPS_TOKEN={self.token('agent')} AGENT_ID={name} SSL_CERT_FILE=/root/ca.crt\n"
        (home / "settings").write_text(settings)
        script = f". /root/settings; exec python3 -u /root/agent.py {URL}"
        self._run(name, self.small.lab.host_argv(host, ["sh", "-c", script]), dict(os.environ))

    def _run(self, name: str, argv: Sequence[str], env: dict[str, str]) -> None:
        with open(self.folder / f"{name}.log", "wb") as log:
            self.agents[name] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self, name: str) -> None:
        one = self.agents.pop(name)
        one.terminate()
        with suppress(subprocess.TimeoutExpired):
            one.wait(10)
        if one.poll() is None:
            one.kill()
            one.wait()

    def there(self) -> set[str]:
        return {a["id"] for a in self.ask("client.agents('where')", "read")}

    def cut(self, address: str, *, off: bool) -> None:
        words = f"{'add' if off else 'delete'} element ip nat_boxes cut {{ {address} }}"
        self.small.lab.exec(None, ["nft", words], check=True)

    def where(self, count: int) -> Counter[str]:
        """Who did what of `count` tasks of the one queue. None is lost, none is done for two."""
        tasks = [{"type": "where", "args": {"n": n}} for n in range(count)]
        told = self.ask("[client.result(id, 60) for id in client.submit_many(tasks)]", tasks=tasks)
        assert [n for _, n in told] == list(range(count))
        return Counter(name for name, _ in told)


@pytest.fixture(scope="module")
def pool(can_lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    guests = [Guest("cloud-1", CLOUD), Guest("home-1", HOME), Guest("office-1", OFFICE)]
    small = Small.up("pool", guests, folder)
    found: Pool | None = None
    try:
        try:  # here, since the lab's network has no way out
            locked(locks(small.lab.files.controller), ["api"], DEBIAN_13)
        except ReleaseError as e:
            lacking(f"wheels for the hosts: {e}")
        for address in SEEN.values():
            small.lab.exec(None, ["ip", "address", "add", f"{address}/24", "dev", "lab0"], check=True)
        small.lab.exec(None, ["nft", "-f", "-"], input=NATS, check=True)
        small.declare(SECTIONS, {"cloud": {"cloud-1": {"ansible_host": CLOUD}}})
        assert small.controller.run("secrets", "init").code == 0
        found = Pool(small, folder)
        found.start("home-1", "home")  # before there is a coordinator: it waits for it (S1-17)
        deployed = small.controller.deploy()
        assert deployed.code == 0, deployed
        found.start("office-1", "office")
        found.start("cloud-1", "cloud")
        found.start_plain("office-1", "plain")
        until(lambda: found.there() == {"home", "office", "cloud", "plain"}, 40, "all of them registered")
        yield found
    finally:
        for name in list(found.agents if found else ()):
            found.stop(name)  # type: ignore[union-attr]
        small.lab.down(now=True)


def test_agents_behind_two_nats_and_one_of_the_cloud_work_off_one_queue(pool: Pool) -> None:
    assert "not connected" in pool.log("home"), "it was there before the coordinator, and came by itself"
    did = pool.where(80)
    assert set(did) == {"home", "office", "cloud", "plain"} and min(did.values()) >= 5, did


def test_they_connect_outwards_only(pool: Pool) -> None:
    """The cloud sees the NATs and nobody behind them, and cannot come in to either."""
    peers = pool.small.on("cloud-1", "ss -Htn state established '( sport = :8002 )'")
    seen = set(re.findall(r"(10\.7\d\.0\.\d+):\d+\s*$", peers, re.M)) - {CLOUD, "10.71.0.1"}
    assert seen == set(SEEN.values()), peers
    listen = "import socket; s = socket.create_server(('0.0.0.0', 7000)); print('up', flush=True); s.accept()"
    doors = [
        subprocess.Popen(pool.small.network_of(host, [sys.executable, "-c", listen]), stdout=subprocess.PIPE, text=True)
        for host in SEEN
    ]
    try:
        assert all(door.stdout and door.stdout.readline() for door in doors)
        places = [f"{a}:7000" for a in (HOME, OFFICE, *SEEN.values())]
        assert pool.small.python("cloud-1", KNOCK, *places).split("\n") == [f"{p} closed" for p in places]
        assert pool.small.python("home-1", KNOCK, f"{OFFICE}:7000", "127.0.0.1:7000").split("\n") == [
            f"{OFFICE}:7000 closed",
            "127.0.0.1:7000 open",
        ]
    finally:
        for door in doors:
            door.kill()
            door.wait()


def test_another_ca_is_refused_and_so_is_plain_http(pool: Pool) -> None:
    other = pool.folder / "other.crt"
    other.write_text(public_part(make_ca("another")))
    pool.start("office-1", "fooled", ca=other)
    pool.start("office-1", "naked", url=URL.replace("https", "http"))
    until(lambda: "its certificate is not trusted" in pool.log("fooled"), 30, "it says why")
    until(lambda: "it speaks TLS there (write https://)" in pool.log("naked"), 30, "it says why")
    assert not pool.there() & {"fooled", "naked"}
    for name in ("fooled", "naked"):
        pool.stop(name)
        assert "Traceback" not in pool.log(name)


def test_a_link_that_was_cut_comes_back_by_itself_and_what_ran_goes_on(pool: Pool) -> None:
    """Nothing passes the NAT at home for longer than the agent waits. It goes on with the same attempt."""
    held = pool.ask("client.submit('hold-home', {'seconds': 12}, timeout=60)")
    until(lambda: "holding" in pool.log("home"), 20, "it has begun")
    before = pool.log("home").count("registered as home")
    pool.cut(HOME, off=True)
    did = pool.where(20)
    assert set(did) <= {"office", "cloud", "plain"} and did["office"] and did["cloud"], did
    until(lambda: "nothing was heard for too long" in pool.log("home"), 30, "it has noticed")
    pool.cut(HOME, off=False)
    until(lambda: pool.log("home").count("registered as home") > before, 30, "it is back")
    assert pool.ask(f"client.result({held!r}, 60)") == ["home", "held", 1]
    did = pool.where(60)
    assert set(did) == {"home", "office", "cloud", "plain"}, did


def test_all_is_well_by_https(pool: Pool) -> None:
    small = pool.small
    health = small.health("--deadline", "20")
    if health["bad"]:  # a busy machine may be slow to log in
        health = small.health("--deadline", "60")
    assert not health["bad"], health["bad"]
    names = {c["name"] for h in health["hosts"] for c in h["checks"]}
    assert {"certificate holds", "coordinator can be reached"} <= names
    assert f"coordinator  well  {URL}" in re.sub(r" +", "  ", small.controller.run("status").out)
    assert pool.ask("client.fleet()", "read")["nodes"][0]["services"][0]["state"] == "ok"


def test_certificates_are_renewed_with_the_ca(pool: Pool) -> None:
    small = pool.small
    assert small.controller.run("secrets", "rotate", "tls.ca").code == 0
    both = small.controller.deploy("--tags", "tls")
    assert both.code == 0, both
    until(lambda: len(pool.there()) == 4, 60, "those who know the old CA are still let in")
    assert small.controller.run("secrets", "rotate", "tls.ca", "--finish").code == 0
    new = small.controller.deploy("--tags", "tls")
    assert new.code == 0, new
    until(lambda: "its certificate is not trusted" in pool.log("office"), 60, "the old CA is nobody's any more")
    pool.ca.write_text(small.controller.run("secrets", "show", "tls.ca", "--public").out)
    pool.start("office-1", "renewed")
    until(lambda: "renewed" in pool.there(), 40, "who has the new CA is let in")
