"""Room on the file system that holds a path, in bytes and inodes; one turned read-only is critical.

Value: the larger of the two used shares, 0 to 1. Without limits of the check's own: warns at 0.85, critical
at 0.95.
"""

import os

ARGS = {"path": "path = /", "writable": "bool = true"}
SHORT = "path"


def probe(args, system, deadline):
    path = args.get("path") or "/"
    try:
        v = os.statvfs(path)
    except FileNotFoundError:
        return {"ok": False, "detail": "%s does not exist" % path}
    used = v.f_blocks - v.f_bfree
    space = used / float(used + v.f_bavail) if used + v.f_bavail else 0.0
    inodes = (v.f_files - v.f_ffree) / float(v.f_files) if v.f_files else 0.0
    free = v.f_bavail * v.f_frsize
    found = {"value": round(max(space, inodes), 4), "unit": "ratio", "free": free}
    if args.get("writable") is not False and v.f_flag & os.ST_RDONLY:
        return dict(found, ok=False, detail="%s is mounted read-only" % path)
    size = "%.1f GB" % (free / 1e9) if free >= 1e9 else "%.1f MB" % (free / 1e6)
    detail = "%s: %s free, %.0f %% used, inodes %.0f %%" % (path, size, space * 100, inodes * 100)
    return dict(found, ok=True, detail=detail, limits={"max": 0.95, "warn": {"max": 0.85}})
