"""distributed.yaml: what it means, and what the environment overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from distributed_text import ROOT, R, V, read

from swarmops.model.faults import Faults


def test_the_shipped_file_describes_the_six_vms() -> None:
    from swarmops.model import rules
    from swarmops.model.project import Project

    faults = Faults()
    project = Project.open(ROOT, "lan", faults)
    rules.check(project, faults)
    assert [str(f) for f in faults] == []
    assert project.urls() == {
        "coordinator": ["http://172.16.168.20:8002/api/health"],
        "frontend": ["http://172.16.168.21:5173"],
        "npu": ["http://172.16.168.22:8081/health"],
        "redis": ["redis://172.16.168.23:6379"],
        "ai": ["http://172.16.168.24:8080/health"],
        "browser": ["http://172.16.168.25:3000/health"],
    }
    assert project.urls(via="mesh")["redis"] == ["redis://10.77.0.23:6379"]


def test_s4_13_defaults_without_a_section(tmp_path: Path) -> None:
    found, faults = read(tmp_path, V)
    assert faults == [] and found is not None
    assert found.performance.api_timeout == 10  # 10000 ms
    assert found.performance.llm_timeout == 30
    assert found.performance.max_concurrent_requests == 50
    assert found.performance.redis_connection_timeout == 2
    assert (found.monitoring.interval, found.monitoring.timeout) == (60, 5)
    assert found.monitoring.retention == 7 * 86400
    assert found.deployment.mode == "distributed" and found.deployment.tier == "lan"


def test_the_original_numbers_keep_their_units(tmp_path: Path) -> None:
    text = V + "performance: {api_timeout: 10000, llm_timeout: 30}\nmonitoring: {retention: 7, interval: 30}\n"
    found, faults = read(tmp_path, text)
    assert faults == [] and found is not None
    assert (found.performance.api_timeout, found.monitoring.retention) == (10, 7 * 86400)


def test_x_02_dead_after_three_heartbeats(tmp_path: Path) -> None:
    found, _ = read(tmp_path, V + "performance: {heartbeat_interval: 10s, lease: 12s}\n")
    assert found is not None
    assert (found.performance.heartbeat_ttl, found.performance.lease_renew) == (30, 4)


def test_sections_are_plain_data_for_templates(tmp_path: Path) -> None:
    text = V + "network: {subnet: 10.1.0.0/16}\nhardware: {redis: {memory: 2gb}}\nservices: {redis: {port: 6379}}\n"
    found, _ = read(tmp_path, text)
    assert found is not None
    assert found.section("network")["subnet"] == "10.1.0.0/16"
    assert found.section("hardware")["redis"]["memory"] == 2 * 2**30
    assert found.section("performance")["api_timeout"] == 10
    assert found.section("services") == {"redis": {"port": 6379}}


@pytest.mark.parametrize("mode", ["hybrid", "distributed", "local"])
def test_s4_14_modes_render_from_one_inventory(declared: Any, mode: str) -> None:
    text = V + R + f"deployment: {{mode: {mode}}}\nservices: {{redis: {{port: 6379}}}}\n"
    project, faults = declared.write(text).open()
    assert not faults
    where = "127.0.0.1" if mode == "local" else "172.16.168.23"
    assert project.urls()["redis"] == [f"redis://{where}:6379"]


def test_s4_11_an_original_file_loads_with_a_port_warning(tmp_path: Path) -> None:
    text = """\
deployment: {mode: distributed, environment: production}
infrastructure:
  vms:
    main: {ip: 172.16.168.20, port: 8001}
    redis: {ip: 172.16.168.23, port: 6379}
    npu-worker: {ip: 172.16.168.22, port: 8081}
services:
  backend: {host: 172.16.168.20, port: 8443}
unheard_of: {a: 1}
"""
    found, faults = read(tmp_path, text)
    assert found is not None and all(": warning: " in f for f in faults)
    assert found.services == {"coordinator": {"port": 8443}, "redis": {"port": 6379}, "npu": {"port": 8081}}
    assert list(found.infrastructure) == ["coordinator", "redis", "npu"]
    assert (
        "distributed.yaml:4:37: infrastructure.vms.main: warning: port 8001 here, 8443 in "
        "distributed.yaml:8:40; 8443 counts (write it once, in services)"
    ) in faults


def test_reading_it_takes_no_time_worth_mentioning(tmp_path: Path) -> None:
    import time

    text = (ROOT / "distributed.yaml").read_text()
    read(tmp_path, text)
    start = time.perf_counter()
    for _ in range(10):
        read(tmp_path, text)
    assert (time.perf_counter() - start) / 10 < 1


def test_overrides_win_and_others_of_our_variables_are_left_alone(tmp_path: Path) -> None:
    environ = {
        "SWARMOPS_PERFORMANCE_LLM_TIMEOUT": "5m",
        "SWARMOPS_SERVICES_REDIS_PORT": "6380",
        "SWARMOPS_NETWORK_MESH_PORT": "51821",
        "SWARMOPS_FEATURES_VNC": "true",
        "SWARMOPS_STATE": "/tmp/x",
        "SWARMOPS_SECRETS": "/tmp/y",
        "SWARMOPS_SECRET_REDIS_APP": "z",
    }
    found, faults = read(tmp_path, V + "services: {redis: {port: 1, maxmemory: 1gb}}\n", **environ)
    assert faults == [] and found is not None
    assert found.performance.llm_timeout == 300
    assert found.services == {"redis": {"port": 6380, "maxmemory": "1gb"}}
    assert (found.network.mesh.port, found.features) == (51821, {"vnc": True})


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SWARMOPS_PERFORMANCE_LLM_TIMEOUT", "5 parsecs", "performance.llm_timeout: '5 parsecs' is not a time"),
        ("SWARMOPS_SERVICES_REDIS_PORT", "0", "services.redis.port: 0 is not a port"),
        ("SWARMOPS_NETWORK_MESH_RANGE", "10.77.0.1/24", "network.mesh.range: '10.77.0.1/24' has host bits set"),
        ("SWARMOPS_DEPLOYMENT_TIER", "mars", "deployment.tier: 'mars' is not a tier"),
        ("SWARMOPS_MONITORING_INTERVALL", "3s", "no setting of distributed.yaml has this name (did you mean "),
        ("SWARMOPS_SECURITY_TLS", "[unclosed", "security.tls: '[unclosed' is not true or false"),
    ],
)
def test_case_52_a_bad_override_names_its_variable(tmp_path: Path, variable: str, value: str, said: str) -> None:
    _, faults = read(tmp_path, V + "services: {redis: {port: 1}}\n", **{variable: value})
    assert len(faults) == 1 and faults[0].startswith(f"{variable}: {said}")
