"""How old a file is, in seconds; or that it is not there (`want: absent`, such as /run/reboot-required)."""

import os
import time

ARGS = {"path": "path!", "want": "present|absent = present"}
SHORT = "path"


def probe(args, system, deadline):
    path = args["path"]
    try:
        age = time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return {"ok": args.get("want") == "absent", "detail": "%s is not there" % path}
    if args.get("want") == "absent":
        return {"ok": True, "warn": True, "value": round(age, 1), "unit": "s", "detail": "%s is there" % path}
    detail = "%s was written %.0f s ago" % (path, age)
    return {"ok": True, "value": round(age, 1), "unit": "s", "detail": detail}
