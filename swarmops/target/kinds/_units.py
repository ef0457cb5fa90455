"""Units as systemd shows them: one `systemctl show` for all units of a plan, asked again after a change."""

import os
import time

from swarmops.target.system import Failed

SUFFIXES = (".service", ".socket", ".timer", ".target", ".path", ".mount", ".automount", ".swap", ".slice")
SHOWN = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,Type,Result,MainPID,InvocationID"
UP = ("active", "reloading", "refreshing")
DISABLED = ("", "disabled", "linked", "masked", "masked-runtime", "static", "transient", "bad")


def full_name(name):
    return name if name.endswith(SUFFIXES) else name + ".service"


def expect(names, system):
    """Names that the next question to systemd will be about, too."""
    system.memo("systemd.names", set).update(names)


def show(unit, system):
    """Properties of a unit. Kept until something changes, which forgets "systemd"."""
    names = system.memo("systemd.names", set)
    names.add(unit)
    shown = system.memo("systemd", lambda: _ask(sorted(names), system))
    if unit not in shown:
        shown.update(_ask([unit], system))
    return shown[unit]


def _ask(units, system):
    parts = system.run(["systemctl", "show", "-p", SHOWN, "--", *units]).stdout.split("\n\n")
    if len(parts) != len(units):
        raise Failed("systemctl showed %d units when asked for %d" % (len(parts), len(units)))
    return {unit: _pairs(parts[i]) for i, unit in enumerate(units)}


def _pairs(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def changed_files(system):
    """Loaded units whose files on disk are newer than what systemd has read."""
    text = system.run(["systemctl", "show", "-p", "Id,NeedDaemonReload", "*"]).stdout
    shown = [_pairs(part) for part in text.split("\n\n")]
    return sorted(s["Id"] for s in shown if s.get("NeedDaemonReload") == "yes")


def is_up(shown):
    return shown["ActiveState"] in UP


def is_enabled(name, system):
    """Asked of the links themselves: what a loaded unit shows can be older than they are."""
    return system.run(["systemctl", "is-enabled", "-q", "--", name], ok=None).rc == 0


def must_be_up(names, until, system):
    """Raise Failed unless all these units are up and stay so; a oneshot may be over, if it ended well.

    A plain process counts as started as soon as it exists, so it is watched until then (monotonic seconds).
    """
    shown = {name: show(name, system) for name in names}
    watched = [s for s in shown.values() if s.get("Type") in ("simple", "exec", "idle") and is_up(s)]
    if _one_ends([int(s["MainPID"]) for s in watched if s.get("MainPID", "0") != "0"], until):
        system.forget("systemd")
        shown = {name: show(name, system) for name in names}
    for name, s in shown.items():
        over = s.get("Type") == "oneshot" and s["ActiveState"] == "inactive" and s["Result"] == "success"
        if not is_up(s) and not over:
            what = "%s, %s" % (s["ActiveState"], s.get("Result", ""))
            raise Failed("%s does not stay up (%s)%s" % (name, what, journal(name, system)))


def _one_ends(pids, until):
    """Wait until one of these processes ends, or until then. Waits for the event, where the kernel tells it."""
    import select

    poll, fds = select.poll(), []
    try:
        for pid in pids:
            fds.append(os.pidfd_open(pid))
            poll.register(fds[-1], select.POLLIN)
        return bool(fds and poll.poll(max(0, until - time.monotonic()) * 1000))
    except ProcessLookupError:
        return True
    except (OSError, AttributeError):  # a kernel or Python without pidfd
        time.sleep(max(0, until - time.monotonic()))
        return True
    finally:
        for fd in fds:
            os.close(fd)


def journal(unit, system):
    """What the unit said since its last start, for the end of a sentence."""
    invocation = show(unit, system).get("InvocationID")
    of = ["_SYSTEMD_INVOCATION_ID=" + invocation, "+", "INVOCATION_ID=" + invocation] if invocation else ["-u", unit]
    system.run(["journalctl", "--sync"], ok=None)
    said = system.run(["journalctl", "-n", "8", "--no-pager", "-o", "cat", *of], ok=None)
    return "".join("\n  " + line[:300] for line in said.stdout.splitlines())
