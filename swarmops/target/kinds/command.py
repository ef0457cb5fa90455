"""A command without a shell, as Ansible's command; creates, removes, unless and onlyif say if it is due."""

import os

from swarmops.target import files
from swarmops.target.system import Failed

ARGS = {
    "cmd": "text",
    "argv": "list",
    "creates": "path",
    "removes": "path",
    "unless": "any",
    "onlyif": "any",
    "chdir": "path",
    "user": "name",
    "env": "map",
    "stdin": "text",
    "timeout": "duration = 60s",
    "changed_when": "bool = true",
}
SHORT = "cmd"


def want(args):
    if (args["cmd"] is None) == (args["argv"] is None):
        raise ValueError("a command is cmd or argv, one of the two")
    if not _words(args, "cmd" if args["cmd"] is not None else "argv"):
        raise ValueError("the command is empty")
    for key in ("unless", "onlyif"):
        _words(args, key)
    return {"done": True}


def read(args, want, system):
    """Whether the command is due. One that changes nothing by its own word runs here, in check mode too."""
    if not _due(args, system):
        return {"done": True}
    if args["changed_when"]:
        return {"done": False}
    result = _run(args, system, ok=None if system.check else (0,))
    _keep(args, result, system)
    return {"done": result.rc == 0}  # in check mode it may need what was not installed


def fix(args, want, state, system):
    result = _run(args, system)
    for key, there in (("creates", True), ("removes", False)):
        if args[key] and os.path.lexists(args[key]) != there:
            raise Failed("the command ended well, but %s is %s there" % (args[key], "not" if there else "still"))
    for key in ("dpkg", "systemd", "users", "groups"):
        system.forget(key)  # it may have changed anything
    _keep(args, result, system)


def out(args, system):
    """rc, stdout and stderr of the run, for `register`; nothing when it was not due."""
    return system.memo("command.said", dict).get(_key(args), {})


def makes(args):
    return ["file:" + args["creates"]] if args["creates"] else []


VERIFY = False


def _words(args, key):
    return files.argv(args[key], key)


def _due(args, system):
    if args["creates"] and os.path.lexists(args["creates"]):
        return False
    if args["removes"] and not os.path.lexists(args["removes"]):
        return False
    if args["onlyif"] and _ask(args, "onlyif", system) != 0:
        return False
    return not (args["unless"] and _ask(args, "unless", system) == 0)


def _ask(args, key, system):
    return system.run(_words(args, key), ok=None, timeout=args["timeout"], **_where(args, system)).rc


def _run(args, system, ok=(0,)):
    argv = _words(args, "cmd" if args["cmd"] is not None else "argv")
    return system.run(argv, input=args["stdin"], timeout=args["timeout"], ok=ok, **_where(args, system))


def _where(args, system):
    env = {str(k): str(v) for k, v in (args["env"] or {}).items()}
    if args["user"]:
        system.uid(args["user"])  # Missing, when there is no such user
        home = system.users()[args["user"]].pw_dir
        env = dict({"HOME": home, "USER": args["user"], "LOGNAME": args["user"]}, **env)
    return {"cwd": args["chdir"], "user": args["user"], "env": env}


def _key(args):
    return repr(sorted(args.items(), key=lambda kv: kv[0]))


def _keep(args, result, system):
    said = {"rc": result.rc, "stdout": result.stdout.rstrip("\n"), "stderr": result.stderr.rstrip("\n")}
    system.memo("command.said", dict)[_key(args)] = said
