"""What dpkg and apt know, read from their own files."""

import os
import time

STATUS = "/var/lib/dpkg/status"
LISTS = "/var/lib/apt/lists"


def installed(system):
    """name -> version of every installed package; what they provide is there too, as "provided".

    Read once a run, and again after some command of ours called dpkg.
    """
    stamp = os.stat(STATUS).st_mtime_ns if os.path.exists(STATUS) else 0
    known = system.memo("dpkg", lambda: (stamp, parse(STATUS)))
    if known[0] != stamp:
        system.forget("dpkg")
        known = system.memo("dpkg", lambda: (stamp, parse(STATUS)))
    return known[1]


def parse(path):
    """The same from a status file. A package that is only half configured is not installed."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
    except OSError:
        return {}
    found, provided = {}, {}
    for stanza in text.split("\n\n"):
        if " ok installed\n" not in stanza:
            continue
        name, version = _field(stanza, "Package"), _field(stanza, "Version")
        found[name] = found["%s:%s" % (name, _field(stanza, "Architecture"))] = version
        for each in _field(stanza, "Provides").split(","):
            provided[each.split("(")[0].strip()] = "provided"
    return dict(provided, **found)


def _field(stanza, name):
    """A field's value; searching beats splitting every line of every package."""
    start = 0 if stanza.startswith(name + ":") else stanza.find("\n" + name + ":") + 1
    if start == 0 and not stanza.startswith(name + ":"):
        return ""
    end = stanza.find("\n", start)
    return stanza[start + len(name) + 1 : end if end >= 0 else None].strip()


def candidate(name, system):
    """The version that apt would install, None when it knows none."""
    found = system.memo("candidates", dict)
    if name not in found:
        lines = system.run(["apt-cache", "policy", name]).stdout.splitlines()
        found[name] = next((line.split()[-1] for line in lines if "Candidate:" in line), None)
    return found[name]


def lists_age():
    """Seconds since apt's package lists were brought up to date."""
    try:
        return time.time() - os.stat(LISTS).st_mtime
    except OSError:
        return float("inf")
