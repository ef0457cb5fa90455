"""A rendered file, as Ansible's template. The planner renders `src`; the host sees the result's sha256."""

from swarmops.target import files

ARGS = {
    "src": "text!",
    "dest": "path!",
    "owner": "name",
    "group": "name",
    "mode": "mode",
    "validate": "any",
}
PLANNER_ONLY = {"src"}


def want(args):
    files.validator(args)
    return files.wanted_file(args["dest"], args.get("content"), args)


def read(args, want, system):
    return files.read_file(args["dest"], want, system)


def fix(args, want, state, system):
    files.land(args["dest"], want, state, system, files.validator(args))


def makes(args):
    return files.made(args["dest"])


def diff(args, want, state, system):
    return files.content_diff(args["dest"], want, system)
