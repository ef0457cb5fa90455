"""A process that leads, to be stopped and killed. argv: URL, id, lease in seconds, `candidate` or `writes` and a swarm.

candidate: says `lead <term>` and `lose` as it happens, until stdin ends.
writes: leads and writes with its token, as fast as it may, without ever looking at a clock: only the fence stands
between it and harm. Says `lead <term>` and, of each term, `refused <term>` once.
"""

from __future__ import annotations

import contextlib
import sys
import time

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Illegal, Stale
from swarmops.runtime.registry.candidate import Candidate


def say(*words: object) -> None:
    print(*words, flush=True)


def writes(rt: Runtime, id: str, lease: float, swarm: str) -> None:
    while True:
        found = rt.leader.campaign(id, round(lease * 1000))
        if not found.leading:
            time.sleep(0.005)
            continue
        say("lead", found.term)
        try:
            while True:
                rt.leader.campaign(id, round(lease * 1000))
                for to in ("recovering", "interrupted"):
                    write(rt, swarm, to, found.term)
        except Stale:
            say("refused", found.term)


def write(rt: Runtime, swarm: str, to: str, term: int) -> None:
    """One fenced write. Illegal is no fault: the other leader may have written in between."""
    time.sleep(0.002)
    with contextlib.suppress(Illegal):
        rt.swarms.status(swarm, to, str(term), term=term)


if __name__ == "__main__":
    url, who, seconds, how, *more = sys.argv[1:]
    with Runtime(url) as runtime:
        if how == "writes":
            writes(runtime, who, float(seconds), more[0])
        with Candidate(runtime, who, float(seconds), lambda term: say("lead", term), lambda: say("lose")):
            sys.stdin.read()
