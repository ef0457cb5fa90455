"""Does a program that supervisord keeps run, and has it stayed up? One look serves all programs.

For hosts that are deployed without root. A program that ended within the last hour and was started again warns; one
that keeps ending is critical. Value: seconds for which it has been up.
"""

ARGS = {"name": "name!", "config": "path"}
TEMPLATES = {"config": "{{ paths.config }}/supervisord.conf"}
SHORT = "name"


def probe(args, system, deadline):
    rows = system.once(("program", args["config"]), lambda: _look(args["config"], deadline))
    return judge(args["name"], rows)


def _look(config, deadline):
    import time

    from swarmops.target.probes._net import Down, Unknown
    from swarmops.target.supervisor import Refused, Supervisor
    from swarmops.target.system import Failed

    try:
        found = Supervisor(config).call("getAllProcessInfo", timeout=max(0.1, deadline - time.monotonic()))
    except (ConnectionError, FileNotFoundError):
        raise Down("supervisord is not running")
    except (Failed, Refused) as e:
        raise Unknown(str(e))
    return {row["name"]: row for row in found}


def judge(name, rows):
    """The finding for one program."""
    row = rows.get(name)
    if row is None:
        return {"ok": False, "detail": "supervisord has no program %s" % name}
    state, up = row["statename"], max(0, row["now"] - row["start"])
    if state == "RUNNING":
        return {"ok": True, "value": up, "unit": "s", "detail": "%s runs, for %d s" % (name, up)}
    if state == "STARTING":
        return {"ok": True, "warn": True, "value": up, "unit": "s", "detail": "%s is starting" % name}
    said = row.get("spawnerr") or "exit code %d" % row.get("exitstatus", 0)
    words = {"BACKOFF": "keeps ending", "FATAL": "does not start", "EXITED": "has ended", "STOPPED": "is stopped"}
    why = "" if state == "STOPPED" else " (%s)" % said
    return {"ok": False, "detail": "%s %s%s" % (name, words.get(state, "is " + state.lower()), why)}
