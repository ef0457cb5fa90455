"""Does a name resolve here, and to `address` where one is given? Value: milliseconds."""

import socket
import time

ARGS = {"name": "text!", "address": "text"}
SHORT = "name"


def probe(args, system, deadline):
    began = time.perf_counter()
    try:
        found = sorted({str(row[4][0]) for row in socket.getaddrinfo(args["name"], None)})
    except socket.gaierror as e:
        return {"ok": False, "detail": "%s does not resolve: %s" % (args["name"], e.strerror)}
    ms = round((time.perf_counter() - began) * 1000, 3)
    ok = not args.get("address") or args["address"] in found
    detail = "%s is %s" % (args["name"], ", ".join(found)) + ("" if ok else ", not %s" % args["address"])
    return {"ok": ok, "value": ms, "unit": "ms", "detail": detail}
