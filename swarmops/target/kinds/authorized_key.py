"""Public keys that may log in as a user, as Ansible's authorized_key."""

import os
import stat

from swarmops.target import files
from swarmops.target.kinds import _publickeys as publickeys
from swarmops.target.system import Failed, Missing

ARGS = {
    "user": "name!",
    "key": "text!",
    "state": "present|absent = present",
    "key_options": "text",
    "exclusive": "bool = false",
}


def want(args):
    keys = _wanted(args)
    if args["state"] == "absent":
        if args["exclusive"]:
            raise ValueError("exclusive belongs to state: present")
        return {"keys": []}
    names = sorted(publickeys.name(options, kind, blob) for (kind, blob), (options, _) in keys.items())
    return {"keys": names, "folder": "0700 " + args["user"], "file": "0600 " + args["user"]}


def read(args, want, system):
    folder, path = _places(args, system)
    return {"keys": names(_lines(path), args), "folder": _sign(folder), "file": _sign(path)}


def names(lines, args):
    """The keys in these lines that the task is about, with their options; one that comes in two ways is there twice."""
    wanted, found = _wanted(args), set()
    for line in lines:
        parsed = publickeys.parse(line)
        if parsed and (args["exclusive"] or parsed[1:3] in wanted):
            found.add(publickeys.name(*parsed[:3]))
    return sorted(found)


def fix(args, want, state, system):
    folder, path = _places(args, system)
    entry = system.users()[args["user"]]
    owner = {"owner": str(entry.pw_uid), "group": str(entry.pw_gid)}
    if args["state"] == "present":
        if not os.path.isdir(entry.pw_dir):
            raise Failed("%s has no home folder %s" % (args["user"], entry.pw_dir))
        if files.kind_of(folder) is None:
            os.mkdir(folder, 0o700)
        files.set_attributes(folder, dict(owner, mode="0700"), system)
    files.replace(path, _edit(_lines(path), args), dict(owner, mode="0600"), system)


def touches(args, system):
    return [_places(args, system)[1]]


def _places(args, system):
    """The .ssh folder and its authorized_keys. Raises Failed for links: root would write elsewhere."""
    entry = system.users().get(args["user"])
    if entry is None:
        raise Missing("user:" + args["user"])
    folder = os.path.join(entry.pw_dir, ".ssh")
    for path, kinds in ((folder, ("directory",)), (folder + "/authorized_keys", ("file",))):
        if files.kind_of(path) not in (None, *kinds):
            raise Failed("%s is a %s; it is not followed" % (path, files.kind_of(path)))
    return folder, folder + "/authorized_keys"


def _wanted(args):
    """(type, blob) -> (options, comment) of every key in the argument. Raises ValueError."""
    if "PRIVATE KEY" in args["key"]:
        raise ValueError("key is a private key; a public one belongs here (the .pub file)")
    found = {}
    for line in args["key"].splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parsed = publickeys.parse(line)
        if not parsed:
            raise ValueError("'%s...' is not a public key of OpenSSH" % line.strip()[:30])
        options, kind, blob, comment = parsed
        found[kind, blob] = (args["key_options"] or options, comment)
    if not found:
        raise ValueError("key is empty")
    return found


def _lines(path):
    return files.current(path).decode("utf-8", "surrogateescape").splitlines()


def _sign(path):
    try:
        s = os.lstat(path)
    except OSError:
        return None
    return "%04o %s" % (stat.S_IMODE(s.st_mode), files.owner_name(s.st_uid))


def _edit(lines, args):
    """The whole new file: wanted keys where they were, new ones at the end, the rest as it was."""
    wanted, out = _wanted(args), []
    for line in lines:
        parsed = publickeys.parse(line)
        key = parsed[1:3] if parsed else None
        if key in wanted and args["state"] == "present":
            options, comment = wanted.pop(key)
            out.append(publickeys.line(key, options, comment or parsed[3]))
        elif not args["exclusive"] and key not in _wanted(args):
            out.append(line)
    if args["state"] == "present":
        out += [publickeys.line(key, *rest) for key, rest in wanted.items()]
    return "".join(line + "\n" for line in out).encode("utf-8", "surrogateescape")
