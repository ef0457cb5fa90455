"""Debian packages, as Ansible's apt. The list of packages is read once a run from dpkg's own file."""

import os

from swarmops.target.kinds import _dpkg as dpkg
from swarmops.target.system import Failed, Missing

ARGS = {
    "name": "list",
    "state": "present|absent|latest = present",
    "update_cache": "bool = false",
    "cache_valid_time": "duration = 1h",
    "install_recommends": "bool = true",
    "purge": "bool = false",
    "policy_rc_d": "int",
}
SHORT = "name"
POLICY = "/usr/sbin/policy-rc.d"
POLICY_MARK = "# made by swarmops for one apt run"
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_MODE": "l"}
CONF = ("--force-confdef", "--force-confold")  # configuration files that somebody edited stay
KEEP = [word for option in CONF for word in ("-o", "Dpkg::Options::=" + option)] + ["-o", "Dpkg::Use-Pty=0"]
OLD_LISTS = ("Unable to locate", "404", "no installation candidate")
LOCK_WAIT = ["-o", "DPkg::Lock::Timeout=120"]  # seconds for another apt, such as the nightly one
HOUR = 3600
CACHE = "package lists"  # a key that is no package name, for its space


def want(args):
    names = [args["name"]] if isinstance(args["name"], str) else args["name"] or []
    if not names and not args["update_cache"]:
        raise ValueError("say which package (name), or update_cache: true")
    wanted = {}
    for name in names:
        name, _, version = str(name).partition("=")
        if not name or name[0] in "-+" or set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789+-.:"):
            raise ValueError("'%s' is not a package name" % name)
        if version and args["state"] != "present":
            raise ValueError("a version belongs to state: present")
        wanted[name] = version or {"present": "installed", "latest": "latest", "absent": None}[args["state"]]
    if args["update_cache"] and (not names or args["state"] == "latest"):
        wanted[CACHE] = "fresh"
    return wanted


def prefetch(all_args, system):
    dpkg.installed(system)


def read(args, want, system):
    if not os.path.exists(dpkg.STATUS):
        raise Failed("this host has no dpkg (%s), so it has no apt packages" % dpkg.STATUS)
    have = dpkg.installed(system)
    state = {}
    for name, wanted in want.items():
        version = have.get(name)
        if name == CACHE:
            state[name] = "fresh" if dpkg.lists_age() < args["cache_valid_time"] else "stale"
        elif wanted == "latest" and version:
            state[name] = "latest" if version == dpkg.candidate(name, system) else version
        else:
            state[name] = "installed" if version and wanted == "installed" else version
    return state


def fix(args, want, state, system):
    wrong = [name for name in want if name != CACHE and want[name] != state[name]]
    if args["update_cache"] and dpkg.lists_age() >= args["cache_valid_time"]:
        _update(system)
    versions = [n + ("" if want[n] in ("installed", "latest", None) else "=" + want[n]) for n in wrong]
    verb = [("purge" if args["purge"] else "remove")] if args["state"] == "absent" else ["install"]
    if verb == ["install"] and not args["install_recommends"]:
        verb.append("--no-install-recommends")
    if wrong:
        _with_policy(args, lambda: _apt([*verb, *KEEP, "-y", *versions], system))
    for key in ("dpkg", "users", "groups", "systemd", "candidates"):
        system.forget(key)


def makes(args):
    names = [args["name"]] if isinstance(args["name"], str) else args["name"] or []
    return [] if args["state"] == "absent" else ["package:" + str(n).partition("=")[0] for n in names]


def _update(system):
    system.run(["apt-get", *LOCK_WAIT, "update", "-q"], timeout=10 * 60, env=QUIET)
    os.utime(dpkg.LISTS)  # apt leaves the time alone when nothing was new
    system.forget("candidates")


def _apt(argv, system):
    """apt-get, once more after what an interrupted run or old lists need."""
    if not os.path.exists("/usr/bin/apt-get"):
        raise Missing("package:apt")
    argv = ["apt-get", *LOCK_WAIT, "-q", *argv]
    said = system.run(argv, timeout=HOUR, env=QUIET, ok=None)
    if said.rc and "dpkg --configure -a" in said.stderr:
        system.run(["dpkg", *CONF, "--configure", "-a"], timeout=HOUR, env=QUIET)
    elif said.rc and any(words in said.stderr for words in OLD_LISTS):
        _update(system)
    if said.rc:
        system.run(argv, timeout=HOUR, env=QUIET)


def _with_policy(args, deed):
    """`deed` while policy-rc.d forbids packages to start their services, when policy_rc_d is given."""
    _drop_policy()  # one that an interrupted run of ours left
    if args["policy_rc_d"] is None or os.path.lexists(POLICY):
        return deed()
    fd = os.open(POLICY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
    os.write(fd, ("#!/bin/sh\n%s\nexit %d\n" % (POLICY_MARK, args["policy_rc_d"])).encode())
    os.fchmod(fd, 0o755)
    os.close(fd)
    try:
        deed()
    finally:
        _drop_policy()


def _drop_policy():
    try:
        with open(POLICY) as f:
            ours = POLICY_MARK in f.read(200)
        if ours:
            os.unlink(POLICY)
    except OSError:
        pass
