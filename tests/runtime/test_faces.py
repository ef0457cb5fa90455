"""S0-15 to S0-28 by the names and keywords of the sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import SonnetCoordinator, SwarmMemoryShard
from swarmops.runtime.errors import LeaseLost, NotFound, Unavailable
from tests.runtime.server import Server, free_port, modern
from tests.runtime.test_tls import Secured, certificate, keep
from tests.waiting import until


@modern
@pytest.mark.parametrize("face", [SwarmMemoryShard, SonnetCoordinator])
def test_wrong_password_closed_port_and_bad_certificate_are_three_errors(
    face: Callable[..., Any], own_server: Callable[..., Server], tmp_path: Path
) -> None:
    locked = own_server("--requirepass", "right")
    secured = Secured(own_server, tmp_path)
    other, _ = keep(tmp_path, "other", certificate("other", "127.0.0.1"))
    pair = {"cert": secured.cert, "key": secured.key}
    tls = {"redis_port": secured.settings.port, "redis_ssl": True, **pair}
    faults: list[tuple[dict[str, Any], str]] = [
        ({"redis_port": locked.port, "redis_password": "wrong"}, "login"),
        ({"redis_port": locked.port}, "login"),
        ({"redis_port": free_port()}, "refused"),
        ({**tls, "ca": other}, "certificate"),
    ]
    for more, kind in faults:
        began = time.monotonic()
        with pytest.raises(Unavailable) as e:
            face(redis_host="127.0.0.1", **more)
        assert e.value.kind == kind and time.monotonic() - began < 30
    with face(redis_host="127.0.0.1", redis_port=locked.port, redis_password="right"):
        pass
    with face(redis_host="127.0.0.1", **tls, ca=secured.ca) as good:
        assert good.agent_id


def test_the_workflow_of_the_sources(server: Server) -> None:
    text = "Gedimat has 3 depots. " * 200_000
    with SwarmMemoryShard(redis_port=server.port, specialization="gedimat_logistics") as shard:
        assert shard.agent_id.startswith("memory_gedimat_logistics_")
        shard.load_context(context_text=text, context_source="operational.md")
        given = shard.get_context_for_worker()
        assert given["context_preview"] == text[:5000]
        for i in range(5):
            shard.spawn_worker_task(
                "if.search_pass1", f"look #{i}", {"query": i, "context": given["context_reference"]}
            )
        with SonnetCoordinator(redis_port=server.port) as coordinator:
            row = {"shard_id": shard.agent_id, "specialization": "gedimat_logistics"}
            row |= {"findings_count": 0, "pending_tasks": 5}
            status = coordinator.get_swarm_status()
            assert status == {"total_shards": 1, "shards": [row], "coordinator_id": coordinator.agent_id}
            with SwarmMemoryShard(redis_port=server.port, shard_id="another") as another:
                assert another.claim_task() is None
            for i in range(5):
                task = shard.claim_task()
                assert task and task["type"] == "if.search_pass1" and task["data"]["query"] == i
                assert shard.rt.contexts.resolve(task["data"]["context"]) == text.encode()
                shard.collect_worker_finding(task["task_id"], {"summary": i}, f"worker-{i}")
            assert shard.claim_task() is None
            shard.add_finding("validation", {"ok": True})
            found = shard.get_all_findings("if.search_pass1")
            assert [f["content"] for f in found] == [{"summary": i} for i in range(5)]
            assert [f["worker_id"] for f in found] == [f"worker-{i}" for i in range(5)]
            assert len(shard.get_all_findings()) == 6 == len(coordinator.collect_findings(shard.agent_id))
            row |= {"findings_count": 6, "pending_tasks": 0}
            assert row in coordinator.get_swarm_status()["shards"]
            assert shard.synthesize_findings("Pass 1", "three patterns", [f["finding_id"] for f in found])


def test_a_coordinator_asks_and_a_shard_answers(server: Server) -> None:
    with SwarmMemoryShard(redis_port=server.port) as shard, SonnetCoordinator(redis_port=server.port) as coordinator:
        source = shard.report_finding("look", {"n": 1})

        def answer() -> None:
            request = shard.next_synthesis_request(timeout=20)
            assert request and request.sources == [source] and request.instructions == "briefly"
            shard.answer_synthesis(request, "one thing")

        thread = threading.Thread(target=answer)
        thread.start()
        asked = coordinator.request_synthesis(shard.agent_id, "Pass 1", "briefly", [source])
        assert coordinator.wait_synthesis(asked, 20).answer == "one thing"
        thread.join(60)
        with pytest.raises(NotFound):
            coordinator.request_synthesis("nobody", "Pass 1")


def test_findings_outlive_their_shard(server: Server) -> None:
    with SwarmMemoryShard(redis_port=server.port, shard_id="gone", ttl=0.05) as shard:
        shard.report_finding("look", 1)
    with SonnetCoordinator(redis_port=server.port) as coordinator:
        until(lambda: not coordinator.get_swarm_status()["total_shards"], "the end of the shard")
        assert [f["content"] for f in coordinator.collect_findings()] == [1]


def test_a_posted_task_waits_and_is_completed_once(server: Server) -> None:
    with SwarmMemoryShard(redis_port=server.port) as shard, SonnetCoordinator(redis_port=server.port) as coordinator:
        got: list[Any] = []
        thread = threading.Thread(target=lambda: got.append(shard.claim_task(wait=20)))
        thread.start()
        posted = coordinator.post_task("IF.search", {"q": 1}, shard.agent_id)
        thread.join(60)
        assert got[0]["task_id"] == posted and got[0]["data"] == {"q": 1}
        shard.heartbeat()
        shard.complete_task(posted, {"found": 2})
        assert shard.rt.tasks.get(posted, queue=shard.agent_id).result == {"found": 2}
        with pytest.raises(LeaseLost):
            shard.complete_task(posted)
        assert coordinator.rt.tasks.get(coordinator.post_task("x"), queue="default").status == "ready"
