"""A local group, as Ansible's group."""

ARGS = {"name": "name!", "state": "present|absent = present", "gid": "int", "system": "bool = false"}
SHORT = "name"


def want(args):
    if args["state"] == "absent":
        return {"exists": None}
    return {"exists": True} if args["gid"] is None else {"exists": True, "gid": args["gid"]}


def read(args, want, system):
    entry = system.groups().get(args["name"])
    return {"exists": None} if entry is None else {"exists": True, "gid": entry.gr_gid}


def fix(args, want, state, system):
    if want["exists"] is None:
        argv = ["groupdel"]
    else:
        argv = ["groupadd" if state["exists"] is None else "groupmod"]
        argv += ["--gid", str(want["gid"])] if "gid" in want else []
        argv += ["--system"] if args["system"] and argv[0] == "groupadd" else []
    system.run([*argv, args["name"]])
    system.forget("groups")


def makes(args):
    return [] if args["state"] == "absent" else ["group:" + args["name"]]
