"""Thin faces with the names and keywords that the sources' programs use (S0-15, S0-18 to S0-28).

    shard = SwarmMemoryShard(redis_host="10.77.0.23", redis_password="...", specialization="logistics")
    shard.load_context(text, "notes.md")

They hold a `Runtime` (`shard.rt`), whose rooms can do more. Threads may share them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self
from uuid import uuid4

from swarmops.runtime import wire
from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.context.findings import Finding
from swarmops.runtime.context.shards import ALIVE, CAPACITY, Version
from swarmops.runtime.context.synthesis import Synthesis
from swarmops.runtime.errors import Invalid, LeaseLost
from swarmops.runtime.op import Op
from swarmops.runtime.settings import Settings
from swarmops.runtime.tasks.records import Claim, Outcome

LEASE = 300.0  # seconds a claimed task is ours; heartbeat renews it
PAGE = 500


class _Face:
    """What both have: a runtime that has answered once."""

    def __init__(self, host: str, port: int, password: str | None, ssl: bool, more: dict[str, Any]):
        settings = Settings(host=host, port=port, password=password or "", tls=ssl, **more)
        self.rt = Runtime(settings)
        try:
            self.rt.connect()
        except BaseException:
            self.rt.close()
            raise

    def close(self) -> None:
        self.rt.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _findings(self, shard: str, task_type: str | None) -> Iterator[dict[str, Any]]:
        after: int | None = 0
        while after is not None:
            page = self.rt.findings.list(shard, task_type, limit=PAGE, after=after)
            yield from map(_shown, page.findings)
            after = page.next


class SwarmMemoryShard(_Face):
    """A memory shard, registered when made. It leaves the status `ttl` seconds after its last heartbeat.

    Raises Unavailable within the connect timeout; its `kind` is login, refused or certificate, among others.
    More keywords are those of Settings (ca, username, namespace, ...).
    """

    def __init__(
        self,
        redis_host: str = "localhost",
        redis_port: int = 6379,
        redis_password: str | None = None,
        redis_ssl: bool = False,
        specialization: str = "general",
        *,
        shard_id: str | None = None,
        ttl: float = ALIVE,
        context_capacity: int = CAPACITY,
        **more: Any,
    ):
        super().__init__(redis_host, redis_port, redis_password, redis_ssl, more)
        self.specialization, self.ttl, self.context_capacity = specialization, ttl, context_capacity
        self.agent_id = shard_id or f"memory_{_name(specialization)[:40]}_{uuid4().hex[:8]}"
        self._held: dict[str, Claim] = {}
        self.register()

    def register(self) -> int:
        """Be there, or be there again; since when, in ms."""
        return self.rt.shards.register(
            self.agent_id, self.specialization, context_capacity=self.context_capacity, ttl=self.ttl
        )

    def heartbeat(self) -> None:
        """Alive for another ttl, with the context it has loaded and the tasks it has claimed."""
        self.rt.shards.beat(self.agent_id)
        if self._held:
            self.rt.tasks.beat(self.agent_id, lease_ms=int(LEASE * 1000), queue=self.agent_id)

    def load_context(self, context_text: str | bytes, context_source: str = "") -> Version:
        """Make this the shard's newest context. The same again is the same version."""
        return self.rt.shards.load_context(self.agent_id, context_text, context_source)

    def get_context_for_worker(self) -> dict[str, Any]:
        """The first 5,000 characters, and the reference by which `rt.contexts.resolve` reads all of it."""
        found = self.rt.shards.context_for_worker(self.agent_id)
        return {
            "parent_shard_id": self.agent_id,
            "specialization": found.specialization,
            "context_preview": found.preview,
            "context_full_location": found.reference["id"] if found.reference else None,
            "context_reference": found.reference,
            "context_source": found.source,
            "findings_count": found.findings_count,
        }

    def get_context(self, version: int | None = None) -> bytes:
        """All of it, byte for byte, or Corrupt."""
        return self.rt.shards.context(self.agent_id, version)

    # -- tasks: a queue of the shard's own, so that nobody else's stale task is claimed

    def spawn_worker_task(
        self, task_type: str, task_description: str = "", task_data: Any = None, pass_name: str | None = None
    ) -> str:
        """Post a task for whoever claims from this shard; its id."""
        return _post(self.rt, self.agent_id, task_type, task_description, task_data, pass_name, self.agent_id)

    def claim_task(self, wait: float = 0.0) -> dict[str, Any] | None:
        """The next task of this shard, for 300 s at a time (`heartbeat` renews), or None after `wait` seconds."""
        while True:
            taken = self.rt.tasks.step(self.agent_id, want=1, lease_ms=int(LEASE * 1000), queue=self.agent_id).tasks
            if taken or wait <= 0:
                break
            nap = min(wait, 1.0)
            wait -= nap
            wake = self.rt.keys.queue(self.agent_id, "wake")
            self.rt.run(Op("", (wake,), ("BLPOP", wake, nap), safe=True, block=nap))
        if not taken:
            return None
        claim = self._held[taken[0].id] = taken[0]
        args = json.loads(claim.args)
        return {"task_id": claim.id, "attempt": claim.attempt, **(args if isinstance(args, dict) else {"data": args})}

    def complete_task(self, task_id: str, result: Any = None, error: str | None = None) -> None:
        """Record its result, or with `error` that it failed. Raises LeaseLost when it is somebody else's by now."""
        claim = self._held.get(task_id)
        if claim is None:
            raise LeaseLost(f"task {task_id} is not held by {self.agent_id}")
        outcome = Outcome(task_id, claim.attempt, wire.dumps(result, "result"), error)
        answer = self.rt.tasks.step(self.agent_id, [outcome], lease_ms=int(LEASE * 1000), queue=self.agent_id)
        del self._held[task_id]
        if answer.refused:
            raise LeaseLost(f"task {task_id}: {answer.refused[0][1]}")

    # -- findings

    def report_finding(
        self, task_type: str, data: Any, author: str | None = None, task_id: str | None = None, id: str | None = None
    ) -> str:
        """Keep a finding; its id. It stays when its author and this shard are gone."""
        kept = {"task_id": task_id, "content": data}
        return self.rt.findings.add(self.agent_id, task_type, kept, author or self.agent_id, id=id)

    add_finding = report_finding

    def collect_worker_finding(self, task_id: str, finding: Any, worker_id: str | None = None) -> str:
        """A claimed task has led to this: keep it and complete the task. Doing it again keeps it once."""
        claim = self._held.get(task_id)
        args = json.loads(claim.args) if claim else {}
        kind = args.get("type", claim.kind) if claim and isinstance(args, dict) else "unknown"
        found = self.report_finding(kind, finding, worker_id, task_id, id=f"of-{task_id}"[:63])
        if claim:
            self.complete_task(task_id, {"finding_id": found})
        return found

    def get_all_findings(self, task_type: str | None = None) -> list[dict[str, Any]]:
        """This shard's findings in order, all or of one type."""
        return list(self._findings(self.agent_id, task_type))

    # -- syntheses

    def synthesize_findings(self, pass_name: str, synthesis: Any, sources: Sequence[str] = ()) -> str:
        """Keep what has been made of the findings `sources`; its id."""
        return self.rt.findings.syntheses.put(self.agent_id, pass_name, synthesis, sources, by=self.agent_id)

    def next_synthesis_request(self, timeout: float = 0.0, lease: float = 60.0) -> Synthesis | None:
        """What a coordinator asks of this shard, ours for `lease` seconds."""
        return self.rt.findings.syntheses.next(self.agent_id, self.agent_id, timeout, lease)

    def answer_synthesis(self, request: Synthesis, answer: Any) -> None:
        """Raises LeaseLost when the lease ran out and somebody else has it."""
        self.rt.findings.syntheses.answer(request.id, self.agent_id, request.attempt, answer)


class SonnetCoordinator(_Face):
    """Sees all shards, posts tasks to them, asks for syntheses. Raises like SwarmMemoryShard."""

    def __init__(
        self,
        redis_host: str = "localhost",
        redis_port: int = 6379,
        redis_password: str | None = None,
        redis_ssl: bool = False,
        **more: Any,
    ):
        super().__init__(redis_host, redis_port, redis_password, redis_ssl, more)
        self.agent_id = f"coordinator_{uuid4().hex[:8]}"

    def get_swarm_status(self) -> dict[str, Any]:
        """total_shards and shards: shard_id, specialization, findings_count, pending_tasks of each that lives."""
        return {**self.rt.shards.status(), "coordinator_id": self.agent_id}

    def post_task(
        self, task_type: str, task_data: Any = None, shard_id: str | None = None, description: str = ""
    ) -> str:
        """A task for a shard's workers, or without one for the workers of the queue `default`; its id."""
        return _post(self.rt, shard_id or "default", task_type, description, task_data, None, self.agent_id)

    def request_synthesis(
        self, shard_id: str, pass_name: str, instructions: str = "", sources: Sequence[str] = ()
    ) -> str:
        """Ask a shard for one; its id, for `wait_synthesis`."""
        if not isinstance(instructions, str):
            raise Invalid("instructions", "is not text (sources are the next argument)")
        return self.rt.findings.syntheses.request(
            shard_id, pass_name, sources, instructions=instructions, by=self.agent_id
        )

    def wait_synthesis(self, synthesis_id: str, timeout: float = 60.0) -> Synthesis:
        """The answer, as soon as it is there. Raises Late."""
        return self.rt.findings.syntheses.wait(synthesis_id, timeout)

    def collect_findings(self, shard_id: str | None = None, task_type: str | None = None) -> list[dict[str, Any]]:
        """Findings of one shard, or of all that are known, alive or not."""
        which = [shard_id] if shard_id else [s.id for s in self.rt.shards.list(everyone=True)]
        return [one for shard in which for one in self._findings(shard, task_type)]


def _post(
    rt: Runtime, queue: str, task_type: str, description: str, data: Any, pass_name: str | None, parent: str
) -> str:
    args = {"type": task_type, "description": description, "data": data, "pass_name": pass_name, "parent_shard": parent}
    return rt.tasks.submit(_name(task_type), args, queue=queue).id


def _name(text: str) -> str:
    """`IF.search pass 1` as a name: if-search-pass-1."""
    found = re.sub(r"[^a-z0-9_-]+", "-", str(text).lower()).strip("-_")[:63]
    if not found:
        raise Invalid("", f"{text!r} has no letter or digit to make a name of")
    return found


def _shown(finding: Finding) -> dict[str, Any]:
    kept = (
        finding.data if isinstance(finding.data, Mapping) and "content" in finding.data else {"content": finding.data}
    )
    return {
        "finding_id": finding.id,
        "shard_id": finding.shard,
        "task_id": kept.get("task_id"),
        "task_type": finding.task_type,
        "worker_id": finding.author,
        "timestamp": finding.at,
        "content": kept["content"],
    }
