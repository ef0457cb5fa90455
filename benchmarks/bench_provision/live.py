"""A no-op on connections that are open already, as a later wave of one deploy has it.

live.py PROJECT    prints the seconds of five such runs, as JSON
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from swarmops.delivery.access import access_to
from swarmops.delivery.deploy import Deploy
from swarmops.delivery.fleet import Fleet
from swarmops.delivery.options import Options
from swarmops.model.faults import Faults
from swarmops.model.project import Project


def main() -> None:
    faults = Faults()
    project = Project.open(Path(sys.argv[1]), "lan", faults)
    deploy = Deploy(project, Options(extra={"bench_level": 1}), faults)
    hosts = [project.inventory.hosts[name] for name in deploy.plans]
    deploy.fleet = Fleet([access_to(h, project.store) for h in hosts], project.state / "known_hosts")
    took = []
    for _ in range(6):
        began = time.perf_counter()
        records = list(deploy._play(deploy.plans))
        took.append(time.perf_counter() - began)
        ends = [r for r in records if r["type"] == "host"]
        assert len(ends) == len(hosts) and all(r["ok"] for r in ends), ends
    assert not any(c["changed"] for c in deploy.tally.counts.values()), deploy.tally.counts
    deploy.fleet.close()
    print(json.dumps(took[1:]))


if __name__ == "__main__":
    main()
