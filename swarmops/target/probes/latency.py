"""How far away something is: the median (value, ms) and p99 of a number of round trips.

via tcp: connections that are accepted or refused (both are one round trip); redis: PINGs on one connection;
icmp: echoes (root). `class` is what the link was declared to be: localhost, lan, region, cross-region or
continent; the controller compares (S0-38). Never point `tcp` at an SSH port: sshd takes visitors that do not
log in for attackers.
"""

import time

from swarmops.target.probes import _icmp
from swarmops.target.probes._net import Down, connect, place

ARGS = {
    "host": "text!",
    "port": "int = 6379",
    "via": "tcp|redis|icmp = tcp",
    "count": "int = 20",
    "class": "localhost|lan|region|cross-region|continent",
    "user": "text",
    "password_file": "path",
}
SHORT = "host"


def probe(args, system, deadline):
    via, count = args.get("via") or "tcp", args.get("count") or 20
    took = {"tcp": _tcp, "redis": _redis, "icmp": _echo}[via](args, count, deadline)
    if not took:
        raise TimeoutError("%s does not answer" % args["host"])
    took.sort()
    p50, p99 = took[len(took) // 2], took[min(len(took) - 1, int(len(took) * 0.99))]
    where = args["host"] if via == "icmp" else place(args["host"], args.get("port") or 6379)
    found = {"ok": True, "value": round(p50, 3), "unit": "ms", "p99": round(p99, 3), "samples": len(took)}
    found["class"] = args.get("class")
    return dict(found, detail="%s: p50 %.3g ms, p99 %.3g ms of %d by %s" % (where, p50, p99, len(took), via))


def _tcp(args, count, deadline):
    """Milliseconds of each; the first, which pays for ARP and name, does not count when there are others."""
    took: list = []
    for _ in range(count + 1):
        began = time.perf_counter()
        if took and time.monotonic() + 2 * took[-1] / 1000 > deadline:
            break
        try:
            connect(args["host"], args.get("port") or 6379, deadline, hedge=60).close()
        except Down as e:
            if "refused" not in str(e):
                raise
        except TimeoutError:
            break
        took.append((time.perf_counter() - began) * 1000)
    return took[1:] or took


def _redis(args, count, deadline):
    from swarmops.target import resp
    from swarmops.target.probes import redis

    client = redis._open(args, deadline)
    took: list = []
    with client:
        for _ in range(count):
            if took and time.monotonic() + 2 * took[-1] / 1000 > deadline:
                break
            began = time.perf_counter()
            try:
                client.call("PING")
            except resp.RedisError as e:
                raise redis._why(e, client.where, args)
            took.append((time.perf_counter() - began) * 1000)
    return took


def _echo(args, count, deadline):
    took: list = []
    for _ in range(count):
        if took and time.monotonic() + 2 * took[-1] / 1000 > deadline:
            break
        one = _icmp.echo([args["host"]], deadline)
        if args["host"] not in one:
            break
        took.append(one[args["host"]])
    return took
