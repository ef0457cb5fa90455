"""An agent of somebody's laptop: `nat_agent.py URL NAME CA`, its token in $TOKEN. Says what it does on stdout."""

from __future__ import annotations

import logging
import os
import sys
import time

from swarmops.client import Agent, Job


def main(url: str, name: str, ca: str) -> int:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")

    def where(n: int) -> list[object]:
        time.sleep(0.1)  # so that nobody takes all of them
        return [name, n]

    def hold(job: Job, seconds: float) -> list[object]:
        print("holding", flush=True)
        return [name, "cancelled" if job.wait(seconds) else "held", job.attempt]

    return Agent(url, os.environ["TOKEN"], name, ca=ca, drain=1).run({"where": where, f"hold-{name}": hold})


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
