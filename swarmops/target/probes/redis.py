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
from swarmops.target.probes._redis_info import FIELDS, any_field, number

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
    return FIELDS.get(field, any_field)(seen["info"], args, system)


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
    value = number(reply)
    return {"ok": reply is not None, "value": value, "detail": said}


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
