"""Some lines of a text file between two marker lines, as Ansible's blockinfile."""

import os

from swarmops.target import files
from swarmops.target.system import Missing

ARGS = {
    "path": "path!",
    "block": "text",
    "marker": "text = # {mark} swarmops",
    "state": "present|absent = present",
    "insertafter": "text",
    "insertbefore": "text",
    "create": "bool = false",
    "owner": "name",
    "group": "name",
    "mode": "mode",
    "validate": "any",
}


def want(args):
    if "{mark}" not in args["marker"] or "\n" in args["marker"]:
        raise ValueError("marker is one line that holds {mark}")
    for key, word in (("insertafter", "EOF"), ("insertbefore", "BOF")):
        if args[key] not in (None, word):
            raise ValueError("%s can only be %s here" % (key, word))
    files.validator(args)
    block = (args["block"] or "").rstrip("\n") if args["state"] == "present" else ""
    return dict({"block": block or None}, **files.wanted_attributes(args))


def read(args, want, system):
    path = os.path.realpath(args["path"])
    if files.kind_of(path) is None:
        if want["block"] is None:
            return dict(want)
        if not args["create"]:
            raise Missing("file:" + args["path"])
    lines = _lines(path)
    first, last = _span(lines, args)
    block = "\n".join(lines[first + 1 : last]) if first is not None else None
    return dict(files.attributes(path, want), block=block)


def fix(args, want, state, system):
    path = os.path.realpath(args["path"])
    if state["block"] == want["block"]:
        return files.set_attributes(path, want, system)
    files.replace(path, _edited(path, args, want), want, system, files.validator(args))


def makes(args):
    return ["file:" + args["path"]] if args["create"] else []


def diff(args, want, state, system):
    path = os.path.realpath(args["path"])
    return files.diff(args["path"], files.current(path), _edited(path, args, want))


def _lines(path):
    return files.current(path).decode("utf-8", "surrogateescape").split("\n")


def _markers(args):
    return [args["marker"].replace("{mark}", word) for word in ("BEGIN", "END")]


def _span(lines, args):
    """Indexes of the two marker lines, (None, None) unless both are there in order."""
    begin, end = _markers(args)
    first = lines.index(begin) if begin in lines else None
    if first is None or end not in lines[first:]:
        return None, None
    return first, lines.index(end, first)


def _edited(path, args, want):
    lines = _lines(path)
    if lines[-1] == "":
        lines.pop()
    begin, end = _markers(args)
    block = [begin, *want["block"].split("\n"), end] if want["block"] is not None else []
    first, last = _span(lines, args)
    if first is not None:
        lines[first : last + 1] = block
    elif args["insertbefore"] == "BOF":
        lines = block + lines
    else:
        lines += block
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")
