"""Load of the last five minutes for each core. Without limits of its own: warns above 4, never critical.

In a container the figure is that of the whole machine, so it is told but not judged.
"""

import os

ARGS: dict = {}


def probe(args, system, deadline):
    one, five, fifteen = os.getloadavg()
    cores = os.cpu_count() or 1
    detail = "load %.2f %.2f %.2f on %d cores" % (one, five, fifteen, cores)
    if os.path.exists("/run/host/container-manager"):
        return {"ok": True, "exempt": True, "detail": detail + " of the machine that this container is on"}
    limits = {"warn": {"max": 4}}
    return {"ok": True, "value": round(five / cores, 3), "unit": "", "detail": detail, "limits": limits}
