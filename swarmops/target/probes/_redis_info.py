"""What the INFO of a Redis says of its health: a function a field, (info, args, system) -> finding (see redis.py)."""

import time

from swarmops.target.probes._net import place

SETTLED = 10  # seconds after its start in which a Redis may still be looking for its primary or replicas


def number(text):
    """The number in a text, or None."""
    try:
        return int(text)
    except (TypeError, ValueError):
        try:
            return float(text)
        except (TypeError, ValueError):
            return None


def _n(info, name):
    return number(info.get(name)) or 0


def _size(n):
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return ("%d %s" if unit == "B" else "%.1f %s") % (n, unit)
        n /= 1000.0


def _memory(info, args, system):
    used, most = _n(info, "used_memory"), _n(info, "maxmemory")
    of = most or _n(info, "total_system_memory")
    what = "maxmemory" if most else "the host's memory (no maxmemory set)"
    ratio = round(used / of, 4) if of else None
    policy = info.get("maxmemory_policy", "")
    detail = "%s of %s %s, %s" % (_size(used), _size(of), what, policy)
    return {
        "ok": True,
        "value": ratio,
        "unit": "ratio",
        "detail": detail,
        "limits": {"max": 0.9, "warn": {"max": 0.8}},
    }


def _persistence(info, args, system):
    bad = []
    if info.get("loading") == "1":
        bad.append("it is still loading its data")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        bad.append("the last save failed (%s changes unsaved)" % info.get("rdb_changes_since_last_save"))
    if info.get("aof_enabled") == "1":
        for name, what in (("aof_last_write_status", "write"), ("aof_last_bgrewrite_status", "rewrite")):
            if info.get(name, "ok") != "ok":
                bad.append("the last AOF %s failed" % what)
    age = max(0, int(time.time()) - _n(info, "rdb_last_save_time"))
    aof = "AOF on" if info.get("aof_enabled") == "1" else "AOF off"
    changes = info.get("rdb_changes_since_last_save", "?")
    fine = "%s, last save %d s ago, %s changes since" % (aof, age, changes)
    return {"ok": not bad, "value": age, "unit": "s", "detail": "; ".join(bad) or fine}


def _replication(info, args, system):
    role = "replica" if info.get("role") == "slave" else "primary"
    if args.get("role") and args["role"] != role:
        return {"ok": False, "detail": "is a %s, not a %s" % (role, args["role"])}
    return _replica(info) if role == "replica" else _primary(info, args.get("replicas") or 0)


def _replica(info):
    primary = place(info.get("master_host"), info.get("master_port"))
    if info.get("master_link_status") != "up":
        gone = _n(info, "master_link_down_since_seconds")
        said = "link down for %d s" % gone if gone >= 0 else "no link yet"
        return _missed(info, {"detail": "replica of %s: %s" % (primary, said)}, gone < 0)
    lag = _n(info, "master_last_io_seconds_ago")
    detail = "replica of %s, heard from it %d s ago" % (primary, lag)
    limits = {"max": 60, "warn": {"max": 20}}  # a primary with nothing to say pings every 10 s
    return {"ok": True, "value": lag, "unit": "s", "detail": detail, "limits": limits}


def _primary(info, wanted):
    lags = []
    for n in range(_n(info, "connected_slaves")):
        row = dict(p.split("=", 1) for p in info.get("slave%d" % n, "").split(",") if "=" in p)
        if row.get("state") == "online":
            lags.append(_n(row, "lag"))
    worst = max(lags, default=0)
    detail = "primary with %d replica%s online" % (len(lags), "" if len(lags) == 1 else "s")
    if len(lags) < wanted:
        return _missed(info, {"value": worst, "unit": "s", "detail": detail + ", %d wanted" % wanted})
    detail += ", lag %d s" % worst if lags else ""
    limits = {"max": 30, "warn": {"max": 10}}
    return {"ok": True, "value": worst, "unit": "s", "detail": detail, "limits": limits}


def _missed(info, found, young=True):
    """A finding about a peer that is not there: a warning only while this Redis has just started."""
    up = _n(info, "uptime_in_seconds")
    if young and up < SETTLED:
        return dict(found, ok=True, warn=True, detail="%s, started %d s ago" % (found["detail"], up))
    return dict(found, ok=False)


def _clients(info, args, system):
    now, most = _n(info, "connected_clients"), _n(info, "maxclients")
    detail = "%d of %d clients, %d blocked" % (now, most, _n(info, "blocked_clients"))
    limits = {"max": 0.95, "warn": {"max": 0.8}}
    ratio = round(now / most, 4) if most else None
    return {"ok": True, "value": ratio, "unit": "ratio", "detail": detail, "limits": limits}


def _maxclients(info, args, system):
    """Redis lowers maxclients at start, with one line in its log, when it may open too few files (S3-59)."""
    is_, want = _n(info, "maxclients"), args.get("maxclients") or _declared(info, system) or 10000
    files = "" if system.local else _open_files(info.get("process_id"))
    if is_ < want:
        detail = "Redis lowered maxclients from %d to %d%s" % (want, is_, files)
        return {"ok": True, "warn": True, "value": is_, "detail": detail}
    return {"ok": True, "value": is_, "detail": "maxclients is %d%s" % (is_, files)}


def _declared(info, system):
    """maxclients of the redis.conf that the server was started with, if we may read it."""
    if system.local or not info.get("config_file"):
        return None
    try:
        with open(info["config_file"], encoding="utf-8", errors="replace") as f:
            rows = [row.split() for row in f]
    except OSError:
        return None
    found = [r[1] for r in rows if len(r) == 2 and r[0].lower() == "maxclients"]
    return number(found[-1]) if found else None


def _open_files(pid):
    try:
        with open("/proc/%d/limits" % int(pid)) as f:
            row = next(r for r in f if r.startswith("Max open files"))
        return ", its limit of open files is %s" % row.split()[3]
    except (OSError, ValueError, TypeError, StopIteration):
        return ""


def _modules(info, args, system):
    have = info.get("modules") or []
    want = args.get("equals")
    detail = "modules: %s" % (", ".join(have) or "none")
    if want and want not in have:
        return {"ok": False, "value": len(have), "detail": "module %s is not loaded (%s)" % (want, detail)}
    return {"ok": True, "value": len(have), "detail": detail}


def _since_start(info, args, system):
    count, days = _n(info, args["field"]), _n(info, "uptime_in_seconds") / 86400.0
    detail = "%s is %d, counted since its start %.1f days ago" % (args["field"], count, days)
    return {"ok": True, "value": count, "detail": detail, "limits": {"warn": {"max": 0}}}


def any_field(info, args, system):
    name = args["field"]
    if name not in info:
        return {"ok": None, "detail": "Redis %s has no '%s' in INFO" % (info.get("redis_version", "?"), name)}
    said = "%s is %s" % (name, info[name])
    if args.get("equals") is not None and str(info[name]) != args["equals"]:
        return {"ok": False, "detail": "%s, not %s" % (said, args["equals"])}
    return {"ok": True, "value": number(info[name]), "detail": said}


FIELDS = {
    "used_memory_ratio": _memory,
    "persistence": _persistence,
    "replication": _replication,
    "clients_ratio": _clients,
    "maxclients": _maxclients,
    "modules": _modules,
    "evicted_keys": _since_start,
    "rejected_connections": _since_start,
}
