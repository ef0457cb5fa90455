"""One line of a text file, as Ansible's lineinfile. A link at `path` is followed, as Ansible does here."""

import os
import re

from swarmops.target import files
from swarmops.target.system import Missing

ARGS = {
    "path": "path!",
    "line": "text",
    "regexp": "text",
    "insertafter": "text",
    "insertbefore": "text",
    "state": "present|absent = present",
    "create": "bool = false",
    "owner": "name",
    "group": "name",
    "mode": "mode",
    "validate": "any",
}


def want(args):
    line, present = args["line"], args["state"] == "present"
    if present and line is None:
        raise ValueError("line is missing")
    if line is None and args["regexp"] is None:
        raise ValueError("say which lines are to go, by line or regexp")
    if line is not None and ("\n" in line or "\r" in line):
        raise ValueError("line holds a line break; it is one line")
    if args["insertafter"] and args["insertbefore"]:
        raise ValueError("insertafter and insertbefore exclude each other")
    for key in ("regexp", "insertafter", "insertbefore"):
        _pattern(args, key)
    files.validator(args)
    return dict({"line": line if present else None}, **files.wanted_attributes(args))


def read(args, want, system):
    path = os.path.realpath(args["path"])
    if files.kind_of(path) is None and want["line"] is not None and not args["create"]:
        raise Missing("file:" + args["path"])
    if files.kind_of(path) is None and want["line"] is None:
        return dict(want)
    data = files.current(path)
    state = files.attributes(path, want)
    new, touched = edit(data, args)
    state["line"] = want["line"] if new == data else touched
    return state


def fix(args, want, state, system):
    path = os.path.realpath(args["path"])
    data = files.current(path)
    new, _ = edit(data, args)
    if new != data or files.kind_of(path) is None:
        files.replace(path, new, want, system, files.validator(args))
    else:
        files.set_attributes(path, want, system)


def makes(args):
    return ["file:" + args["path"]] if args["create"] else []


def diff(args, want, state, system):
    data = files.current(os.path.realpath(args["path"]))
    return files.diff(args["path"], data, edit(data, args)[0])


def edit(data, args):
    """The content as it should be, and the line that is not (None when it is simply absent)."""
    lines = data.split(b"\n")
    lines = [x + b"\n" for x in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    regexp, line = _pattern(args, "regexp"), (args["line"] or "").encode()
    if args["state"] == "absent":
        gone = [x for x in lines if (regexp.search(x) if regexp else x.rstrip(b"\r\n") == line)]
        stay = set(lines) - set(gone)
        return b"".join(x for x in lines if x in stay), gone[0].decode("utf-8", "replace") if gone else None
    at = _place(lines, line, regexp)
    if at is not None and lines[at].rstrip(b"\n") == line:
        return data, None
    if at is not None:
        was, lines[at] = lines[at], line + b"\n"
        return b"".join(lines), was.rstrip(b"\n").decode("utf-8", "replace")
    at = _gap(lines, args)
    if at == len(lines) and lines and lines[-1][-1:] not in (b"\n", b"\r"):
        lines[-1] += b"\n"
    lines.insert(at, line + b"\n")
    return b"".join(lines), None


def _place(lines, line, regexp):
    """Index of the line to stand in for: the last that matches, else one that is it already."""
    same = [i for i, x in enumerate(lines) if x.rstrip(b"\r\n") == line]
    # Where regexp does not match the new line, its presence decides; else each run would eat one more match.
    if regexp and not (same and not regexp.search(line + b"\n")):
        found = [i for i, x in enumerate(lines) if regexp.search(x)]
        if found:
            return found[-1]
    return same[-1] if same else None


def _gap(lines, args):
    """Index at which a new line goes in: beside the last match of insertafter or -before, else the end."""
    if "BOF" in (args["insertbefore"], args["insertafter"]):
        return 0
    for key, offset in (("insertafter", 1), ("insertbefore", 0)):
        pattern = _pattern(args, key) if args[key] != "EOF" else None
        found = [i for i, x in enumerate(lines) if pattern and pattern.search(x)]
        if found:
            return found[-1] + offset
    return len(lines)


def _pattern(args, key):
    """The compiled regular expression of an argument, over bytes; None when it is not given."""
    if args[key] is None:
        return None
    try:
        return re.compile(args[key].encode())
    except re.error as e:
        raise ValueError("%s is not a regular expression: %s" % (key, e))
