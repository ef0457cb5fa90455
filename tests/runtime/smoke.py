"""A little of everything, on whatever Redis: used where the question is the server, not the rooms."""

from __future__ import annotations

from typing import Any

from swarmops.runtime import Runtime
from swarmops.runtime.tasks import Outcome, TaskSpec
from swarmops.runtime.tasks.workflows import Step


def work(rt: Runtime, queue: str, worker: str = "w", want: int = 50) -> int:
    """One worker takes what is ready and does it; how many."""
    done = 0
    while True:
        claimed = rt.tasks.step(worker, want=want, queue=queue)
        if not claimed.tasks:
            return done
        results = [Outcome.done(t, {"ok": 1}) for t in claimed.tasks]
        assert not rt.tasks.step(worker, results, queue=queue).refused
        done += len(claimed.tasks)


def everything(rt: Runtime) -> dict[str, Any]:
    """Each room does what it is for. Raises, or asserts, where one does not."""
    found: dict[str, Any] = {}
    for queue in ("default", "second", "third"):
        rt.tasks.submit_many([TaskSpec("noop", {"n": n}) for n in range(40)], queue=queue)
        rt.tasks.submit("noop", queue=queue)
        flow = rt.workflows.submit("flow", [Step("a", "noop"), Step("b", "noop", after=["a"])], queue=queue)
        assert work(rt, queue) == 43
        assert rt.workflows.show(flow.id, queue=queue).status == "done"
    term = rt.leader.campaign("me", 60_000).term
    rt.agents.register("agent-1", ["python"], heartbeat=60)
    assert [a.id for a in rt.agents.find(["python"])] == ["agent-1"]
    rt.swarms.create("smoke", id="alpha", heartbeat=60)
    rt.swarms.status("alpha", "active")
    rt.distribution.submit("do it", term=term)
    (given,) = rt.distribution.take("alpha")
    assert rt.distribution.complete(given.id, "alpha", given.attempt, "done")
    rt.resources.define("cpu", 10)
    rt.resources.allocate("alpha", "cpu", 4)
    rt.state.save("alpha", {"tasks": {}})
    rt.state.snapshot("alpha", "one")
    assert rt.state.load("alpha").value == {"tasks": {}}
    rt.messages.send("swarm.alpha", "announcement", {"text": "hello"}, sender="agent.agent-1")
    assert [m.payload for m in rt.messages.take("swarm.alpha") if m.type == "announcement"] == [{"text": "hello"}]
    assert not rt.breakers.allow("somewhere").local
    kept = rt.contexts.store("x" * 1_000_000, "smoke")
    assert rt.contexts.read(kept.ref) == b"x" * 1_000_000
    rt.access.create("smoke", "0" * 64, ["read"])
    assert [t.id for t in rt.access.list()] == ["smoke"] and rt.access.revoke("smoke")
    found["stats"] = rt.stats.snapshot(("default", "second", "third")).statistics()
    return found
