"""An archive unpacked into a folder, as Ansible's unarchive. Plain files and folders only, inside it.

What was unpacked is noted with each file's size and time, so that a later run sees what is missing or was
changed, without the archive.
"""

import json
import os

from swarmops.target import files
from swarmops.target.kinds import _archive as archive
from swarmops.target.system import Failed

ARGS = {
    "src": "text!",
    "dest": "path!",
    "remote_src": "bool = false",
    "creates": "path",
    "owner": "name",
    "group": "name",
    "mode": "mode",
}


def want(args):
    if args["remote_src"] and not args["src"].startswith("/"):
        raise ValueError("with remote_src, src is an absolute path on the host")
    if not args["remote_src"] and not args.get("content"):
        raise ValueError("content was not resolved for %s" % args["src"])
    files.wanted_attributes(args)
    return {"unpacked": True}


def read(args, want, system):
    files.need_folder(args["dest"])
    return {"unpacked": _why_not(args, system) or True}


def fix(args, want, state, system):
    """Check every member first; then land each file whole; then note it all."""
    import io

    dest, sha = args["dest"], _sha(args, system)
    attributes = files.wanted_attributes(args)
    ids = system.uid(attributes.get("owner")), system.gid(attributes.get("group"))
    try:
        with open(args["src"], "rb") if args["remote_src"] else io.BytesIO(system.content(sha)) as source:
            made = archive.unpack(source, dest, ids, attributes.get("mode"))
    except OSError as e:
        raise Failed("cannot unpack into %s: %s" % (dest, e.strerror or e))
    os.sync()  # the note says that all is there: it must not outlive its files in a crash
    note = {"sha256": sha, "attributes": attributes, "files": made}
    os.makedirs(os.path.dirname(_note_path(args, system)), mode=0o700, exist_ok=True)
    system.write(_note_path(args, system), json.dumps(note).encode(), 0o600)
    if args["creates"] and not os.path.lexists(args["creates"]):
        raise Failed("the archive is unpacked, but %s is not there" % args["creates"])
    system.forget("systemd")


def lacks(args, system):
    """Whether the archive must be sent."""
    return not args["remote_src"] and (not os.path.isdir(args["dest"]) or bool(_why_not(args, system)))


def makes(args):
    return ["file:" + args["creates"]] if args["creates"] else []


def _why_not(args, system):
    """The first thing that is not as it was unpacked; None when all is."""
    if args["creates"]:
        return None if os.path.lexists(args["creates"]) else "%s is not there" % args["creates"]
    try:
        with open(_note_path(args, system)) as f:
            note = json.load(f)
    except (OSError, ValueError):
        return "never"
    if note["sha256"] != _sha(args, system) or note["attributes"] != files.wanted_attributes(args):
        return "another archive"
    for name, signs in note["files"].items():
        if archive.signs(os.path.join(args["dest"], name)) != signs:
            return "%s was changed" % name
    return None


def _sha(args, system):
    sha = system.sha256(os.path.realpath(args["src"])) if args["remote_src"] else args["content"]
    if sha is None:
        raise Failed("there is no archive %s on this host" % args["src"])
    return sha


def _note_path(args, system):
    import hashlib

    name = hashlib.sha256(repr([args["dest"], args["src"]]).encode()).hexdigest()[:32]
    return os.path.join(system.state, "unpacked", name + ".json")
