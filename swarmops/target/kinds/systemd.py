"""Units, as Ansible's systemd. All units of a plan are read by one `systemctl show`.

systemd is told to read changed unit files whenever that is due, asked or not.
"""

import time

from swarmops.target.kinds import _units as units
from swarmops.target.system import Failed, Missing

ARGS = {
    "name": "any",
    "state": "started|stopped|restarted|reloaded",
    "enabled": "bool",
    "masked": "bool",
    "daemon_reload": "bool = false",
}
SHORT = "name"
VERBS = {"started": "start", "stopped": "stop", "restarted": "restart", "reloaded": "reload-or-restart"}
STARTS = ("started", "restarted", "reloaded")
# Seconds after which a service without a readiness message must still be there.
SETTLE = {"started": 0.05, "restarted": 0.15, "reloaded": 0.05}
WAIT = 120  # seconds for a start job


def want(args):
    names = _names(args)
    if not names and (not args["daemon_reload"] or args["state"] or args["enabled"] is not None):
        raise ValueError("say which unit (name), or daemon_reload: true")
    if args["masked"] and (args["enabled"] or args["state"] in STARTS):
        raise ValueError("a masked unit can neither be enabled nor started")
    wanted = {} if names else {"unit files": "read"}
    for name in names:
        keys = {"unit file": "read", "enabled": args["enabled"], "masked": args["masked"]}
        if args["state"]:
            keys["running"] = args["state"] != "stopped"
        if args["state"] in ("restarted", "reloaded"):
            keys[args["state"]] = True
        wanted.update((_key(names, name, k), v) for k, v in keys.items() if v is not None)
    return wanted


def prefetch(all_args, system):
    units.expect((name for args in all_args for name in _names(args)), system)


def read(args, want, system):
    if "unit files" in want:
        changed = units.changed_files(system)
        return {"unit files": "changed: " + ", ".join(changed[:5]) if changed else "read"}
    names = _names(args)
    state: dict = {}
    for name in names:
        shown = units.show(name, system)
        if shown["LoadState"] == "not-found" and (args["enabled"] or args["state"] in STARTS):
            raise Missing("unit:" + name)
        found = _state(name, shown, system)
        if args["enabled"] and shown["UnitFileState"] == "disabled":
            found["enabled"] = units.is_enabled(name, system)
        state.update((_key(names, name, k), v) for k, v in found.items())
    return state


def fix(args, want, state, system):
    """Everything in as few calls of systemctl as can be; then what was started must be up."""
    names = _names(args)

    def wrong(key):
        found = ((name, _key(names, name, key)) for name in names)
        return [name for name, k in found if k in want and want[k] != state[k]]

    if "unit files" in want or wrong("unit file"):
        system.run(["systemctl", "daemon-reload"])
        system.forget("systemd")
    if wrong("masked"):
        system.run(["systemctl", "mask" if args["masked"] else "unmask", "-q", *wrong("masked")])
        system.forget("systemd")
    todo = wrong(args["state"] if args["state"] in ("restarted", "reloaded") else "running")
    if wrong("enabled"):
        _enable(wrong("enabled"), args["enabled"], system)
    since = time.time()
    if todo:
        _job(VERBS[args["state"]], todo, since, system)
    if todo and args["state"] in STARTS:
        units.must_be_up(todo, since, SETTLE[args["state"]], system)
        system.memo("systemd.done", set).update((name, args["state"]) for name in todo)


def _names(args):
    """The units: name is one, or a list of them, which costs one call of systemctl for all."""
    names = args["name"] if isinstance(args["name"], list) else [args["name"]] if args["name"] else []
    for name in names:
        if not isinstance(name, str) or name[:1] in ("-", "") or " " in name:
            raise ValueError("%s is not the name of a unit" % ascii(name))
    return [units.full_name(name) for name in names]


def _key(names, name, key):
    return key if len(names) == 1 else "%s %s" % (name, key)


def _state(name, shown, system):
    """A unit's state. What fix has just restarted counts as that once, when it is read again."""
    done = system.memo("systemd.done", set)
    mine = {verb for verb in STARTS if (name, verb) in done}
    done.difference_update((name, verb) for verb in mine)
    return {
        "unit file": "changed" if units.is_stale(name, shown, system) else "read",
        "enabled": shown["UnitFileState"] not in units.DISABLED,
        "masked": shown["LoadState"] == "masked" or shown["UnitFileState"].startswith("masked"),
        "running": units.is_up(shown) or bool(mine),  # a oneshot is not up when it is over
        "restarted": "restarted" in mine,
        "reloaded": "reloaded" in mine,
    }


def _enable(names, on, system):
    """Enabling makes links, which count at the next boot. `--root` makes them without a reload of all of systemd."""
    static = [name for name in names if units.show(name, system)["UnitFileState"] == "static"]
    if on and static:
        raise Failed("%s has no [Install] section, so it cannot be enabled; leave `enabled` out" % static[0])
    system.run(["systemctl", *(["--root=/", "enable"] if on else ["disable"]), "-q", *names])
    system.forget("systemd")


def _job(verb, names, since, system):
    failed = [name for name in names if units.show(name, system)["ActiveState"] == "failed"]
    if failed and verb != "stop":
        system.run(["systemctl", "reset-failed", *failed], ok=None)  # a start limit would refuse us
    result = system.run(["systemctl", verb, *names], timeout=WAIT, ok=None)
    system.forget("systemd")
    if result.rc:
        said = (result.stderr.strip() or "exit code %d" % result.rc).splitlines()[0]
        bad = [name for name in names if not units.is_up(units.show(name, system))] or names
        raise Failed("cannot %s %s: %s%s" % (verb, ", ".join(bad), said, units.journal(bad[0], since, system)))
