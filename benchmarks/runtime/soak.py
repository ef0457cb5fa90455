#!/usr/bin/env python3
"""100 swarms and 1,000 agents for an hour of traffic, compressed: is the memory flat, are the connections few?

    .venv/bin/python benchmarks/runtime/soak.py [--swarms 100] [--minutes 60] [--processes 2] [--seconds 90] [--flushes]

Before the hour everything that is bounded by number is filled to its default bound, as it would be after some days:
100,000 outcomes, 10,000 events, 10 snapshots and 20 checkpoints of each state, 10,000 findings of each of 4 shards.
Then, for each swarm and minute: 2 beats of the swarm and of each of its 10 agents, 10 tasks (submitted, claimed, done),
10 messages between agents (sent, taken, acknowledged), a broadcast, a finding and a save of a 20 KB state; every 5
minutes a snapshot, every 10 a checkpoint. What is bounded by age (history: 1 h or 1,000) does not age meanwhile.

All swarms of a process are coroutines over one AsyncRuntime, each call awaited by itself; with --flushes each swarm
sends what belongs together by run_many and submit_many.

Exits with 1 if used_memory grows by more than 10 % in the last half hour or reaches 2 GB, or if the connections of a
process depend on how many swarms it carries (S3-54, S3-55).
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import string
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from redis import Redis  # noqa: E402

from swarmops.runtime import AsyncRuntime, Runtime, Settings  # noqa: E402
from swarmops.runtime.context.findings import Finding  # noqa: E402
from swarmops.runtime.tasks import Outcome, TaskSpec  # noqa: E402
from tests.runtime.server import Server  # noqa: E402

AGENTS = 10  # of a swarm
STATE = 20_000  # bytes
SHARDS = ("data", "code", "logs", "web")
ARGS = {"n": 1, "text": "x" * 80}
fork = multiprocessing.get_context("fork")


def text(size: int) -> str:
    return "".join(random.choices(string.ascii_letters, k=size))


@dataclass
class Swarm:
    """One swarm in its process, with its agents; `version` is of its state."""

    rt: AsyncRuntime
    id: str
    flushes: bool
    version: int | None = None
    ended: list[Outcome] = field(default_factory=list)

    @property
    def agents(self) -> list[str]:
        return [f"{self.id}-a{i}" for i in range(AGENTS)]

    async def begin(self) -> None:
        """Register everything, and fill what the state keeps."""
        rt = self.rt
        await rt.swarms.create("soak", id=self.id, max_agents=AGENTS, heartbeat=3600)
        await rt.swarms.status(self.id, "active")
        await self._all(rt.agents.register.op(a, ["cpu"], {"swarm": self.id}, heartbeat=3600) for a in self.agents)
        await self._all(rt.messages.take.op(f"agent.{a}") for a in self.agents)
        for _ in range(20):
            await self.save()
            await rt.state.checkpoint(self.id)
        for _ in range(10):
            await rt.state.snapshot(self.id)

    async def save(self) -> None:
        self.version = await self.rt.state.save(self.id, {"progress": text(STATE)}, self.version)

    async def minute(self, n: int) -> int:
        """A minute's traffic, beats first; how many operations that was."""
        rt = self.rt
        await asyncio.gather(self.work(), self.talk(), self.beat())
        await rt.messages.broadcast("soak.tick", ARGS, sender=f"swarm.{self.id}")
        await rt.findings.add(SHARDS[n % len(SHARDS)], "note", {"text": text(200)}, self.id)
        await self.save()
        if n % 5 == 0:
            await rt.state.snapshot(self.id)
        if n % 10 == 0:
            await rt.state.checkpoint(self.id)
        return 2 * (1 + AGENTS) + 2 + 3 * AGENTS + 3 + (n % 5 == 0) + (n % 10 == 0)

    async def beat(self) -> None:
        for _ in range(2):
            await self._all([self.rt.swarms.beat.op(self.id), *(self.rt.agents.beat.op(a) for a in self.agents)])

    async def work(self) -> None:
        if self.flushes:
            await self.rt.tasks.submit_many([TaskSpec("noop", ARGS) for _ in range(AGENTS)])
        else:
            await asyncio.gather(*[self.rt.tasks.submit("noop", ARGS) for _ in range(AGENTS)])
        claimed = await self.rt.tasks.step(f"w-{self.id}", self.ended, want=AGENTS, lease_ms=60_000)
        self.ended = [Outcome.done(c, {"ok": 1}) for c in claimed.tasks]

    async def talk(self) -> None:
        rt, agents = self.rt, self.agents
        pairs = zip(agents, agents[1:] + agents[:1])
        await self._all(rt.messages.send.op(f"agent.{b}", "soak.note", ARGS, sender=f"agent.{a}") for a, b in pairs)
        taken = await self._all(rt.messages.take.op(f"agent.{a}") for a in agents)
        acks = [(a, [e.mark for e in found]) for a, found in zip(agents, taken)]
        await self._all(rt.messages.ack.op(f"agent.{a}", *marks) for a, marks in acks if marks)

    async def _all(self, ops: Any) -> list[Any]:
        if not self.flushes:
            return await asyncio.gather(*[self.rt.run(op) for op in ops])
        replies = await self.rt.run_many(list(ops))
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


def carry(settings: Settings, ids: list[str], minutes: int, flushes: bool, barrier: Any, done: Any) -> None:
    """A process with these swarms, each a coroutine. Meets the others at each quarter and halts there."""

    async def quarter(swarm: Swarm, which: int) -> int:
        return sum([await swarm.minute(n) for n in range(which * minutes // 4, (which + 1) * minutes // 4)])

    async def main() -> None:
        async with AsyncRuntime(settings) as rt:
            swarms = [Swarm(rt, id, flushes) for id in ids]
            await asyncio.gather(*[s.begin() for s in swarms])
            for which in range(4):
                barrier.wait(120)
                barrier.wait(120)
                operations = sum(await asyncio.gather(*[quarter(s, which) for s in swarms]))
                with done.get_lock():
                    done.value += operations
            barrier.wait(120)
            barrier.wait(120)

    asyncio.run(main())


def fill(settings: Settings) -> None:
    """What is bounded by number, to its bound."""
    with Runtime(settings) as rt:
        for shard in SHARDS:
            rt.shards.register(shard)
            for start in range(0, 10_000, 1000):
                made = [
                    Finding(f"{shard}.f{n}", shard, 0, 1, "note", "before", "", {"text": text(200)})
                    for n in range(start, start + 1000)
                ]
                rt.findings.add_all(shard, made)
        rt.tasks.submit_many([TaskSpec("noop", ARGS) for _ in range(100_000)])
        ended: list[Outcome] = []
        while True:
            claimed = rt.tasks.step("filler", ended, want=500, lease_ms=60_000)
            ended = [Outcome.done(c, {"ok": 1}) for c in claimed.tasks]
            if not ended:
                break
        for n in range(1000):
            rt.messages.broadcast("soak.tick", ARGS, sender=f"agent.filler{n % 50}")


class Watch(threading.Thread):
    """Most connections at once, looked at ten times a second, but for its own and the one of the main thread."""

    def __init__(self, port: int):
        super().__init__(daemon=True)
        self.redis, self.most, self.over = Redis(port=port), 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            self.most = max(self.most, self.redis.info("clients")["connected_clients"] - 2)

    def close(self) -> int:
        self.over.set()
        self.join()
        self.redis.close()
        return self.most


def hour(
    server: Server, redis: Redis, swarms: int, minutes: int, processes: int, flushes: bool, tag: str
) -> dict[str, Any]:
    """Run it; memory at the start and at each quarter, seconds, operations, most connections a process."""
    barrier, done = fork.Barrier(processes + 1), fork.Value("q", 0)
    settings = server.settings.but(swarm_max=swarms * 2)
    ids = [f"{tag}{i}" for i in range(swarms)]
    children = [
        fork.Process(target=carry, args=(settings, ids[i::processes], minutes, flushes, barrier, done), daemon=True)
        for i in range(processes)
    ]
    for child in children:
        child.start()
    watch = Watch(server.port)
    watch.start()
    quarters, spent, began = [], 0.0, 0.0
    try:
        for which in range(5):
            barrier.wait(120)
            spent += time.monotonic() - began if which else 0
            quarters.append((redis.info("memory")["used_memory"], redis.dbsize()))
            barrier.wait(120)
            began = time.monotonic()
        for child in children:
            child.join(20)
    finally:
        for child in children:
            child.kill()
    return {"quarters": quarters, "seconds": spent, "operations": done.value, "connections": watch.close() / processes}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--swarms", type=int, default=100)
    p.add_argument("--minutes", type=int, default=60, help="simulated ones; a multiple of 4")
    p.add_argument("--processes", type=int, default=2)
    p.add_argument("--flushes", action="store_true", help="by run_many and submit_many")
    p.add_argument("--seconds", type=int, default=90, help="give up (2) after so many, of the clock on the wall")
    o = p.parse_args()
    limit = threading.Timer(o.seconds, lambda: (print("not finished in time", flush=True), os._exit(2)))
    limit.daemon = True
    limit.start()
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        redis = Redis(port=server.port)
        fill(server.settings)
        lone = hour(server, redis, o.processes, 4, o.processes, o.flushes, "lone")
        found = hour(server, redis, o.swarms, o.minutes, o.processes, o.flushes, "s")
    rate = found["operations"] / found["seconds"]
    print(f"{o.swarms} swarms, {o.swarms * AGENTS} agents, {o.minutes} minutes in {found['seconds']:.0f} s:", end=" ")
    print(f"{found['operations']:,} operations, {rate:,.0f} a second")
    print("| | start | 1/4 | 1/2 | 3/4 | end |\n|---|---|---|---|---|---|")
    print("| used_memory, MB | " + " | ".join(f"{m / 1e6:.1f}" for m, _ in found["quarters"]) + " |")
    print("| keys | " + " | ".join(f"{k:,}" for _, k in found["quarters"]) + " |")
    print(f"connections a process: {lone['connections']:g} with one swarm,", end=" ")
    print(f"{found['connections']:g} with {o.swarms // o.processes}")
    half, end = found["quarters"][2][0], found["quarters"][4][0]
    most = lone["connections"] + 2
    flat, few = end <= half * 1.1 and end < 2e9, found["connections"] <= most
    print(f"the last half: {end / half - 1:+.1%} memory. {'held' if flat and few else 'NOT HELD'}")
    return 0 if flat and few else 1


if __name__ == "__main__":
    sys.exit(main())
