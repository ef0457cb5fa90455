"""A file as it is, as Ansible's copy: from `src` beside the role or from `content` in the task."""

from swarmops.target import files
from swarmops.target.kinds.template import diff, fix, makes, read

__all__ = ["ARGS", "PLANNER_ONLY", "diff", "fix", "makes", "read", "want"]

ARGS = {
    "src": "text",
    "content": "text",
    "dest": "path!",
    "owner": "name",
    "group": "name",
    "mode": "mode",
    "validate": "any",
}
PLANNER_ONLY = {"src"}


def want(args):
    if args["dest"].endswith("/"):
        raise ValueError("dest is the whole path of the file, not a folder")
    files.validator(args)
    return files.wanted_file(args["dest"], args.get("content"), args)
