"""A release of Python for one service: our code and the libraries it needs, under /opt/swarmops/NAME.

What it is made of is chosen and sent by the controller, so that a host needs no index and no internet. It is put
together beside the one that runs and switched by renaming a link; a handler that fails brings the former one back.
"""

import json
import os
import re
import sys

from swarmops.target.digests import sha256
from swarmops.target.kinds import _releases as releases
from swarmops.target.kinds import _wheel as wheel
from swarmops.target.system import Failed

ARGS = {
    "name": "name!",
    "extras": "list",
    "state": "present|absent = present",
    "keep": "int = 3",
    "root": "path = /opt/swarmops",
    "python": "text",
    "wheels": "list",
}
SHORT = "name"
LAYOUT = 1  # of a release's folder; another one is another release
NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
TAKEN = ("releases", "wheels")


def want(args):
    if not NAME.fullmatch(args["name"]) or args["name"] in TAKEN:
        raise ValueError("'%s' is no name for a release: small letters, digits and -" % args["name"])
    if not 1 <= args["keep"] <= 100:
        raise ValueError("keep is between 1 and 100")
    return {"release": None if args["state"] == "absent" else _id(args)}


def read(args, want, system):
    link, root = lands(args), args["root"]
    if os.path.lexists(link) and not os.path.islink(link):
        raise Failed("%s is not a link: it is not of ours" % link)
    now = releases.current(link)
    if want["release"] is None:
        left = releases.of(root, args["name"])
        return {"release": now or (left[0] if left else None)}
    _fits(args)
    if now == want["release"] and not _whole(args, now, system):
        return {"release": "%s, not as it was made" % now}
    return {"release": now}


def fix(args, want, state, system):
    from swarmops.target import generations

    root, link = args["root"], lands(args)
    release, before = want["release"], releases.current(link)
    if release is None:
        if before:
            generations.keep(system, link)
            os.unlink(link)
        return releases.prune(root, args["name"], 0, ())
    if not _whole(args, release, system):
        _compose(args, release, system)
        system.forget("release " + release)
    os.utime(releases.folder(root, release))
    generations.keep(system, link)
    releases.point(link, os.path.join("releases", release))
    needed = {release, before, os.path.basename(generations.pending_link(system, link) or "")}
    releases.prune(root, args["name"], args["keep"], needed - {None, ""})
    system.incoming.tidy()


def _compose(args, release, system):
    """Each wheel lands by itself, so that what is here stays when the line breaks."""
    root = args["root"]
    for one in args["wheels"]:
        if not wheel.whole(root, one["sha256"]):
            path = system.incoming.get(one["sha256"], one["name"])
            try:
                wheel.lay_out(root, one["sha256"], one["name"], path, system)
            finally:
                system.incoming.drop(one["sha256"])
    try:
        releases.compose(root, release, args)
    except OSError as e:
        raise Failed("cannot make %s: %s" % (releases.folder(root, release), e.strerror or e))


def fetches(args, system):
    """What the host lacks of a release that it is to have."""
    release = want(args)["release"]
    if release is None or _whole(args, release, system):
        return []
    return [w["sha256"] for w in args["wheels"] or () if not wheel.whole(args["root"], w["sha256"])]


def _whole(args, release, system):
    """Looked at once in a run: it takes a look at every file."""
    return system.memo("release " + release, lambda: releases.whole(args["root"], release))


def lands(args):
    return os.path.join(args["root"], args["name"])


def makes(args):
    return ["file:" + lands(args), "file:" + os.path.join(lands(args), "bin", "swarmops")]


def diff(args, want, state, system):
    if want["release"] is None:
        return "-%s -> %s\n" % (lands(args), state["release"])
    lacking = set(fetches(args, system))
    sent = [w for w in args["wheels"] if w["sha256"] in lacking]
    lines = ["-%s -> %s" % (lands(args), state["release"])] if state["release"] else []
    lines += ["+%s -> %s" % (lands(args), want["release"])]
    size = sum(w["size"] for w in sent) / 1e6
    lines += [" %d of %d wheels are sent, %.1f MB" % (len(sent), len(args["wheels"]), size)]
    return "\n".join(lines + ["  " + w["name"] for w in sent]) + "\n"


def out(args, system):
    return {"release": releases.current(lands(args))}


def _id(args):
    """A release is what it is made of."""
    made = [LAYOUT, args["python"], [w["sha256"] for w in args["wheels"] or ()]]
    return "%s-%s" % (args["name"], sha256(json.dumps(made).encode()).hexdigest()[:12])


def _fits(args):
    if not args["wheels"]:
        raise Failed("no wheels were chosen for this release")
    here = "%d.%d" % sys.version_info[:2]
    if args["python"] != here:
        raise Failed("the release is for Python %s, this host has %s by now: deploy again" % (args["python"], here))
