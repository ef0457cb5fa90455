"""A local user, as Ansible's user."""

from swarmops.target import files

ARGS = {
    "name": "name!",
    "state": "present|absent = present",
    "uid": "int",
    "group": "name",
    "groups": "list",
    "append": "bool = false",
    "shell": "path",
    "home": "path",
    "comment": "text",
    "system": "bool = false",
    "create_home": "bool = true",
    "password_lock": "bool",
    "remove": "bool = false",
}
SHORT = "name"
OPTIONS = {"uid": "--uid", "group": "--gid", "groups": "--groups", "shell": "--shell", "home": "--home-dir"}
OPTIONS["comment"] = "--comment"


def want(args):
    if args["state"] == "absent":
        return {"exists": None}
    if ":" in (args["comment"] or ""):
        raise ValueError("comment holds a ':', which /etc/passwd cannot hold")
    if args["append"] and args["groups"] is None:
        raise ValueError("append belongs to groups")
    wanted: dict = {"exists": True}
    for key in ("uid", "group", "shell", "home", "comment"):
        if args[key] is not None:
            wanted[key] = args[key]
    if args["groups"] is not None:
        wanted["groups"] = sorted(set(args["groups"]))
    if args["password_lock"] is not None:
        wanted["password_lock"] = args["password_lock"]
    return wanted


def read(args, want, system):
    entry = system.users().get(args["name"])
    if entry is None:
        return {"exists": None}
    state = {"exists": True, "uid": entry.pw_uid, "shell": entry.pw_shell, "home": entry.pw_dir}
    state["comment"] = entry.pw_gecos
    state["group"] = files.group_name(entry.pw_gid, want.get("group", ""))
    if "groups" in want:
        state["groups"] = _groups(args, want, state["group"], system)
    if "password_lock" in want:
        state["password_lock"] = _password(args["name"])[:1] in ("!", "*")
    return state


def fix(args, want, state, system):
    name = args["name"]
    if want["exists"] is None:
        system.run(["userdel", *(["--remove"] if args["remove"] else []), name])
    elif state["exists"] is None:
        _create(args, want, system)
    else:
        _change(args, want, state, system)
    if want.get("password_lock") is not None and (_password(name)[:1] in ("!", "*")) != want["password_lock"]:
        system.run(["usermod", "--lock" if want["password_lock"] else "--unlock", name])
    system.forget("users")
    system.forget("groups")


def makes(args):
    if args["state"] == "absent":
        return []
    names = ["user:" + args["name"]]
    if args["group"] is None:
        names.append("group:" + args["name"])
    if args["create_home"]:
        names.append("file:" + (args["home"] or "/home/" + args["name"]))
    return names


def _groups(args, want, primary, system):
    """Supplementary groups; with `append` only the wanted ones. The primary one counts where it is wanted."""
    name, wanted = args["name"], set(want["groups"])
    member = {g.gr_name for g in system.groups().values() if name in g.gr_mem} - {primary}
    member |= {primary} & wanted
    return sorted(member & wanted if args["append"] else member)


def _password(name):
    """The password field of /etc/shadow; its first letter says whether it is locked."""
    try:
        with open("/etc/shadow") as f:
            return next((line.split(":")[1] for line in f if line.startswith(name + ":")), "")
    except OSError:
        return ""


def _create(args, want, system):
    argv = ["useradd", "--create-home" if args["create_home"] else "--no-create-home"]
    if args["system"]:
        argv.append("--system")
    if args["group"] is None and args["name"] in system.groups():
        argv += ["--gid", args["name"]]  # its own group is there already
    for key, option in OPTIONS.items():
        if key in want and want[key] != []:
            argv += [option, ",".join(want[key]) if key == "groups" else str(want[key])]
    system.run([*argv, args["name"]])


def _change(args, want, state, system):
    argv = ["usermod"]
    for key, option in OPTIONS.items():
        if key in want and want[key] != state[key]:
            argv += [option.replace("home-dir", "home")]
            argv += [",".join(want[key]) if key == "groups" else str(want[key])]
    if "--groups" in argv and args["append"]:
        argv.append("--append")
    if len(argv) > 1:
        system.run([*argv, args["name"]])
