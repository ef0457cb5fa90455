"""Files and folders as they are: configuration, unit files, anything that holds still.

Each lands in the set under its path without the leading `/`. Links are recorded, not followed; sockets and
devices are left out. A file that holds a private key is left out too and named in the facts, unless `secrets:
true` asks for it (encrypt such sets).
"""

import fnmatch
import os
import stat

from swarmops.target.backup import parts
from swarmops.target.system import Failed

ARGS = {
    "paths": "list!",
    "exclude": "list",
    "secrets": "bool = false",
    "optional": "bool = false",  # a path that does not exist is not a failure
    "max_file": "int = 1073741824",
}
SHORT = "paths"

KEYS = (b"PRIVATE KEY-----", b"PrivateKey", b"AGE-SECRET-KEY-", b"PresharedKey")


def collect(args, system, out):
    """Facts: `left_out` (files with private keys), `links` (path -> target), `absent`."""
    facts: dict = {"left_out": [], "links": {}, "absent": []}
    for path in args["paths"]:
        if not os.path.isabs(path):
            raise Failed("%s is not an absolute path" % path)
        if not os.path.lexists(path):
            if not args.get("optional"):
                raise Failed("%s does not exist" % path)
            facts["absent"].append(path)
        for found in sorted(_walk(path, args.get("exclude") or ())):
            _one(found, args, out, facts)
    return {key: value for key, value in facts.items() if value}


def _walk(path, exclude):
    """Every plain file and link at or under `path` that no pattern of `exclude` names."""
    if any(fnmatch.fnmatch(path, pattern) for pattern in exclude):
        return
    mode = os.lstat(path).st_mode if os.path.lexists(path) else 0
    if stat.S_ISDIR(mode):
        for name in sorted(os.listdir(path)):
            yield from _walk(os.path.join(path, name), exclude)
    elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        yield path


def _one(path, args, out, facts):
    if os.path.islink(path):
        facts["links"][path] = os.readlink(path)
    elif not args.get("secrets") and _holds_key(path):
        facts["left_out"].append(path)
    else:
        out.file(path.lstrip("/"), path, limit=args.get("max_file"))


def _holds_key(path):
    with open(path, "rb") as f:
        head = f.read(65536)
    return any(word in head for word in KEYS)


def restore(args, files, options, system):
    """Put the files back where they were. Refused when one is there with other content, unless `replace`."""
    changed = [f for f in files if system.sha256("/" + f["name"]) != f["sha256"]]
    other = [f["name"] for f in changed if os.path.lexists("/" + f["name"])]
    facts = {"files": len(files), "changed": ["/" + f["name"] for f in changed]}
    if other and not options.get("replace"):
        text = "%d of the files are here with other content (/%s%s); --replace puts the backup in their place"
        more = ", ..." if len(other) > 1 else ""
        return {"ok": False, "status": "refused", "reason": text % (len(other), other[0], more)}
    if options.get("check"):
        return {"ok": True, "status": "would", "facts": facts}
    for f in changed:
        path = "/" + f["name"]
        _folders(os.path.dirname(path))
        uid, gid = system.uid(f.get("owner")), system.gid(f.get("group"))
        system.write(path, b"".join(parts(f, system)), f["mode"] & 0o777, uid, gid)
    return {"ok": True, "status": "restored", "facts": facts}


def _folders(path):
    """The folder and those above it, readable as folders are; what exists stays as it is."""
    if not os.path.isdir(path):
        _folders(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)
