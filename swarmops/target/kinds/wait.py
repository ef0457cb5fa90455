"""Wait until something is so: a port or URL answers, a path is there, a unit is up, a command succeeds."""

import os
import time

from swarmops.target import files
from swarmops.target.system import Failed

ARGS = {
    "port": "int",
    "host": "text = 127.0.0.1",
    "url": "text",
    "ca_pem": "text",
    "server_name": "text",
    "path": "path",
    "unit": "name",
    "command": "any",
    "state": "started|stopped|present|absent = started",
    "timeout": "duration = 30s",
}
FIRST, LONGEST = 0.02, 0.5  # seconds between two looks, growing


def want(args):
    given = [key for key in ("port", "url", "path", "unit", "command") if args[key] is not None]
    if len(given) != 1:
        raise ValueError("say what to wait for: one of port, url, path, unit, command")
    files.argv(args["command"], "command")
    return {"ready": True}


def read(args, want, system):
    """Look once in check mode, else until it is so. Raises Failed with the last reason when time is over."""
    end, pause = time.monotonic() + args["timeout"], FIRST
    while True:
        why = _why_not(args, end, system)
        if why is None or system.check:
            return {"ready": why is None or why}
        if time.monotonic() + pause > end:
            raise Failed("waited %g s: %s" % (args["timeout"], why))
        time.sleep(pause)  # no one event tells of all of these
        pause = min(pause * 1.5, LONGEST)


def fix(args, want, state, system):
    raise Failed("still waiting: %s" % state["ready"])


def _why_not(args, end, system):
    """None when it is so, else why not. `absent` and `stopped` turn the answer round."""
    left = max(0.05, end - time.monotonic())
    if args["port"] is not None:
        name, why = "%s:%d" % (args["host"], args["port"]), _port(args, min(2.0, left))
    elif args["url"] is not None:
        name, why = args["url"], unanswered(args, min(2.0, left))
    elif args["path"] is not None:
        name, why = args["path"], None if os.path.exists(args["path"]) else "is not there"
    elif args["unit"] is not None:
        said = system.run(["systemctl", "is-active", "--", args["unit"]], ok=None).stdout.strip()
        name, why = args["unit"], None if said == "active" else "is %s" % (said or "unknown")
    else:
        words = files.argv(args["command"], "command")
        said = system.run(words, ok=None, timeout=left)
        name = "`%s`" % " ".join(words)[:100]
        why = None if said.rc == 0 else "ends with %d %s" % (said.rc, said.stderr.strip()[-200:])
    if args["state"] in ("absent", "stopped"):
        return None if why else "%s is still there" % name
    return None if why is None else "%s %s" % (name, why.strip())


def _port(args, timeout):
    import socket

    try:
        socket.create_connection((args["host"], args["port"]), timeout).close()
        return None
    except OSError as e:
        return "does not answer (%s)" % (e.strerror or e)


def unanswered(args, timeout):
    """Why the url does not answer; None when it does: any answer of 200 to 299 will do."""
    from swarmops.target.probes import http

    url = args["url"]
    asked = {key: args[key] for key in ("url", "ca_pem", "server_name")}
    try:
        said = http.probe(asked, None, time.monotonic() + timeout)
    except (http.Down, http.Unknown, OSError) as e:
        return str(e).replace(url, "").strip(" :") or "does not answer"
    return None if said["ok"] else said["detail"].replace(url, "").strip()
