"""Programs kept by supervisord, as community.general's supervisorctl: for hosts that are deployed without root.

A program is described by a file of its own, programs/<name>.conf beside supervisord.conf. When that changed, it is
read again and the program is restarted, asked or not. supervisord itself is started when it is not running. With a
url, a program is started once that answers.
"""

import os

from swarmops.target import supervisor
from swarmops.target.kinds import _answering as answering
from swarmops.target.system import Failed, Missing

ARGS = {
    "name": "name!",
    "state": "present|started|stopped|restarted|absent!",
    "url": "text",
    "ca_pem": "text",
    "server_name": "text",
    "config": "path",
    "python": "path",
}
# What stands for an argument that is not given: planning knows the host's folders and which Python is ours.
TEMPLATES = {"config": "{{ paths.config }}/supervisord.conf", "python": "{{ here_program[0] }}"}


def want(args):
    if args["state"] == "absent":
        return {"program": None}
    wanted: dict = {"program": "read"}
    if args["state"] != "present":
        wanted["running"] = args["state"] != "stopped"
    if args["state"] == "restarted":
        wanted["restarted"] = True
    if args["url"] and wanted.get("running"):
        wanted["answers"] = True
    return wanted


def read(args, want, system):
    """What supervisord knows of the program; where it does not run, nothing runs."""
    conf = _conf(args)
    if want["program"] is not None and not os.path.isfile(args["config"]):
        raise Missing("file:" + args["config"])
    up = _up(args)
    if want["program"] is not None and not os.path.isfile(conf) and not (up and up.info(args["name"])):
        raise Missing("file:" + conf)
    if up is None:
        quiet = args["state"] in ("stopped", "absent")
        known = None if args["state"] == "absent" and not os.path.exists(conf) else "read" if quiet else "not read"
        return {"program": known, "running": False, "restarted": False, "answers": False}
    state = up.changed().get(args["name"], "read")
    if system.check and state == "read" and conf in system.touched:
        state = "changed"
    info = up.info(args["name"])
    if args["state"] == "absent" and not info and not os.path.exists(conf):
        state = None
    running = bool(info) and info["statename"] in _up_states(want)
    return {
        "program": state,
        "running": running,
        "answers": "answers" in want and running and (_owed(system) or answering.now(args)),
        "restarted": "restarted" in want and _just_done(args["name"], system),
    }


def fix(args, want, state, system):
    name = args["name"]
    up = supervisor.Supervisor(args["config"])
    try:
        if args["state"] in ("stopped", "absent") and not up.answers():
            return _forget(args)
        if args["state"] != "absent":
            _folder(args)
        if not up.answers():
            up.start(args["python"])
        changed = up.changed().get(name)
        if args["state"] == "absent" or changed in ("changed", "removed"):
            up.remove(name)
        if args["state"] == "absent":
            return _forget(args)
        if changed == "removed":  # its file was taken away, as an unsuccessful deploy takes back what it wrote
            raise Failed("there is no %s any more: %s was stopped" % (_conf(args), name))
        if changed:
            up.call("addProcessGroup", name)
        if args["state"] == "restarted" and not changed:
            up.stop(name)
        if args["state"] == "stopped" or answering.deaf(args, state, up):
            up.stop(name)
        if args["state"] not in ("stopped", "present"):
            up.run(name)
            system.memo("supervisor.started", dict)[name] = len(system.touched)
            if args["url"]:
                answering.wait(args, up)
    except supervisor.Refused as e:
        raise Failed("supervisord refuses: %s: %s" % (name, e))


def _owed(system):
    """Whether files were changed, so that handlers are to restart what runs by the former ones (which may answer on
    another port, or without TLS), look at it then, and take the change back where it does not answer."""
    return bool(system.touched)


def _up_states(want):
    """One that is still coming up does not run yet, and is not stopped yet."""
    return ("RUNNING",) if want.get("running") else ("STARTING", "RUNNING", "BACKOFF", "STOPPING")


def _folder(args):
    """The program's own folder, as systemd makes a StateDirectory. Before supervisord hears of the program: it starts
    it by itself then."""
    if os.path.isfile(_conf(args)):
        own = supervisor.settings(_conf(args)).get("program:" + args["name"], {})
        if own.get("directory"):
            os.makedirs(own["directory"], mode=0o700, exist_ok=True)


def _conf(args):
    return os.path.join(os.path.dirname(args["config"]), "programs", args["name"] + ".conf")


def _up(args):
    """The running supervisord, or None."""
    if not os.path.isfile(args["config"]):
        return None
    up = supervisor.Supervisor(args["config"])
    return up if up.answers() else None


def _forget(args):
    """Nothing brings the program back."""
    if args["state"] == "absent" and os.path.exists(_conf(args)):
        os.unlink(_conf(args))


def _just_done(name, system):
    """Whether it was started in this run, by what stands on the disk now. That counts as a restart once."""
    return system.memo("supervisor.started", dict).pop(name, None) == len(system.touched)
