"""Is a unit in the state it should be in, and has it stayed there? One `systemctl show` serves all units.

A unit that systemd started again warns for an hour ("restarted 2 times"); one that keeps falling over (three
times or more, and up for less than a minute) is critical although systemd calls it active (F10). Value:
restarts.
"""

import time

ARGS = {"unit": "name!", "state": "active|inactive|any = active"}
SHORT = "unit"
LOOP, SETTLED, RECENT = 3, 60.0, 3600.0  # restarts, seconds, seconds
PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,NRestarts,ExecMainCode,ExecMainStatus,"
    "ActiveEnterTimestampMonotonic,InactiveEnterTimestampMonotonic"
)


def probe(args, system, deadline):
    units = sorted({_full(a["unit"]) for a in system.asked("systemd")} | {_full(args["unit"])})
    rows = system.once(("systemd", tuple(units)), lambda: _show(units, system, deadline))
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    return judge(rows[_full(args["unit"])], args.get("state") or "active", now)


def _full(unit):
    return unit if "." in unit else unit + ".service"


def _show(units, system, deadline):
    from swarmops.target.probes._net import Unknown

    try:
        rc, out, err = system.run(["systemctl", "show", "--property=" + PROPERTIES, "--", *units], deadline)
    except FileNotFoundError:
        raise Unknown("this host has no systemctl")
    blocks = [dict(r.split("=", 1) for r in b.splitlines() if "=" in r) for b in out.strip().split("\n\n")]
    if rc or len(blocks) != len(units):
        raise Unknown("systemctl show: %s" % (err.strip() or "exit code %d" % rc))
    return dict(zip(units, blocks))


def judge(row, want, now):
    """The finding for one unit. `now` is in seconds of the monotonic clock, as systemd's own timestamps."""
    unit, active, sub = row.get("Id", "?"), row.get("ActiveState", "?"), row.get("SubState", "?")
    if row.get("LoadState") == "not-found":
        return {"ok": want != "active", "detail": "there is no unit %s" % unit}
    restarts = int(row.get("NRestarts") or 0)
    up = now - int(row.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
    again = ", restarted %d time%s" % (restarts, "" if restarts == 1 else "s") if restarts else ""
    found = {"value": restarts, "unit": "restarts", "active": active}
    if want == "inactive":
        return dict(found, ok=active in ("inactive", "failed"), detail="%s is %s (%s)" % (unit, active, sub))
    if sub == "auto-restart":
        return dict(found, ok=False, detail="%s keeps ending%s%s" % (unit, again, _why(row)))
    if active == "failed":
        return dict(found, ok=want == "any", detail="%s has failed%s%s" % (unit, again, _why(row)))
    if active in ("activating", "deactivating"):
        return dict(found, ok=True, warn=True, detail="%s is %s (%s)%s" % (unit, active, sub, again))
    if active not in ("active", "reloading"):
        return dict(found, ok=want == "any", detail="%s is %s (%s)" % (unit, active, sub))
    if restarts >= LOOP and up < SETTLED:
        return dict(found, ok=False, detail="%s keeps restarting%s, up for %.0f s only" % (unit, again, up))
    detail = "%s is %s (%s)%s" % (unit, active, sub, again)
    if restarts and up < RECENT:
        return dict(found, ok=True, warn=True, detail="%s, last %s ago" % (detail, _span(up)))
    return dict(found, ok=True, detail=detail)


def _why(row):
    said = row.get("Result", "")
    code = row.get("ExecMainStatus", "0")
    killed = row.get("ExecMainCode") in ("2", "3")
    how = ("signal " if killed else "exit code ") + code
    words = [said if said != "success" else "", how if code != "0" else ""]
    return " (%s)" % ", ".join(w for w in words if w) if any(words) else ""


def _span(seconds):
    return "%.0f s" % seconds if seconds < 90 else "%.0f min" % (seconds / 60)
