"""What the shell role derives: the commands as its worker reads them, and the files that hold their secrets."""

from swarmops.planning.commands import read_commands, read_folders, read_options
from swarmops.planning.services import alone_on_port, worker


def vars(context):
    alone_on_port(context)
    own, config = context.vars, context.vars["paths"]["config"]
    folders = read_folders(context)
    commands, secrets = read_commands(context, folders)
    found = worker(context)
    keys = [{"name": name, "path": f"{config}/shell-{name}", "value": value} for name, value in secrets.items()]
    if own["rootless"]:  # nobody hands them over: the worker reads them where they lie
        for name, command in commands.items():
            command["secrets"] = {key: f"{config}/shell-{name}.{key}" for key in command.get("secrets", {})}
    found["handed"] |= {key["name"]: key["path"] for key in keys}
    found["config"]["options"] = {**read_options(context), "commands": commands}
    return {**found, "keys": keys, "writable": folders}
