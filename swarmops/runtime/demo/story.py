"""The chapters of the demo, in order. Each does something, looks at what Redis says of it, and tells it in a line.

Nothing in it is played: workers and coordinators are processes, they are killed with SIGKILL, and every number is read
from Redis afterwards. A chapter that does not find what it should raises Broken.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.demo.processes import Broken, Processes
from swarmops.runtime.errors import Conflict, Illegal, Stale
from swarmops.runtime.op import command
from swarmops.runtime.registry.leader import Leadership
from swarmops.runtime.tasks import TaskSpec
from swarmops.runtime.tasks.workflows import Step

T = TypeVar("T")
LEASE = 1.0  # seconds: short, so that a death is seen soon
SWARMS = {"alpha": ("normal", ["python"]), "beta": ("high", ["python", "gpu"]), "gamma": ("low", ["browser"])}
STRATEGIES = ("least_loaded", "round_robin", "priority", "capability")
COORDINATORS = ("coordinator-1", "coordinator-2")
WORKERS = ("worker-0", "worker-1", "worker-2")
WORK = 3.0  # seconds of work at least, so that a worker is seen with some of it in hand
EACH = 6  # tasks given out by each strategy


class Story:
    """One demo. `tell` gets each line as it becomes true."""

    def __init__(self, rt: Runtime, tell: Callable[[str], None], tasks: int = 300):
        self.rt, self.tell, self.tasks = rt, tell, tasks
        self.processes = Processes(rt.settings)
        self.lost = 0

    def run(self) -> dict[str, Any]:
        """All chapters; what came of it. Raises Broken, SwarmError. All processes are ended."""
        began = time.monotonic()
        with self.processes:
            self.swarms()
            self.election()
            self.distribution()
            self.killed_worker()
            self.workflow()
            self.killed_leader()
            self.recovery()
            accepted, ended = self.account()
        seconds = round(time.monotonic() - began, 1)
        return {"accepted": accepted, "ended": ended, "lost": self.lost, "seconds": seconds}

    # -- chapters

    def swarms(self) -> None:
        for name, (priority, capabilities) in SWARMS.items():
            meta = {"phase": "demo", "priority": priority, "capabilities": capabilities}
            self.rt.swarms.create(f"the demo's {name}", id=name, metadata=meta, heartbeat=60)
            self.rt.swarms.status(name, "active")
        self.tell(f"{len(SWARMS)} swarms are active: {', '.join(SWARMS)}")

    def election(self) -> None:
        for name in COORDINATORS:
            self.processes.start(name, "swarmops.runtime.demo.coordinator", name, str(LEASE))
        won: Leadership = self._until(self.rt.leader.who, 15, "a leader")
        self.tell(f"{won.holder} leads (term {won.term}), {next(n for n in COORDINATORS if n != won.holder)} stands by")

    def distribution(self) -> None:
        for strategy in STRATEGIES:
            self.rt.distribution.strategy(strategy)
            ids = [self._give(strategy, i) for i in range(EACH)]
            places = self._places(ids, strategy)
            shared = ", ".join(f"{swarm} {n}" for swarm, n in sorted(Counter(places).items()))
            self.tell(f"{strategy:<13} {EACH} tasks: {shared}")
        for name in SWARMS:
            for given in self.rt.distribution.take(name, 100):
                self.rt.distribution.complete(given.id, name, given.attempt, "done")

    def killed_worker(self) -> None:
        for name in WORKERS:
            self._worker(name)
        each = max(0.01, WORK / self.tasks)
        specs = [TaskSpec("square", {"n": n, "seconds": each}, id=f"square-{n}") for n in range(self.tasks)]
        began = time.monotonic()
        self.rt.tasks.submit_many(specs)
        held, one = self._until(self._busiest, 15, "a worker at work")
        self.processes.kill(one)
        self.tell(f"{self.tasks} tasks accepted; {one} killed with {held} of them in hand")
        self._until(lambda: self._open() == 0, 60, "all tasks done")
        took = time.monotonic() - began
        wrong = [n for n in range(self.tasks) if self.rt.tasks.get(f"square-{n}").result != n * n]
        again = sum(self.rt.tasks.get(f"square-{n}").attempt > 1 for n in range(self.tasks))
        if wrong:
            raise Broken(f"{len(wrong)} tasks have no result or a wrong one: {wrong[:5]}")
        self.tell(f"all {self.tasks} have their result after {took:.1f} s; {again} were run again by the others")

    def workflow(self) -> None:
        topics = [Step(f"read-{t}", "collect", {"topic": t}) for t in ("redis", "leases", "fencing")]
        end = Step("summary", "summarize", after=[s.name for s in topics])
        flow = self.rt.workflows.submit("research", [*topics, end])
        said = self._until(lambda: self._finished(flow.id), 20, "the workflow's end")
        self.tell(f"a workflow of {len(topics) + 1} steps, three at once and one after them: {said}")

    def killed_leader(self) -> None:
        old = self.rt.leader.who()
        assert old
        self.processes.kill(old.holder)
        began = time.monotonic()
        new = self._until(lambda: self._leader_after(old.term), 15, "another leader")
        self.tell(f"{old.holder} killed; {new.holder} leads after {time.monotonic() - began:.1f} s (term {new.term})")
        try:
            self.rt.distribution.cycle(old.term)
            raise Broken("the old leader's order was taken")
        except Stale as e:
            self.tell(f"an order of the old term is refused: {e}")

    def recovery(self) -> None:
        state = {"tasks": {"t1": "completed", "t2": "in_progress"}, "agents": {"a1": "busy"}, "phase": "demo"}
        version = self.rt.state.save("alpha", state)
        self.rt.state.snapshot("alpha", "before")
        key = self.rt.keys.registry("state", "alpha")
        self.rt.run(command(key, "HSET", key, "d", b"\x00 not what was written"))
        self.rt.swarms.status("alpha", "interrupted", "the demo broke it")
        with contextlib.suppress(Conflict, Illegal):  # the leader saw it first, and is at it or done
            self.rt.state.recover("alpha")
        self._until(lambda: self.rt.swarms.get("alpha").status == "active", 15, "alpha to recover")
        went = self.rt.state.last_recovery("alpha")
        self.tell(
            f"alpha's state (version {version}) was overwritten with nonsense: recovered from its "
            f"{went['source']}, confidence {went['plan']['confidence']:.2f}, active again"
        )

    def account(self) -> tuple[int, int]:
        """Everything that was accepted, and what became of it."""
        stats = {
            k.decode(): int(v) for k, v in self._hash(self.rt.keys.queue("default", "stats")).items() if v.isdigit()
        }
        accepted, done = stats.get("tasks_submitted", 0), stats.get("tasks_done", 0)
        backlog = self.rt.distribution.backlog()
        accepted, ended = accepted + EACH * len(STRATEGIES), done + backlog.ended
        self.lost = accepted - ended - self._open() - backlog.pending - backlog.assigned
        self.tell(f"accepted {accepted}, ended {ended}, lost {self.lost}")
        if self.lost or ended != accepted:
            raise Broken(f"of {accepted} accepted only {ended} ended")
        return accepted, ended

    # -- looking

    def _give(self, strategy: str, i: int) -> str:
        needs = ["gpu"] if strategy == "capability" and i % 2 else []
        priority = ("high", "normal")[i % 2]
        return self.rt.distribution.submit(f"{strategy} {i}", priority=priority, capabilities=needs).id

    def _places(self, ids: list[str], strategy: str) -> list[str]:
        found: list[str] = self._until(lambda: self._assigned(ids), 15, f"{strategy} to give everything out")
        return found

    def _assigned(self, ids: list[str]) -> list[str]:
        places = [self.rt.distribution.get(id).swarm for id in ids]
        return places if all(places) else []

    def _busiest(self) -> tuple[int, str] | None:
        """How many tasks the worker has in hand that has most of them, and its name."""
        load = self._hash(self.rt.keys.queue("default", "load"))
        held = {w: sum(int(n) for name, n in load.items() if name.decode().startswith(w)) for w in WORKERS}
        most = max(held, key=held.__getitem__)
        return (held[most], most) if held[most] else None

    def _open(self) -> int:
        depth = self.rt.tasks.depth()
        return depth.ready + depth.running + depth.delayed

    def _finished(self, id: str) -> str:
        shown = self.rt.workflows.show(id)
        return shown.status if shown.status not in ("running", "waiting", "ready") else ""

    def _leader_after(self, term: int) -> Any:
        now = self.rt.leader.who()
        return now if now and now.term > term else None

    def _hash(self, key: str) -> dict[bytes, bytes]:
        flat = self.rt.run(command(key, "HGETALL", key, safe=True))
        return dict(zip(flat[::2], flat[1::2]))

    def _worker(self, name: str) -> None:
        handlers = ("--handlers", "swarmops.runtime.demo.jobs:handlers")
        self.processes.start(name, "swarmops", "worker", *handlers, "--name", name, "--lease", str(LEASE))

    def _until(self, look: Callable[[], T], within: float, what: str) -> Any:
        """What `look` gives as soon as it is something. Raises Broken, at once when a process has ended."""
        end, pause = time.monotonic() + within, threading.Event()
        while not (found := look()):
            self.processes.look()
            if time.monotonic() > end:
                raise Broken(f"waited {within:g} s in vain for {what}")
            pause.wait(0.02)
        return found
