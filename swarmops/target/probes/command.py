"""Runs a program as Nagios plugins are run: exit code 0 is OK, 1 a warning, 2 critical, 3 unknown.

Its first line is the detail. Any plugin fits. Never through a shell.
"""

ARGS = {"argv": "list!"}
SHORT = "argv"


def probe(args, system, deadline):
    argv = [str(a) for a in args["argv"]]
    try:
        rc, out, err = system.run(argv, deadline)
    except FileNotFoundError:
        return {"ok": None, "detail": "%s is not installed" % argv[0]}
    said = (out.strip() or err.strip() or "ended with exit code %d" % rc).splitlines()[0].split("|")[0]
    found = {"value": rc, "unit": "exit code", "detail": "%s: %s" % (argv[0], said)}
    return dict(found, ok={0: True, 1: True, 3: None}.get(rc, False), warn=rc == 1)
