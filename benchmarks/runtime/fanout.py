"""How long a broadcast takes to reach 100 subscribers (100 messages a second). Prints milliseconds.

    python -m benchmarks.runtime.fanout [--subscribers 100] [--connections 1] [--rate 100] [--seconds 3] [--stalled 1]

connections: over how many connections (one asyncio process) the subscribers are spread; 100 is one each.
stalled: so many more subscribers that never come back from their first message (F40).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from swarmops.runtime import AsyncRuntime, Settings
from swarmops.runtime.messages.inbox import AsyncInbox
from tests.runtime.server import Server


async def receive(url: str, subscribers: int, connections: int, stalled: int, expected: int) -> None:
    late: list[float] = []
    whole = asyncio.Event()

    def note(payload: Any, envelope: Any) -> None:
        late.append(time.time() * 1000 - payload["at"])
        if len(late) == expected:
            whole.set()

    async def hang(payload: Any, envelope: Any) -> None:
        await asyncio.sleep(3600)

    async with AsyncRuntime(Settings.of(url, connections=connections + stalled + 10)) as rt:
        inboxes = []
        for i in range(connections):
            inbox = AsyncInbox(rt)
            inbox.on("bench.tick", note)
            for s in range(i, subscribers, connections):
                inbox.desk.add(f"agent.s{s}", ["global"])
            inboxes.append(await inbox.start())
        for i in range(stalled):
            inbox = AsyncInbox(rt, f"agent.stalled{i}")
            inbox.on("bench.tick", hang)
            await inbox.start()
        print("ready", flush=True)
        await asyncio.wait_for(whole.wait(), 60)
        await asyncio.gather(*[inbox.stop() for inbox in inboxes])
        late.sort()
        print(json.dumps({q: round(late[int(len(late) * int(q[1:]) / 100)], 2) for q in ("p50", "p90", "p99")}))


async def publish(url: str, rate: int, seconds: float) -> None:
    async with AsyncRuntime(url) as rt:
        began = time.perf_counter()
        for i in range(int(rate * seconds)):
            await asyncio.sleep(max(0, began + i / rate - time.perf_counter()))
            await rt.messages.broadcast("bench.tick", {"at": time.time() * 1000}, sender="agent.clock")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    for flag, default in (("subscribers", 100), ("connections", 1), ("rate", 100), ("seconds", 3), ("stalled", 0)):
        p.add_argument(f"--{flag}", type=int, default=default)
    p.add_argument("--receive", metavar="URL", help=argparse.SUPPRESS)
    a = p.parse_args()
    total = a.subscribers * a.rate * a.seconds
    if a.receive:
        asyncio.run(receive(a.receive, a.subscribers, a.connections, a.stalled, total))
        return
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        argv = [sys.executable, "-m", "benchmarks.runtime.fanout", *sys.argv[1:], "--receive", server.url]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as receiver:
            assert receiver.stdout
            assert receiver.stdout.readline() == "ready\n"
            asyncio.run(publish(server.url, a.rate, a.seconds))
            found = json.loads(receiver.stdout.readline())
    print(f"{a.subscribers} subscribers, {a.connections} connections, {a.rate} messages/s, {total} deliveries:", found)


if __name__ == "__main__":
    main()
