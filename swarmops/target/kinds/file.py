"""A path's type, owner and mode, as Ansible's file. Links are never followed."""

import os

from swarmops.target import files
from swarmops.target.system import Failed, Missing

ARGS = {
    "path": "path!",
    "state": "file|directory|absent|link|touch = file",
    "src": "text",
    "owner": "name",
    "group": "name",
    "mode": "mode",
    "recurse": "bool = false",
}
SHOWN = 5  # paths named when a tree differs


def want(args):
    state, attributes = args["state"], files.wanted_attributes(args)
    if (state == "link") != bool(args["src"]):
        raise ValueError("src belongs to state: link, and the link needs it")
    if state == "link" and args["mode"] is not None:
        raise ValueError("a link has no mode of its own")
    if args["recurse"] and state != "directory":
        raise ValueError("recurse belongs to state: directory")
    if state == "absent":
        if attributes:
            raise ValueError("what is absent has no owner, group or mode")
        return {"type": None}
    wanted = dict({"type": "file" if state == "touch" else state}, **attributes)
    if state == "link":
        wanted["target"] = args["src"]
    if args["recurse"]:
        wanted["tree"] = []
    return wanted


def read(args, want, system):
    path = args["path"]
    state = dict(files.attributes(path, want), type=files.kind_of(path))
    if args["state"] == "file" and state["type"] is None:
        raise Missing("file:" + path)
    if "target" in want:
        state["target"] = os.readlink(path) if state["type"] == "link" else None
    if "tree" in want:
        state["tree"] = _differing(path, want)[:SHOWN] if state["type"] == "directory" else None
    return state


def fix(args, want, state, system):
    path, kind = args["path"], state["type"]
    system.forget("systemd")
    if want["type"] is None:
        return _remove(path, kind)
    if kind not in (None, want["type"]):
        raise Failed("%s is a %s, not a %s; take it away first (state: absent)" % (path, kind, want["type"]))
    if want["type"] == "link" and state["target"] != want["target"]:
        _link(path, want["target"])
    elif want["type"] == "directory" and kind is None:
        _make_folders(path, want, system)
    elif kind is None:
        files.replace(path, b"", want, system)
    files.set_attributes(path, want, system)
    if want.get("tree") is not None:
        for each in _differing(path, want):
            files.set_attributes(each, want, system)


def makes(args):
    return [] if args["state"] == "absent" else files.made(args["path"])


def _remove(path, kind):
    if kind != "directory":
        return os.unlink(path)
    if os.path.dirname(os.path.normpath(path)) == "/" or os.path.ismount(path):
        raise Failed("%s is a top folder or a mount point; it is not removed as a whole" % path)
    import shutil

    shutil.rmtree(path)


def _link(path, target):
    temp = path + ".swarmops"
    try:
        if os.path.lexists(temp):
            os.unlink(temp)
        os.symlink(target, temp)
        os.rename(temp, path)
    except OSError as e:
        raise Failed("cannot link %s: %s" % (path, e.strerror))


def _make_folders(path, want, system):
    """Make `path` and the parents it lacks, all with the attributes of `want`, as Ansible does."""
    missing = []
    while path != "/" and files.kind_of(path) is None:
        missing.append(path)
        path = os.path.dirname(os.path.normpath(path))
    for each in reversed(missing):
        try:
            os.mkdir(each, 0o700)  # closed until its owner and mode are set
        except OSError as e:
            raise Failed("cannot make the folder %s: %s" % (each, e.strerror))
        files.set_attributes(each, dict({"mode": "0755"}, **want), system)


def _differing(top, want):
    """Paths below `top` whose attributes are not those of `want`, links by owner only."""
    found = []
    for folder, folders, names in os.walk(top):
        for name in folders + names:
            path = os.path.join(folder, name)
            have = files.attributes(path, want)
            if files.kind_of(path) == "link":
                have.pop("mode", None)
            if any(want[key] != value for key, value in have.items()):
                found.append(path)
    return sorted(found)
