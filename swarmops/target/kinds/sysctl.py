"""A kernel setting, now and after the next boot, as Ansible's sysctl."""

import os

from swarmops.target import files
from swarmops.target.system import Failed

ARGS = {
    "name": "text!",
    "value": "any",
    "state": "present|absent = present",
    "sysctl_file": "path = /etc/sysctl.d/90-swarmops.conf",
    "reload": "bool = true",
    "ignoreerrors": "bool = false",
}


def want(args):
    name, value = args["name"], args["value"]
    if not name.replace(".", "").replace("/", "").replace("_", "").replace("-", "").isalnum() or ".." in name:
        raise ValueError("'%s' is not the name of a kernel setting" % name)
    if args["state"] == "absent":
        return {"kept": None}
    if value is None or isinstance(value, (dict, list)) or "\n" in str(value):
        raise ValueError("value is one number or text")
    text = " ".join(str(int(value) if isinstance(value, bool) else value).split())
    return {"kept": text, "live": text} if args["reload"] else {"kept": text}


def read(args, want, system):
    state = {"kept": _kept(files.current(args["sysctl_file"]), _plain(args["name"]))}
    if "live" in want:
        path = _proc(args["name"])
        settable = os.access(path, os.W_OK)  # false in a container, even for root
        state["live"] = want["live"] if args["ignoreerrors"] and not settable else _live(path)
    return state


def fix(args, want, state, system):
    path = args["sysctl_file"]
    if state["kept"] != want["kept"]:
        new = _edit(files.current(path), _plain(args["name"]), want["kept"])
        files.replace(path, new, {}, system)
    if "live" in want and state["live"] != want["live"]:
        try:
            with open(_proc(args["name"]), "w") as f:
                f.write(want["live"])
        except FileNotFoundError:
            raise Failed("this kernel has no %s (a module may have to be loaded first)" % args["name"])
        except OSError as e:
            raise Failed("the kernel refuses %s = %s: %s" % (args["name"], want["live"], e.strerror))


def makes(args):
    return ["file:" + args["sysctl_file"]]


def diff(args, want, state, system):
    old = files.current(args["sysctl_file"])
    return files.diff(args["sysctl_file"], old, _edit(old, _plain(args["name"]), want["kept"]))


def _plain(name):
    """The name with slashes. As sysctl(8) says: the first separator tells which of the two separates."""
    dot, slash = name.find("."), name.find("/")
    if slash < 0 or 0 <= dot < slash:
        name = name.translate({ord("."): "/", ord("/"): "."})
    return name.strip("/")


def _proc(name):
    return "/proc/sys/" + _plain(name)


def _live(path):
    try:
        with open(path) as f:
            return " ".join(f.read().split())
    except OSError:
        return None


def _of(line, plain):
    """The value when this line of a sysctl file sets `plain`, else None."""
    name, equals, value = line.partition(b"=")
    name = name.strip().lstrip(b"-").decode("utf-8", "replace")
    if not equals or name[:1] in ("#", ";") or _plain(name) != plain:
        return None
    return " ".join(value.decode("utf-8", "replace").split())


def _kept(data, plain):
    found = [v for v in (_of(line, plain) for line in data.splitlines()) if v is not None]
    return found[-1] if found else None


def _edit(data, plain, value):
    """The file with exactly one line for `plain`, or none when `value` is None; other lines as they are."""
    lines, new = data.splitlines(), ("%s = %s" % (plain.translate({46: "/", 47: "."}), value)).encode()
    mine = [i for i, line in enumerate(lines) if _of(line, plain) is not None]
    if value is not None:
        lines = [*lines[: mine[-1]], new, *lines[mine[-1] + 1 :]] if mine else [*lines, new]
        mine = mine[:-1]
    kept = [line for i, line in enumerate(lines) if i not in mine]
    return b"".join(line + b"\n" for line in kept)
