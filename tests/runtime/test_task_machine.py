"""Tasks under everything that may happen to them, in any order, against a model of a few lines.

Every id that was accepted ends exactly once, or is still open; each result is recorded once; no attempt is handed out
twice; the queue's own counts agree with the model after every step.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Illegal, NotFound
from swarmops.runtime.op import Op
from swarmops.runtime.tasks.records import Outcome, TaskSpec
from swarmops.runtime.tasks.steps import Step, task_id
from tests.runtime.server import Server

OPEN = ("waiting", "free", "running")  # free: ready, or delayed and soon ready
DEATHS = 3
IDS = st.sampled_from([f"t{i}" for i in range(8)])
WORKERS = {"plain": (), "able": ("npu",), "other": ("npu",)}
NAMES = st.sampled_from(sorted(WORKERS))


@dataclass
class Model:
    """What a task should be."""

    state: str
    retries: int = 0
    needs: tuple[str, ...] = ()
    later: bool = False  # delayed by an hour
    holder: str = ""
    attempts: int = 0
    fails: int = 0
    deaths: int = 0
    result: Any = None
    by: tuple[str, int, str] = ("", 0, "")  # worker, attempt and word of the report that ended it
    missing: set[str] = field(default_factory=set)
    children: list[str] = field(default_factory=list)


class Machine(RuleBasedStateMachine):
    """The rules. `server` is set by the test."""

    server: Server
    workflows = Bundle("workflows")

    def __init__(self) -> None:
        super().__init__()
        self.rt = Runtime(self.server.settings)
        self.tasks: dict[str, Model] = {}
        self.given: set[tuple[str, int]] = set()
        self.issued: list[tuple[str, str, int]] = []  # no Bundle: what is drawn must not depend on timing
        self.reports = 0

    @initialize()
    def begin(self) -> None:
        self.rt.run(Op("", ("x",), ("FLUSHALL",)))

    # -- submitting

    def accepted(self, spec: TaskSpec) -> None:
        assert spec.id
        self.tasks[spec.id] = Model("free", spec.retries, spec.needs, spec.delay > 1)
        if 0 < spec.delay < 1:
            time.sleep(spec.delay + 0.002)

    @staticmethod
    def spec(id: str, retries: int, priority: int, delay: float, able: bool) -> TaskSpec:
        needs = ("npu",) if able else ()
        return TaskSpec("k", [id], id, priority, needs, delay, retries=retries, backoff=0.0)

    SPECS = st.builds(
        lambda *a: Machine.spec(*a),
        IDS,
        st.integers(0, 2),
        st.sampled_from([0, 5, 9]),
        st.sampled_from([0.0, 0.0, 0.001, 3600.0]),
        st.booleans(),
    )

    @rule(spec=SPECS)
    def submit(self, spec: TaskSpec) -> None:
        known = spec.id in self.tasks
        done = self.rt.tasks.submit(
            spec.kind, spec.args, id=spec.id, priority=spec.priority, needs=spec.needs, delay=spec.delay,
            retries=spec.retries, backoff=spec.backoff,
        )  # fmt: skip
        assert done.new is not known
        if done.new:
            self.accepted(spec)

    @rule(specs=st.lists(SPECS, min_size=1, max_size=6))
    def bulk(self, specs: list[TaskSpec]) -> None:
        for spec, done in zip(specs, self.rt.tasks.submit_many(specs), strict=True):
            assert done.new is (spec.id not in self.tasks)
            if done.new:
                self.accepted(spec)

    @rule(target=workflows, id=st.sampled_from(["wf", "wg"]), edges=st.lists(st.integers(0, 7), max_size=3))
    def workflow(self, id: str, edges: list[int]) -> str:
        """Step i waits for those before it whose bit is set in edges[i - 1]."""
        names = [f"s{i}" for i in range(len(edges) + 1)]
        after = {n: [names[k] for k in range(i) if i and edges[i - 1] >> k & 1] for i, n in enumerate(names)}
        steps = [Step(n, "k", after=after[n], retries=0) for n in names]
        known = task_id(id, "s0") in self.tasks
        assert self.rt.workflows.submit("shape", steps, id=id).new is not known
        if known:
            return id
        for n in names:
            me = task_id(id, n)
            parents = {task_id(id, p) for p in after[n]}
            self.tasks[me] = Model("waiting" if parents else "free", missing=parents)
            for parent in parents:
                self.tasks[parent].children.append(me)
        return id

    # -- working

    @rule(worker=NAMES, want=st.integers(1, 4))
    def claim(self, worker: str, want: int) -> None:
        found = self.rt.tasks.step(worker, want=want, caps=WORKERS[worker], lease_ms=60_000).tasks
        assert len(found) <= want
        for one in found:
            task = self.tasks[one.id]
            assert task.state == "free" and not task.later and set(task.needs) <= set(WORKERS[worker])
            assert (one.id, one.attempt) not in self.given and one.attempt == task.attempts + 1
            self.given.add((one.id, one.attempt))
            task.state, task.holder, task.attempts = "running", worker, one.attempt
            self.issued.append((worker, one.id, one.attempt))

    @rule(which=st.integers(0, 20), word=st.sampled_from(["done", "done", "failed", "hopeless"]))
    def report(self, which: int, word: str) -> None:
        """Of any attempt there ever was: held, lost, or reported already."""
        if not self.issued:
            return
        claim = worker, id, attempt = self.issued[-1 - which % len(self.issued)]
        task = self.tasks[id]
        self.reports += 1
        if word == "done":
            outcome = Outcome(id, attempt, b"%d" % self.reports)
        else:
            outcome = Outcome(id, attempt, error="no", retry=word == "failed")
        refused = self.rt.tasks.step(worker, [outcome], lease_ms=60_000).refused
        if (task.state, task.holder, task.attempts) == ("running", worker, attempt):
            assert not refused
            task.holder = ""
            if word == "done":
                task.result = self.reports
                self.end(id, "done", (worker, attempt, word))
                self.ready_children(id)
            else:
                self.failed(id, word, (worker, attempt, word))
        elif task.state not in ("done", "dead"):
            assert [r[0] for r in refused] == [id], f"{claim} {word} was taken, but the task is {task.state}"
        elif task.by[:2] != (worker, attempt) or (word == "done") != (task.state == "done"):
            assert [r[0] for r in refused] == [id], f"{claim} {word} was taken, but {task.by} had ended it"

    def failed(self, id: str, word: str, by: tuple[str, int, str]) -> None:
        task = self.tasks[id]
        task.fails += 1
        if word == "hopeless" or task.fails > task.retries:
            self.end(id, "dead", by)
            self.stop_children(id)
        else:
            task.state = "free"

    def end(self, id: str, state: str, by: tuple[str, int, str] = ("", 0, "")) -> None:
        task = self.tasks[id]
        assert task.state in OPEN
        task.state, task.by, task.holder = state, by, ""

    def ready_children(self, id: str) -> None:
        for child in self.tasks[id].children:
            one = self.tasks[child]
            one.missing.discard(id)
            if one.state == "waiting" and not one.missing:
                one.state = "free"
        self.tasks[id].children = []

    def stop_children(self, id: str) -> None:
        children, self.tasks[id].children = self.tasks[id].children, []
        for child in children:
            if self.tasks[child].state == "waiting":
                self.end(child, "stopped")
                self.stop_children(child)

    @rule(worker=NAMES)
    def die(self, worker: str) -> None:
        """Its lease ends, and somebody else's heartbeat finds out."""
        self.rt.tasks.beat(worker, lease_ms=1)
        time.sleep(0.004)
        self.rt.tasks.beat("sweeper", lease_ms=60_000)
        for id, task in list(self.tasks.items()):
            if task.state == "running" and task.holder == worker:
                task.deaths += 1
                if task.deaths >= DEATHS:
                    self.end(id, "dead", (worker, task.attempts, "died"))
                    self.stop_children(id)
                else:
                    task.state, task.holder = "free", ""

    @rule(worker=NAMES, some=st.integers(0, 3), whole=st.booleans())
    def give_back(self, worker: str, some: int, whole: bool) -> None:
        held = [i for i, t in self.tasks.items() if t.state == "running" and t.holder == worker]
        if whole:
            assert self.rt.tasks.leave(worker) == len(held)
        else:
            held = held[:some]
            self.rt.tasks.step(worker, released=[*held, "never-seen"], lease_ms=60_000)
        for id in held:
            self.tasks[id].state, self.tasks[id].holder = "free", ""

    # -- looking after it

    @rule(id=IDS)
    def cancel(self, id: str) -> None:
        task = self.tasks.get(id)
        if task is None:
            with pytest.raises(NotFound):
                self.rt.tasks.cancel(id)
        elif task.state in (*OPEN, "cancelled"):
            self.rt.tasks.cancel(id)
            if task.state != "cancelled":
                self.end(id, "cancelled")
        else:
            with pytest.raises(Illegal):
                self.rt.tasks.cancel(id)

    @rule(id=workflows)
    def cancel_workflow(self, id: str) -> None:
        open_ = [i for i, t in self.tasks.items() if i.startswith(f"{id}-") and t.state in OPEN]
        assert self.rt.workflows.cancel(id) == len(open_)
        for one in open_:
            self.end(one, "cancelled")

    @rule()
    def requeue(self) -> None:
        dead = {i for i, t in self.tasks.items() if t.state == "dead"}
        assert set(self.rt.tasks.requeue_dead(100)) == dead
        for id in dead:
            task = self.tasks[id]
            task.state, task.fails, task.deaths, task.by = "free", 0, 0, ("", 0, "")

    @rule(id=IDS)
    def look(self, id: str) -> None:
        if id in self.tasks:
            self.compare(id)

    # -- what always holds

    @invariant()
    def counts_agree(self) -> None:
        found = self.rt.tasks.depth()
        states = [t.state for t in self.tasks.values()]
        assert (found.running, found.blocked, found.dead) == tuple(map(states.count, ("running", "waiting", "dead")))
        assert found.ready + found.delayed == states.count("free")
        assert found.delayed >= sum(t.later for t in self.tasks.values() if t.state == "free")

    def compare(self, id: str) -> None:
        task, found = self.tasks[id], self.rt.tasks.get(id)
        assert found.status == task.state or task.state == "free" and found.status in ("ready", "delayed"), id
        assert found.result == task.result and found.attempt in (task.attempts, 0)

    def teardown(self) -> None:
        """What is left is carried out, and everything ends as the model says."""
        try:
            for worker in WORKERS:
                self.give_back(worker, 0, True)
            for id, task in self.tasks.items():
                if task.later and task.state == "free":
                    self.rt.tasks.cancel(id)
                    self.end(id, "cancelled")
            end = time.monotonic() + 10
            while any(t.state in OPEN for t in self.tasks.values()):
                assert time.monotonic() < end, {i: t for i, t in self.tasks.items() if t.state in OPEN}
                before = len(self.issued)
                self.claim("able", 4)
                for back in range(len(self.issued) - before):
                    self.report(back, "done")
            for id in self.tasks:
                self.compare(id)
            self.counts_agree()
        finally:
            self.rt.close()


def test_every_accepted_task_ends_once_or_is_open(server: Server) -> None:
    Machine.server = server
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    run_machine(
        Machine,
        settings=settings(max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=checks),
    )


def test_workers_at_the_same_time_never_get_the_same_attempt(server: Server, rt: Runtime) -> None:
    rt.tasks.submit_many([TaskSpec("k", i, f"n-{i}") for i in range(3000)])
    got: list[tuple[str, int]] = []

    def work(name: str) -> None:
        with Runtime(server.settings) as own:
            results: list[Outcome] = []
            while claims := own.tasks.step(name, results, want=7).tasks:
                got.extend((c.id, c.attempt) for c in claims)
                results = [Outcome(c.id, c.attempt, c.args) for c in claims]

    threads = [threading.Thread(target=work, args=(f"w-{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == len(set(got)) == 3000 and {a for _, a in got} == {1}
    assert rt.tasks.depth().running == 0
