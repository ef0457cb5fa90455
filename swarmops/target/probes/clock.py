"""How far the clock is off, in seconds: by chrony where it runs, else against the controller's clock.

Without chrony the host only says what time it has; the controller knows when the question left and when the
answer came, and judges (`swarmops.health.verdict.clock`). Without limits of the check's own: warns above 0.5
s, critical above 30 s.
"""

import time

ARGS: dict = {}
LIMITS = {"max": 30.0, "warn": {"max": 0.5}}


def probe(args, system, deadline):
    try:
        rc, out, _ = system.run(["chronyc", "-c", "tracking"], deadline)
    except FileNotFoundError:
        rc, out = 1, ""
    fields = out.strip().split(",")
    if rc == 0 and len(fields) >= 14:
        return _chrony(fields)
    detail = "compared with the controller"
    return {"ok": True, "unit": "s", "detail": detail, "time": time.time(), "limits": LIMITS}


def _chrony(fields):
    """Fields of `chronyc -c tracking`: 1 source, 2 stratum, 4 offset, 13 leap status."""
    offset, source = abs(float(fields[4])), fields[1] or "no source"
    found = {"ok": True, "value": round(offset, 6), "unit": "s", "limits": LIMITS}
    if fields[13] == "Not synchronised":
        return dict(found, warn=True, time=time.time(), detail="chrony has no source to follow")
    return dict(found, detail="chrony follows %s, off by %.3f ms" % (source, offset * 1000))
