"""Does a TCP port accept connections? Or, with `expect: closed`, does it not? Value: milliseconds."""

import time

from swarmops.target.probes._net import Down, connect, place

ARGS = {"host": "text = 127.0.0.1", "port": "int!", "expect": "open|closed = open"}
SHORT = "port"


def probe(args, system, deadline):
    host, port = args.get("host") or "127.0.0.1", args["port"]
    closed, began = args.get("expect") == "closed", time.perf_counter()
    if closed:  # a firewall that drops gives no answer at all, so stop looking a little before the deadline
        deadline = time.monotonic() + 0.8 * (deadline - time.monotonic())
    try:
        connect(host, port, deadline).close()
    except (Down, TimeoutError) as e:
        if closed:
            return {"ok": True, "detail": str(e) + ", as it should"}
        raise
    ms = round((time.perf_counter() - began) * 1000, 3)
    if closed:
        return {"ok": False, "detail": "%s is open and must not be" % place(host, port)}
    return {"ok": True, "value": ms, "unit": "ms", "detail": "%s accepts connections" % place(host, port)}
