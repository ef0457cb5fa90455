"""Idle agents on one coordinator: what each costs in memory, and whether all their heartbeats are kept.

    python -m benchmarks.services.idle_agents [--agents 1000] [--seconds 30]

One redis-server and one coordinator on loopback; the agents are connections of a few client processes, each registered
with what real ones say, each sending a heartbeat every 10 s and answering pings. Printed: memory of the coordinator per
agent (resident set, before and after), its processor time, commands that Redis carried out, heartbeats sent and
answered, agents alive at the end; and how long a task takes to reach one of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from swarmops.client import Client
from swarmops.runtime import Runtime
from tests.runtime.server import Server
from tests.services.coordinator import Coordinator

CLIENTS = 4  # processes
BEAT = 10.0


async def _agent(url: str, token: str, id: str, counts: dict[str, int], end: asyncio.Event) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(url, additional_headers=headers, compression=None, proxy=None, max_queue=4) as talk:
        said = {
            "agent_id": id,
            "kinds": ["embed", "chunk"],
            "capabilities": {"gpu": True, "cpu_cores": 8, "memory_gb": 32},
        }
        await talk.send(json.dumps({"type": "register", **said}))
        assert json.loads(await talk.recv())["type"] == "registered"
        counts["registered"] += 1
        # Spread over the interval, as agents that started at different times are.
        beat = asyncio.get_running_loop().time() + BEAT * (hash(id) % 1000) / 1000
        while not end.is_set():
            try:
                async with asyncio.timeout_at(beat):
                    await _heed(talk, json.loads(await talk.recv()), counts)
            except TimeoutError:
                beat += BEAT
                counts["sent"] += 1
                await talk.send('{"type":"heartbeat","load":0}')


async def _heed(talk: Any, message: dict[str, Any], counts: dict[str, int]) -> None:
    if message["type"] == "heartbeat":
        counts["answered"] += 1
    elif message["type"] == "task":
        counts["tasks"] += 1
        done = {"task_id": message["task_id"], "attempt": message["attempt"], "result": None}
        await talk.send(json.dumps({"type": "result", **done}))


async def _many(url: str, token: str, ids: list[str], pipe: Connection) -> None:
    counts = dict.fromkeys(("registered", "sent", "answered", "tasks", "lost"), 0)
    end = asyncio.Event()
    tasks = []
    for at, id in enumerate(ids):
        tasks.append(asyncio.create_task(_agent(url, token, id, counts, end)))
        if at % 20 == 19:
            while counts["registered"] < at - 20:
                await asyncio.sleep(0.01)
    while counts["registered"] < len(ids):
        await asyncio.sleep(0.02)
    pipe.send("ready")
    while not pipe.poll():
        await asyncio.sleep(0.1)
    counts["lost"] = sum(task.done() for task in tasks)
    pipe.send(counts)
    os._exit(0)


def _client(url: str, token: str, ids: list[str], pipe: Connection) -> None:
    asyncio.run(_many(url, token, ids, pipe))


def memory(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def commands(rt: Runtime) -> int:
    from swarmops.runtime.op import command

    info = rt.run(command(rt.keys.registry(), "INFO", "stats", safe=True)).decode()
    return int(info.split("total_commands_processed:")[1].split()[0])


def run(agents: int, seconds: float, folder: Path) -> int:
    with Server(folder / "redis") as redis, Runtime(redis.settings) as rt:
        api = Coordinator(folder / "api", redis).start()
        fork = multiprocessing.get_context("fork")
        pipes, processes = [], []
        try:
            time.sleep(1)
            before = memory(api.pid)
            began = time.monotonic()
            for n in range(CLIENTS):
                ours, theirs = fork.Pipe()
                ids = [f"idle-{n}-{i}" for i in range(agents // CLIENTS)]
                one = fork.Process(target=_client, args=(api.ws, api.tokens["agent"], ids, theirs), daemon=True)
                one.start()
                pipes.append(ours)
                processes.append(one)
            assert all(pipe.recv() == "ready" for pipe in pipes)
            print(f"{agents} agents registered in {time.monotonic() - began:.1f} s")
            time.sleep(2)
            cpu_before, said_before = cpu(api.pid), commands(rt)
            time.sleep(seconds)
            used, said = cpu(api.pid) - cpu_before, commands(rt) - said_before
            after = memory(api.pid)
            with Client(api.url, api.tokens["submit"]) as client:
                times = []
                for _ in range(100):
                    at = time.perf_counter()
                    client.run("embed", timeout=20)
                    times.append(time.perf_counter() - at)
            alive = sum(a.id.startswith("idle-") for a in rt.agents.list())
            for pipe in pipes:
                pipe.send("end")
            counts = [pipe.recv() for pipe in pipes]
        finally:
            for one in processes:
                one.kill()
            api.close()
    total = {key: sum(c[key] for c in counts) for key in counts[0]}
    each = (after - before) / agents / 1024
    print(f"memory: {before >> 20} MiB before, {after >> 20} MiB after: {each:.1f} KiB an agent")
    busy = f"{used / seconds * 100:.1f} % of a processor"
    print(f"idle for {seconds:g} s: {busy}, {said / seconds:.0f} Redis commands a second (those inside scripts too)")
    print(f"heartbeats: {total['sent']} sent, {total['answered']} answered; {alive} alive, {total['lost']} lost")
    print(f"submit to result through one of them: p50 {sorted(times)[50] * 1000:.1f} ms")
    kept = total["sent"] - total["answered"] <= agents // 100 and alive == agents and not total["lost"]
    return 0 if kept else 1


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return run(said.agents, said.seconds, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
