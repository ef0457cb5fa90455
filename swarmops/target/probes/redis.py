"""Is Redis well? `field` says what is looked at; all checks of one server share one connection and one INFO.

ping                answers PONG (the default). Value: milliseconds
used_memory_ratio   of maxmemory, or of the host's memory when no maxmemory is set
persistence         not loading; last save, AOF write and AOF rewrite went well. Value: its age in s
replication         a replica's link, a primary's replicas and their lag (`replicas`, `role`). Value: lag in s
clients_ratio       connected clients of maxclients
maxclients          what Redis really allows, against `maxclients` or its own redis.conf (S3-59)
evicted_keys        keys thrown away since the start: with noeviction there are none
rejected_connections, any other name of INFO   its number, or its text against `equals`
modules             `equals` is loaded (search, ReJSON, ...)
noauth              an anonymous client is refused (S4-34)

`command` asks one read-only command instead, such as [PTTL, "swarm:leader"] or [SCARD, "swarm:active"]; its number
is compared with the check's min and max. The password comes from `password_file`, readable by root.
"""

import time

from swarmops.target import resp
from swarmops.target.probes._net import Down, Unknown, connect, place, tls, unix

ARGS = dict(
    resp.ARGS,
    field="text = ping",
    equals="text",
    replicas="int",
    role="primary|replica",
    maxclients="int",
    command="list",
)
SHORT = "port"
SETTLED = 10  # seconds after its start in which a Redis may still be looking for its primary or replicas
READ_ONLY = frozenset(
    """DBSIZE EXISTS GET HEXISTS HGET HLEN LASTSAVE LLEN MEMORY OBJECT PING PTTL PUBSUB SCARD SISMEMBER STRLEN
    TIME TTL TYPE XLEN ZCARD ZCOUNT ZSCORE""".split()
)


def probe(args, system, deadline):
    if args.get("command"):
        return _command(args, deadline)
    field = args.get("field") or "ping"
    if field == "noauth":
        return _noauth(args, deadline)
    key = ("redis", *((k, args.get(k)) for k in sorted(resp.ARGS)))
    seen = system.once(key, lambda: _look(args, deadline))
    if field == "ping":
        return {"ok": True, "value": seen["ms"], "unit": "ms", "detail": "%s answers PONG" % seen["where"]}
    if seen["fault"]:
        return {"ok": None, "detail": "%s: %s" % (seen["where"], seen["fault"])}
    return FIELDS.get(field, _any)(seen["info"], args, system)


def _open(args, deadline):
    """An open, logged-in resp.Client. Raises Down, Unknown or TimeoutError."""
    host, port, path = args.get("host") or "127.0.0.1", args.get("port") or 6379, args.get("socket")
    where = path or place(host, port)
    secret = None
    if args.get("password_file"):
        try:
            secret = resp.read_password(args["password_file"])
        except resp.AuthFailed as e:
            raise Unknown(str(e))
    sock = unix(path, deadline) if path else connect(host, port, deadline)
    try:
        if args.get("tls") and not path:
            sock = _wrap(sock, dict(args, host=host), where, deadline)
        client = resp.Client(sock, where, deadline)
        if secret is not None:
            client.call("AUTH", args.get("user") or "default", secret)
        return client
    except resp.RedisError as e:
        sock.close()
        raise _why(e, where, args)
    except BaseException:
        sock.close()
        raise


def _wrap(sock, args, where, deadline):
    import ssl

    try:
        return tls(sock, args, deadline)
    except ssl.SSLCertVerificationError as e:
        raise Down("%s: its certificate is not trusted: %s" % (where, e.verify_message))


def _why(e, where, args):
    """What a failed call means, as the exception to raise."""
    if isinstance(e, resp.TimedOut):
        return TimeoutError("%s accepts connections but does not answer" % where)
    said = str(e)
    if isinstance(e, resp.AuthFailed) and said.startswith("NOAUTH"):
        said = "wants a password and the check gives none (password_file)"
    elif isinstance(e, resp.AuthFailed):
        said = "login as '%s' refused: %s" % (args.get("user") or "default", said)
    return Down(said if said.startswith(where) else "%s: %s" % (where, said))


def _look(args, deadline):
    """One visit: {"where", "ms", "info", "fault"}; `fault` says why there is no INFO."""
    client = _open(args, deadline)
    seen = {"where": client.where, "info": {}, "fault": None}
    with client:
        try:
            began = time.perf_counter()
            client.call("PING")
            seen["ms"] = round((time.perf_counter() - began) * 1000, 3)
        except resp.RedisError as e:
            raise _why(e, client.where, args)
        try:
            text = client.call("INFO")
            seen["info"] = dict(row.split(":", 1) for row in text.splitlines() if ":" in row)
            rows = [r for r in text.splitlines() if r.startswith("module:")]
            seen["info"]["modules"] = [r.split("name=", 1)[-1].split(",")[0] for r in rows]
        except resp.RedisError as e:
            seen["fault"] = str(e)
    return seen


def _command(args, deadline):
    words = [str(w) for w in args["command"]]
    if words[0].upper() not in READ_ONLY:
        return {"ok": None, "detail": "health checks may not run %s" % words[0]}
    client = _open(args, deadline)
    with client:
        try:
            reply = client.call(*words)
        except resp.RedisError as e:
            raise _why(e, client.where, args)
    said = "%s is %s" % (" ".join(words), "not there" if reply is None else reply)
    if args.get("equals") is not None:
        same = str(reply) == args["equals"]
        return {"ok": same, "detail": said if same else said + ", not %s" % args["equals"]}
    number = _number(reply)
    return {"ok": reply is not None, "value": number, "detail": said}


def _noauth(args, deadline):
    """An anonymous PING must be refused."""
    try:
        client = _open(dict(args, user=None, password_file=None), deadline)
    except Down as e:
        return {"ok": None, "detail": str(e)}
    with client:
        try:
            client.call("PING")
        except (resp.AuthFailed, resp.Unreachable):
            return {"ok": True, "detail": "%s refuses clients without a password" % client.where}
        except resp.ReplyError as e:
            return {"ok": e.code == "DENIED", "detail": "%s: %s" % (client.where, e)}
    return {"ok": False, "detail": "%s answers clients that give no password" % client.where}


def _number(text):
    try:
        return int(text)
    except (TypeError, ValueError):
        try:
            return float(text)
        except (TypeError, ValueError):
            return None


def _n(info, name):
    return _number(info.get(name)) or 0


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
    return _number(found[-1]) if found else None


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


def _any(info, args, system):
    name = args["field"]
    if name not in info:
        return {"ok": None, "detail": "Redis %s has no '%s' in INFO" % (info.get("redis_version", "?"), name)}
    said = "%s is %s" % (name, info[name])
    if args.get("equals") is not None and str(info[name]) != args["equals"]:
        return {"ok": False, "detail": "%s, not %s" % (said, args["equals"])}
    return {"ok": True, "value": _number(info[name]), "detail": said}


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
