"""Options of distributed.yaml change what docs/distributed.md says that they rule."""

from __future__ import annotations

from tests.render.test_services import plan  # noqa: F401 (a fixture)

JOURNAL = "/etc/systemd/journald.conf.d/10-swarmops.conf"


def test_how_long_a_host_keeps_its_journal(plan) -> None:  # noqa: F811
    hosts = {"infrastructure": {"base": "all"}, "services": {}}
    assert "MaxRetentionSec=604800s\n" in plan(**hosts).text("redis-1", JOURNAL)
    assert "MaxRetentionSec=259200s\n" in plan(**hosts, monitoring={"retention": "3d"}).text("redis-1", JOURNAL)


def test_how_long_a_chat_may_be_silent(plan) -> None:  # noqa: F811
    assert plan().json("ai-1", "ai")["options"] == {"llm_timeout": 30}
    assert plan(performance={"llm_timeout": "90s"}).json("ai-1", "ai")["options"] == {"llm_timeout": 90}
    assert plan(performance={"llm_timeout": "2h"}).json("ai-1", "ai")["options"] == {"llm_timeout": 3600}


def test_how_programs_of_the_swarm_speak_to_redis(plan) -> None:  # noqa: F811
    said = {"redis_connection_timeout": "3s", "redis_operation_timeout": "4s", "heartbeat_interval": "5s"}
    found = plan(performance=said).json("npu-1", "runtime")
    assert (found["connect_timeout"], found["timeout"], found["heartbeat"]) == (3, 4, 5)
