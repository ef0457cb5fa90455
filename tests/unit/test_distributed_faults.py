"""distributed.yaml: every mistake one can make in it (reliability-security 3b)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from distributed_text import R, V, read

from swarmops.model.faults import Faults


def test_case_01_a_named_project_without_files(tmp_path: Path) -> None:
    from swarmops.model.project import Project

    faults = Faults()
    Project.open(tmp_path, None, faults)
    (fault,) = faults
    assert str(fault).startswith(f"{tmp_path}/distributed.yaml: there is no such file") and "version: 1" in fault.hint


def test_case_02_a_folder_or_fifo_in_its_place(declared: Any) -> None:
    declared.file.unlink()
    os.mkfifo(declared.file)
    assert "distributed.yaml: is a fifo, not a file" in [str(f) for f in declared.open()[1]]
    declared.file.unlink()
    declared.file.mkdir()
    assert "distributed.yaml: is a folder, not a file" in [str(f) for f in declared.open()[1]]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_case_04_empty(tmp_path: Path, text: str) -> None:
    found, faults = read(tmp_path, text)
    assert found is None and faults == ["distributed.yaml:1:1: is empty (it begins with version: 1)"]


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "42\n"])
def test_case_05_not_a_map(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text)[1] == ["distributed.yaml:1:1: is not a map of sections (it begins with version: 1)"]


def test_case_06_tab(tmp_path: Path) -> None:
    (fault,) = read(tmp_path, "network:\n\tsubnet: 10.0.0.0/8\n")[1]
    assert fault.startswith("distributed.yaml:2:1: a tab in the indentation")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\nversion: 1\n", "version"),
        ("version: 1\n---\nversion: 1\n", "document"),
        ("a: !!python/object:os.system {}\n", "tag"),
    ],
)
def test_case_14_15_16_tags_documents_duplicates(tmp_path: Path, text: str, said: str) -> None:
    faults = read(tmp_path, text)[1]
    assert faults and said in faults[0]


def test_case_17_unknown_keys_with_the_nearest(declared: Any) -> None:
    found = declared.faults(V + R + "netwrok: {}\nperformance: {llm_timout: 3s}\nnetwork: {mesh: {rang: 10.0.0.0/8}}\n")
    assert found == [
        "distributed.yaml:3:1: netwrok: unknown section (did you mean 'network'?)",
        "distributed.yaml:4:15: performance.llm_timout: unknown key (did you mean 'llm_timeout'?)",
        "distributed.yaml:5:18: network.mesh.rang: unknown key (did you mean 'range'?)",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("services: {redis: {port: abc}}", "4:26: services.redis.port: 'abc' is not a port"),
        ("services: [redis]", "4:11: services: a list is not a map of settings (write key: value lines below it)"),
        ("network: 10.0.0.0/8", "4:10: network: '10.0.0.0/8' is not a map of settings"),
        ("infrastructure: {redis: {a: 1}}", "4:26: infrastructure.redis.a: unknown key (known: hosts, serial)"),
        ("backup: {keep: lots}", "4:16: backup.keep: 'lots' is not a whole number"),
        ("hardware: {redis: {cores: 2.5}}", "4:27: hardware.redis.cores: '2.5' is not a number of cores"),
    ],
)
def test_case_18_wrong_types(declared: Any, text: str, fault: str) -> None:
    base = "version: 1\n" + (R if not text.startswith("infra") else "\n") + "features: {}\n"
    assert any(f.startswith(f"distributed.yaml:{fault}") for f in declared.faults(base + text + "\n"))


def test_case_19_no_and_on_where_text_is_wanted(declared: Any) -> None:
    text = V + R + "deployment:\n  name: no\nfeatures: {vnc: 'on'}\nbackup: {to: yes}\n"
    assert declared.faults(text) == [
        "distributed.yaml:4:9: deployment.name: text is wanted here, not false (YAML reads no as false; put it "
        "in quotes)",
        "distributed.yaml:5:17: features.vnc: 'on' is not true or false",
        "distributed.yaml:6:14: backup.to: text is wanted here, not true (YAML reads yes as true; put it in quotes)",
    ]


def test_case_20_sexagesimal_and_octal(declared: Any) -> None:
    text = V + R + "services: {ai: {port: 0600}, npu: {port: 22:22}}\nmonitoring: {interval: 1:30}\n"
    found = declared.faults(text.replace("0600", "0o7"))
    assert found[0] == "distributed.yaml:3:23: services.ai.port: '0o7' is not a port"
    assert found[1] == "distributed.yaml:4:24: monitoring.interval: '1:30' is not a time (YAML reads 1:30 as 90; put " \
        "it in quotes)"  # fmt: skip


def test_case_21_float_as_version_and_address(declared: Any) -> None:
    found = declared.faults("version: 1.0\n" + R + "network: {subnet: 10.1}\n")
    assert found == [
        "distributed.yaml:1:10: version: '1.0' is not a version of this file (write version: 1)",
        "distributed.yaml:3:19: network.subnet: text is wanted here, not the number 10.1",
    ]


def test_case_22_null_where_something_is_wanted(declared: Any) -> None:
    assert declared.faults(V + "infrastructure:\n  redis: redis\n  client:\n") == [
        "distributed.yaml:4:10: infrastructure.client: text is wanted here, not nothing"
    ]


def test_case_24_unknown_tier(declared: Any) -> None:
    assert declared.one(V + R + "deployment: {tier: lann}\n") == (
        "distributed.yaml:3:20: deployment.tier: 'lann' is not a tier (local, lan, internet) (did you mean 'lan'?)"
    )
    assert declared.one(V + R + "deployment: {tier: internet}\n") == (
        "distributed.yaml:3:20: deployment.tier: there is no inventory 'internet' (known: lan)"
    )


def test_case_25_no_redis_host(declared: Any) -> None:
    assert declared.one(V + "infrastructure: {redis: cache, client: coordinator}\n") == (
        "distributed.yaml:2:25: infrastructure.redis: no host has the role redis; client needs it "
        "(redis: redis, with a group redis)"
    )


TWO = """\
coordinator: {hosts: {c1: , c2: }}
redis: {hosts: {r1: , r2: }}
"""


def test_case_26_two_coordinators_two_primaries(declared: Any) -> None:
    text = V + "infrastructure: {coordinator: coordinator, redis: redis}\n"
    assert declared.faults(text, TWO) == [
        "inventory/lan/hosts.yaml:1:29: c2: is a second coordinator, beside c1 "
        "(leadership moves by election between workers)",
        "inventory/lan/hosts.yaml:2:23: r2: is a second primary Redis, beside r1 (give the replicas redis_primary)",
    ]
    replica = TWO.replace("r2: ", "r2: {redis_primary: r1}").replace(", c2: ", "")
    assert declared.faults(text, replica) == []


def test_case_29_x_01_two_services_on_one_port(declared: Any) -> None:
    text = V + "infrastructure: {redis: redis, coordinator: redis, ai: redis}\n"
    text += "services: {redis: {port: 6379}, coordinator: {port: 8002}, ai: {port: 8002}}\n"
    assert declared.one(text) == (
        "distributed.yaml:3:71: services.ai.port: port 8002 on r1 is taken by coordinator (each service needs its own)"
    )
    apart = text.replace("ai: redis", "ai: coordinator")
    assert declared.faults(apart) == []
    local = declared.faults(apart + "deployment: {mode: local}\n")
    assert len(local) == 1 and "on this machine is taken by coordinator" in local[0]


def test_case_29_a_host_variable_moves_a_port(declared: Any) -> None:
    text = V + "infrastructure: {redis: redis}\nservices: {redis: {port: 6379}}\n"
    assert "redis: redis_port" not in declared.faults(text, "redis: {hosts: {r1: {redis_port: 6380}}}\n")
    assert declared.one(text, "redis: {hosts: {r1: {redis_port: 22}}}\n") == (
        "inventory/lan/hosts.yaml:1:34: r1.redis_port: port 22 on r1 is taken by sshd (each service needs its own)"
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0", "0 is not a port between 1 and 65535"),
        ("65536", "65536 is not a port between 1 and 65535"),
        ("-1", "-1 is not a port between 1 and 65535"),
        ("true", "'true' is not a port"),
        ("'6379'", "'6379' is not a port"),
    ],
)
def test_case_30_ports(declared: Any, written: str, said: str) -> None:
    found = declared.one(V + R + f"services: {{redis: {{port: {written}}}}}\n")
    assert found == f"distributed.yaml:3:26: services.redis.port: {said}"


@pytest.mark.parametrize(
    "written",
    ["0", "-5", "5 parsecs", "0s", "'-3s'", "9999d", "''", "soon", "1e99", ".inf", "[1]", "true"],
)
def test_case_45_times(declared: Any, written: str) -> None:
    found = declared.one(V + R + f"performance: {{llm_timeout: {written}}}\n")
    assert found.startswith("distributed.yaml:3:28: performance.llm_timeout: '")
    assert "write it like 500ms, 30s, 5m, 2h or 7d" in found


def test_case_46_heartbeat_and_lease(declared: Any) -> None:
    text = V + R + "performance:\n  heartbeat_interval: 30s\n  heartbeat_ttl: 30s\n  lease: 5s\n  lease_renew: 6s\n"
    assert declared.faults(text) == [
        "distributed.yaml:4:23: performance.heartbeat_interval: 30s is not shorter than heartbeat_ttl (30s): every "
        "holder would count as dead (a third of heartbeat_ttl is usual)",
        "distributed.yaml:7:16: performance.lease_renew: 6s is not shorter than lease (5s): every holder would count "
        "as dead (a third of lease is usual)",
    ]


def test_case_47_memory_and_eviction(declared: Any) -> None:
    text = (
        V
        + R
        + "hardware: {redis: {memory: 4gb}}\nservices:\n  redis: {maxmemory: 5gb, maxmemory_policy: allkeys-lru}\n"
    )
    assert declared.faults(text) == [
        "distributed.yaml:5:22: services.redis.maxmemory: '5gb' is more than the 4 GB that r1 has (half of it leaves "
        "room for saving)",
        "distributed.yaml:5:45: services.redis.maxmemory_policy: 'allkeys-lru' drops queued tasks when memory is full "
        "(noeviction here; a cache is another Redis)",
    ]
    assert "over 3/4 of the memory of r1" in declared.warnings(text.replace("5gb", "3500mb"))[0]
    assert declared.faults(V + R, "redis: {hosts: {r1: {redis_maxmemory: 2 parsecs}}}\ncoordinator: {hosts: {c1: }}\n")


LITERAL = "stands here in plain text (write {secret: "


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("services: {redis: {password: hunter2hunter2hunter2}}", "3:30: services.redis.password: a secret"),
        ("services: {ai: {api_key: 1234}}", "3:26: services.ai.api_key: a secret"),
        ("services: {ai: {nested: {token: x}}}", "3:33: services.ai.nested.token: a secret"),
        ("services: {ai: {url: 'redis://:pw@h:1/0'}}", "3:22: services.ai.url: a URL with a password in it"),
        ("services: {ai: {note: AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQ}}", "3:23: services.ai.note: an age identity"),
    ],
)
def test_case_49_literal_secrets_in_distributed_yaml(declared: Any, text: str, path: str) -> None:
    found = declared.one(V + R + text + "\n")
    assert found.startswith(f"distributed.yaml:{path} {LITERAL}")
    assert not any(value in found for value in ("hunter2", "1234", "pw@", "QQQQ"))


def test_case_49_literal_secrets_in_the_inventory(declared: Any) -> None:
    hosts = "all:\n  vars: {ansible_become_password: letmein99}\n  children:\n"
    hosts += "    redis: {hosts: {r1: {redis_password: abc}}}\n"
    hosts += "    coordinator: {hosts: {c1: }}\n"
    assert declared.faults(V + R, hosts) == [
        "inventory/lan/hosts.yaml:2:35: all.ansible_become_password: a secret stands here in plain text "
        "(write {secret: ansible-become-password} and run 'swarmops secrets set ansible-become-password')",
        "inventory/lan/hosts.yaml:4:42: r1.redis_password: a secret stands here in plain text "
        "(write {secret: redis-password} and run 'swarmops secrets set redis-password')",
    ]


def test_case_49_references_and_paths_are_fine(declared: Any) -> None:
    hosts = "redis: {hosts: {r1: {redis_password: {secret: redis.app}, ansible_ssh_private_key_file: ~/.ssh/id,"
    hosts += " tls_key: /etc/ssl/key.pem, wireguard_public_key: , sort_key: name, admin_token: ''}}}\n"
    assert declared.faults(V + "infrastructure: {redis: redis}\n", hosts) == []


@pytest.mark.parametrize("version", ["99", "0", "one", "true", "1.0", "'1'", ""])
def test_case_55_other_versions(tmp_path: Path, version: str) -> None:
    _, faults = read(tmp_path, f"version: {version}\n")
    assert len(faults) == 1 and faults[0].startswith("distributed.yaml:1:")
    if version == "99":
        assert faults[0] == "distributed.yaml:1:10: version: this program reads version 1, not 99 (a newer swarmops " \
            "wrote it?)"  # fmt: skip


def test_case_56_line_breaks_are_refused_by_type(declared: Any) -> None:
    text = V + R + 'services: {redis: {path: "/x\\ny"}}\nbackup: {to: "a\\nb"}\nservices2: {}\n'
    found = declared.faults(text)
    assert "has a line break or control character in it" in found[0]
    assert "distributed.yaml:4:14: backup.to: 'a\\x0ab' has a line break or control character in it" in found


def test_every_fault_in_one_run(declared: Any) -> None:
    text = V + R + "network: {subnet: 10.0.0.1/8, mesh: {mode: wg, port: 0}}\nmonitoring: {interval: -1, nope: 1}\n"
    assert len(declared.faults(text)) == 5
