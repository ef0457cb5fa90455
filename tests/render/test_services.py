"""The roles of services: who reaches whom, what a unit is handed, several hosts of a role, several roles on a host."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from swarmops.model.faults import Faults, InputError
from swarmops.model.project import Project
from swarmops.model.secrets import Store
from swarmops.planning.plan import Plan, make_plans, waves
from tests.conftest import lacking

SERVICES = ("coordinator", "frontend", "npu", "ai", "browser")
DECLARED: dict[str, Any] = {
    "version": 1,
    "deployment": {"name": "small", "tier": "lan"},
    "infrastructure": {
        "redis": "redis",
        "client": "all:!redis",
        **{role: role for role in SERVICES},
        "firewall": "all",
    },
    "services": {"redis": {"clients": ["coordinator", "npu", "ai", "browser"]}, "ollama": {"port": 11434}},
    "network": {"controllers": ["10.99.0.1/32"]},
}
ONE_EACH = {role: {f"{role}-1": f"10.99.0.{i}"} for i, role in enumerate(("redis", *SERVICES), 20)}


class Planned:
    def __init__(self, plans: dict[str, Plan]):
        self.plans = plans

    def text(self, host: str, path: str) -> str:
        plan = self.plans[host]
        return plan.contents[next(f.sha for f in plan.files if f.path == path)].decode()

    def json(self, host: str, name: str) -> Any:
        return json.loads(self.text(host, f"/etc/swarmops/{name}.json"))

    def unit(self, host: str, role: str) -> str:
        return self.text(host, f"/etc/systemd/system/swarmops-{role}.service")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Planned]:
    monkeypatch.setenv("SWARMOPS_SECRETS", str(tmp_path / "store/secrets.yaml"))
    monkeypatch.setenv("SWARMOPS_STATE", str(tmp_path / "state"))

    def make(groups: dict[str, dict[str, str]] = ONE_EACH, **sections: Any) -> Planned:
        children = {g: {"hosts": {n: {"ansible_host": a} for n, a in hosts.items()}} for g, hosts in groups.items()}
        (tmp_path / "inventory").mkdir(exist_ok=True)
        (tmp_path / "inventory/lan.yaml").write_text(yaml.safe_dump({"all": {"children": children}}))
        (tmp_path / "distributed.yaml").write_text(yaml.safe_dump({**DECLARED, **sections}, sort_keys=False))
        faults = Faults()
        project = Project.open(tmp_path, None, faults)
        names = ["tls.ca", *(f"redis.{u}" for u in ("admin", "app", "health", "backup", "replica"))]
        for name in [*names, *(f"api.{t}" for t in ("admin", "read", "agent", "worker"))]:
            project.store.create(name)
        plans = make_plans(project, faults=faults)
        faults.stop_if_any()
        return Planned(plans)

    return make


def test_the_coordinator_knows_the_fleet_and_the_page_knows_it(plan) -> None:
    made = plan()
    told = made.json("coordinator-1", "coordinator")
    assert told["bind"] == ["10.99.0.21", "127.0.0.1"] and told["origins"] == [
        "http://10.99.0.22:5173",
        "http://frontend-1:5173",
    ]
    assert {n["name"]: n["roles"] for n in told["nodes"]}["redis-1"] == ["redis"]
    assert {s["name"]: s["url"] for s in told["services"]}["npu-1"] == "http://10.99.0.23:8081/health"
    assert made.json("frontend-1", "frontend")["coordinator"] == "http://10.99.0.21:8002"
    assert made.json("npu-1", "npu")["name"] == "npu-1"
    assert [sorted(w) for w in waves(made.plans)] == [["redis-1"], sorted(f"{role}-1" for role in SERVICES)]


def test_a_role_has_as_many_hosts_as_one_likes_and_a_host_as_many_roles(plan) -> None:
    """S4-41."""
    groups = {**ONE_EACH, "npu": {"npu-1": "10.99.0.23", "npu-2": "10.99.0.33"}, "ai": {"npu-2": "10.99.0.33"}}
    made = plan(groups)
    watched = {s["name"] for s in made.json("coordinator-1", "coordinator")["services"]}
    assert {"npu-1", "npu-2-npu", "npu-2-ai"} <= watched
    assert [made.json("npu-2", role)["name"] for role in ("npu", "ai")] == ["npu-2-npu", "npu-2-ai"]
    assert "10.99.0.33" in made.text("redis-1", "/etc/nftables.conf")


def test_a_port_is_open_to_those_who_need_it(plan) -> None:
    made = plan()
    rules = {h: [line.strip() for line in made.text(h, "/etc/nftables.conf").splitlines()] for h in made.plans}
    assert "ip saddr { 10.99.0.1, 10.99.0.21 } tcp dport 8081 accept" in rules["npu-1"]
    assert "ip saddr { 10.99.0.1, 10.99.0.22 } tcp dport 8002 accept" in rules["coordinator-1"]


@pytest.mark.parametrize("role", SERVICES)
def test_units_are_locked_up_and_hold_no_secret(plan, role: str, tmp_path: Path) -> None:
    """S14."""
    unit = plan().unit(f"{role}-1", role)
    for secret in Store.at(None, "small").values():
        assert secret.open() not in unit
    if not shutil.which("systemd-analyze"):
        lacking("systemd-analyze is not installed")
    file = tmp_path / f"swarmops-{role}.service"
    file.write_text(unit)
    judged = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(file)]
    done = subprocess.run(judged, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_a_unit_is_handed_what_it_reads_and_changes_when_that_does(plan) -> None:
    plain = plan()
    unit = plain.unit("npu-1", "npu")
    assert "LoadCredential=runtime.json:/etc/swarmops/runtime.json" in unit and "client.key" not in unit
    told = plain.json("npu-1", "runtime")
    assert told["url"] == "redis://app@10.99.0.20:6379/0" and told["password_file"] == "redis-app.pass"
    Store.at(None, "small").rotate("redis.app")
    assert plan().unit("npu-1", "npu") != unit and plan().unit("frontend-1", "frontend") == plain.unit(
        "frontend-1", "frontend"
    )
    secure = plan(security={"tls": True})
    assert "LoadCredential=client.key:/etc/swarmops/client.key" in secure.unit("npu-1", "npu")
    told = secure.json("npu-1", "runtime")
    assert told["url"].startswith("rediss://") and (told["ca"], told["key"]) == ("ca.crt", "client.key")
    files = {f.path for f in secure.plans["npu-1"].files}
    assert {f"/etc/swarmops/{told[k]}" for k in ("ca", "cert", "key", "password_file")} <= files


def test_tokens_are_hashes_by_right(plan) -> None:
    made = plan()
    found = {t["id"]: t["scopes"] for t in made.json("coordinator-1", "coordinator-tokens")}
    assert found == {
        "admin": ["admin"],
        "read": ["read"],
        "agent": ["agent", "read"],
        "worker": ["submit", "read"],
    }
    for host in made.plans:
        text = "".join(data.decode() for data in made.plans[host].contents.values())
        assert not any(Store.at(None, "small").get(f"api.{t}").open() in text for t in found)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"services": {"redis": {"clients": ["coordinator"]}}}, "Redis does not let npu-1 in (add npu to"),
        ({"services": {"npu": {"listen": "all"}}}, "known: auto, lan, mesh, both, loopback"),
        ({"services": {"npu": {"listen": "loopback"}}}, "npu on npu-1 listens on loopback only, and coordinator-1"),
    ],
)
def test_what_cannot_work_is_refused_before_any_host(plan, sections: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        plan(**{"services": {**DECLARED["services"], **sections["services"]}})
    assert any(said in line for line in refused.value.lines()), refused.value.lines()


def test_what_is_off_unless_asked_for(plan, tmp_path: Path) -> None:
    """S24, S4-36: loopback only, and no program is guessed."""
    wished = {**DECLARED["infrastructure"], "vnc": "coordinator", "ollama": "ai"}
    Store.at(None, "small").create("vnc.password")
    with pytest.raises(InputError, match="say where its program is"):
        plan(infrastructure=wished)
    given = {"url": "https://models.example/ollama", "checksum": f"sha256:{'0' * 64}"}
    made = plan(infrastructure=wished, services={**DECLARED["services"], "ollama": {"port": 11434, **given}})
    assert "-localhost" in made.text("coordinator-1", "/usr/local/lib/swarmops/desktop")
    assert " 127.0.0.1:6080 " in made.text("coordinator-1", "/etc/systemd/system/swarmops-novnc.service")
    assert "OLLAMA_HOST=127.0.0.1:11434" in made.text("ai-1", "/etc/systemd/system/swarmops-ollama.service")
    for host in ("coordinator-1", "ai-1"):
        rules = made.text(host, "/etc/nftables.conf")
        assert not any(port in rules for port in ("6080", "5901", "11434"))


def test_a_service_on_a_public_address_is_refused(plan) -> None:
    with pytest.raises(InputError, match=r"8\.8\.4\.4 is a public address"):
        plan({**ONE_EACH, "npu": {"npu-1": "8.8.4.4"}})
