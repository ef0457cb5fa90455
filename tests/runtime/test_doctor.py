"""S3-61 to S3-64: `swarmops doctor` says what is wrong and what to do, and finds nothing where nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.observe.doctor import Finding, examine, family
from swarmops.runtime.op import command
from tests.runtime.server import Server
from tests.runtime.test_acl import rules
from tests.runtime.test_cli_redis import swarmops


def look(rt: Runtime, topic: str) -> dict[str, Finding]:
    return {f.check: f for f in examine(rt, (topic,))[topic]}


def put(rt: Runtime, *args: str) -> None:
    rt.run(command(args[1], *args))


def test_leader_nobody_somebody_and_one_without_an_end(rt: Runtime) -> None:
    key = rt.keys.registry("leader")
    assert "nobody leads" in look(rt, "leader")["leader"].detail
    put(rt, "SET", key, '{"id":"c-1","term":3}', "PX", "5000")
    put(rt, "SET", rt.keys.registry("term"), "3")
    said = look(rt, "leader")["leader"]
    assert said.state == "ok" and said.detail.startswith("c-1, term 3, lease ends in")
    put(rt, "PERSIST", key)
    said = look(rt, "leader")["leader"]
    assert said.state == "bad" and "c-1 holds the key without a lease" in said.detail and "Delete it" in said.advice
    put(rt, "SET", key, "what is this")
    assert "what is this" in look(rt, "leader")["leader"].detail


def test_messaging_names_other_namespaces_and_who_listens(rt: Runtime) -> None:
    said = look(rt, "messaging")
    assert said["somebody listens"].state == "warning" and said["agents known"].state == "warning"
    put(rt, "SET", "other:{reg}:x", "1")
    assert "(other)" in look(rt, "messaging")["same instance"].advice


def test_state_tells_of_persistence_and_disk(rt: Runtime, own_server: Callable[..., Server]) -> None:
    said = look(rt, "state")
    assert {f.state for f in said.values()} == {"ok"}, said
    assert "MiB free in" in said["disk"].detail
    with Runtime(own_server("--appendonly", "no", "--save", "").settings) as careless:
        said = look(careless, "state")
    assert said["append-only file"].state == "bad" and "appendonly yes" in said["append-only file"].advice


def test_memory_lists_the_largest_families(rt: Runtime) -> None:
    for i in range(20):
        put(rt, "SET", rt.keys.tagged("ctx", f"c{i}", "chunk", "0"), "x" * 10_000)
    put(rt, "SET", rt.keys.queue("default", "conf"), "1")
    put(rt, "SET", "foreign", "1")
    found = examine(rt, ("memory",))["memory"]
    assert found[0].check == "limit" and found[0].state == "warning" and "no maxmemory" in found[0].detail
    assert found[1].check == "ctx chunk" and "in 20 keys" in found[1].detail
    assert {f.check for f in found[2:]} == {"q conf", "not ours"}


@pytest.mark.parametrize(
    ("key", "name"),
    [("swarm:{q:default}:ready:gpu", "q ready"), ("swarm:{reg}:agents", "reg agents"), ("x", "not ours")],
)
def test_families(key: str, name: str) -> None:
    assert family(key) == name


def test_what_the_user_may_not_see_is_unknown_not_a_crash(own_server: Callable[..., Server]) -> None:
    server = own_server()
    with Runtime(server.settings) as admin:
        admin.run(command("x", "ACL", "SETUSER", "app", "on", "nopass", "~swarm:*", "+@all", "-scan"))
    with Runtime(server.settings.but(username="app", password="x")) as rt:
        found = examine(rt, ("state", "memory"))
    assert {f.check: f.state for f in found["memory"]} == {"limit": "warning", "families": "unknown"}


def test_a_sound_redis_is_sound_for_the_user_that_services_have(own_server: Callable[..., Server]) -> None:
    """S3-63: who may not ask for CONFIG, which shows passwords, is told what INFO tells."""
    server = own_server()
    with Runtime(server.settings) as admin:
        admin.run(command("x", "ACL", "SETUSER", "app", *rules()))
    with Runtime(server.settings.but(username="app", password="secret-of-app")) as rt:
        found = look(rt, "state")
        assert {name: f.state for name, f in found.items()} == dict.fromkeys(found, "ok")
    assert "changes since" in found["save points"].detail and "check-health" in found["disk"].detail
    env = {"SWARMOPS_REDIS_URL": f"redis://app:secret-of-app@127.0.0.1:{server.port}"}
    said = swarmops("doctor", "state", **env)
    assert said.returncode == 0 and "unknown" not in said.stdout, said.stdout


def test_one_that_evicts_is_bad_and_still_looked_at(own_server: Callable[..., Server]) -> None:
    """S3-64: everybody else refuses it, so this is where one is told why."""
    server = own_server("--maxmemory-policy", "allkeys-lru")
    said = swarmops("doctor", "--json", SWARMOPS_REDIS_URL=server.url)
    topics = json.loads(said.stdout)["topics"]
    assert said.returncode == 1 and not [f for fs in topics.values() for f in fs if f["state"] == "unknown"], topics
    assert topics["memory"][0]["state"] == "bad" and "CONFIG SET maxmemory-policy" in topics["memory"][0]["advice"]
    said = swarmops("doctor", "messaging", SWARMOPS_REDIS_URL=server.url)
    assert said.returncode == 1 and said.stdout.count("allkeys-lru") == 1


def test_the_command(server: Server) -> None:
    said = swarmops("doctor", "leader", "--json", SWARMOPS_REDIS_URL=server.url)
    body = json.loads(said.stdout)
    assert said.returncode == 1 and body["ok"] is False and list(body["topics"]) == ["leader"]
    said = swarmops("doctor", SWARMOPS_REDIS_URL=server.url)
    assert "nobody leads" in said.stdout and said.stdout.startswith("messaging\n")
    assert swarmops("doctor", "weather", SWARMOPS_REDIS_URL=server.url).returncode == 2
