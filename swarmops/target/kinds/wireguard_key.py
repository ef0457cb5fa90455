"""A WireGuard private key that is made on its host and never leaves it. `register` gets {"public": ...}."""

import os

from swarmops.target import files
from swarmops.target.system import Failed, Missing

ARGS = {
    "path": "path = /etc/wireguard/private.key",
    "owner": "name = root",
    "group": "name = root",
    "mode": "mode = 0600",
}
SHORT = "path"


def want(args):
    if int(args["mode"], 8) & 0o007:
        raise ValueError("a private key is not for everybody: mode %s" % args["mode"])
    return dict({"type": "file", "key": "made"}, **files.wanted_attributes(args))


def read(args, want, system):
    path = args["path"]
    state = dict(files.attributes(path, want), type=files.kind_of(path), key=None)
    if state["type"] == "file":
        state["key"] = "made" if _is_key(files.current(path, 100)) else "not a WireGuard key"
    elif not os.path.exists("/usr/bin/wg"):
        raise Missing("package:wireguard-tools")
    return state


def fix(args, want, state, system):
    path = args["path"]
    if state["type"] == "file" and state["key"] == "made":
        return files.set_attributes(path, want, system)
    if state["type"] is not None:
        raise Failed("%s is there and is not a WireGuard key; move it away first" % path)
    key = system.run(["wg", "genkey"]).stdout
    system.commands[-1][2] = "(withheld)"  # this log is quoted when a later command of the step fails
    files.replace(path, key.encode(), want, system)  # never wider than 0600, not even for a moment


def out(args, system):
    """The public key of the key at `path`."""
    said = system.run(["wg", "pubkey"], input=files.current(args["path"], 100))
    return {"public": said.stdout.strip()}


def makes(args):
    return ["file:" + args["path"]]


def _is_key(data):
    import base64

    try:
        return len(data.strip()) == 44 and len(base64.b64decode(data.strip(), validate=True)) == 32
    except ValueError:
        return False
