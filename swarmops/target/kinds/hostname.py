"""The host's name, now and after the next boot, as Ansible's hostname."""

import os

from swarmops.target import files

ARGS = {"name": "name!"}
SHORT = "name"
FILE = "/etc/hostname"


def want(args):
    if not args["name"].replace("-", "").replace(".", "").isalnum() or len(args["name"]) > 63:
        raise ValueError("a host name is letters, digits, '-' and '.', at most 63 of them")
    return {"running": args["name"], "file": args["name"]}


def read(args, want, system):
    return {"running": os.uname().nodename, "file": files.current(FILE).decode("utf-8", "replace").strip()}


def fix(args, want, state, system):
    if state["file"] != want["file"]:
        files.replace(FILE, (want["file"] + "\n").encode(), {}, system)
    if state["running"] != want["running"]:
        system.run(["hostname", want["running"]])
    system.forget("facts")
