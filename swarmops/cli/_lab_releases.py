"""Wheels for a lab's hosts: its controller reaches nothing but them, so they are chosen while the lab is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmops.lab import Lab
    from swarmops.model.project import Project

# As the hosts will say it themselves (swarmops.target.facts).
ASK = (
    "import json,os,sys;"
    "print(json.dumps(['%d.%d'%sys.version_info[:2],os.uname().machine,os.confstr('CS_GNU_LIBC_VERSION')]))"
)


def prepare(project: Project, lab: Lab) -> None:
    """Choose and fetch the wheels of all releases that a deploy of `project` in `lab` would bring; say what cannot be.

    A project with faults, or without secrets yet, is left to the deploy, which names them.
    """
    from swarmops.cli._output import progress
    from swarmops.delivery import release
    from swarmops.delivery.release.parts import ReleaseError
    from swarmops.model.faults import Faults
    from swarmops.planning.plan import make_plans

    plans = make_plans(project, faults=Faults())
    if not any(release.steps_of(plan) for plan in plans.values()):
        return
    said = lab.exec(lab.guests[0].name, ["python3", "-c", ASK], timeout=30, check=True).stdout
    target = dict(zip(("python", "arch", "libc"), json.loads(said), strict=True))
    progress("choosing and fetching the wheels of releases, for hosts that reach no index", "grey")
    try:
        release.prepare(plans, target, Path(lab.environment()["SWARMOPS_STATE"]))
    except ReleaseError as e:
        for line in e.lines():
            progress(f"releases: {line}", "yellow")
