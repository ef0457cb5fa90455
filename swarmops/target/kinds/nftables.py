"""A whole nftables rule set: checked, landed, loaded in one go, compared with what the kernel holds."""

import json
import os
import re

from swarmops.target import files
from swarmops.target.digests import sha256
from swarmops.target.system import Failed, Missing

ARGS = {
    "src": "text!",
    "dest": "path = /etc/nftables.conf",
    "table": "text = inet swarmops",
    "owner": "name = root",
    "group": "name = root",
    "mode": "mode = 0600",
}
PLANNER_ONLY = {"src"}
NFT = "/usr/sbin/nft"
# Elements of these sets come and go by themselves; they are no part of what was declared.
SETS = re.compile(r"^\t(?:set|map|meter) \S+ \{\n.*?^\t\}", re.M | re.S)
ELEMENTS = re.compile(r"elements = \{.*?\}", re.S)


def want(args):
    if len(args["table"].split()) != 2:
        raise ValueError('table is a family and a name (example "inet swarmops")')
    return dict(files.wanted_file(args["dest"], args.get("content"), args), loaded=args["content"])


def read(args, want, system):
    """The file, and the content whose load made the table as it is now; None when something else did."""
    if not os.path.exists(NFT):
        raise Missing("package:nftables")
    state = files.read_file(args["dest"], want, system)
    note, listing = _note(args, system), _listing(args, system)
    state["loaded"] = note.get("content") if listing and note.get("table") == listing else None
    return state


def fix(args, want, state, system):
    files.land(args["dest"], want, state, system, [NFT, "-c", "-f", "%s"])
    if state["loaded"] == want["loaded"] and state["content"] == want["content"]:
        return
    system.run([NFT, "-f", args["dest"]])
    listing = _listing(args, system)
    if not listing:
        raise Failed("%s was loaded, but makes no table %s" % (args["dest"], args["table"]))
    note = json.dumps({"content": want["content"], "table": listing}).encode()
    os.makedirs(system.state, mode=0o700, exist_ok=True)
    system.write(_note_path(system), note, 0o600)


def makes(args):
    return files.made(args["dest"])


def diff(args, want, state, system):
    return files.content_diff(args["dest"], want, system)


def touches(args, system):
    return [args["dest"], _note_path(system)]


def _listing(args, system):
    """sha256 of the table as the kernel lists it without counters; None when there is none."""
    said = system.run([NFT, "-s", "list", "table", *args["table"].split()], ok=None)
    if said.rc:
        return None
    return sha256(SETS.sub(_declared, said.stdout).encode()).hexdigest()


def _declared(match):
    text = match.group(0)
    return ELEMENTS.sub("", text) if "dynamic" in text or "timeout" in text else text


def _note_path(system):
    return os.path.join(system.state, "nftables.json")


def _note(args, system):
    """What we loaded last and how the kernel listed it then. It may outlive a reboot: the listing is proof."""
    try:
        with open(_note_path(system)) as f:
            return json.load(f)
    except (OSError, ValueError):
        return {}
