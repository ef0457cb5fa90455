"""Units as systemd shows them: one `systemctl show` for all units of a plan, asked again after a change."""

import os
import time

from swarmops.target.system import Failed

SUFFIXES = (".service", ".socket", ".timer", ".target", ".path", ".mount", ".automount", ".swap", ".slice")
SHOWN = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,DropInPaths,Type,Result,MainPID"
FOLDER = "/etc/systemd/system"
UP = ("active", "reloading", "refreshing")
DISABLED = ("", "disabled", "linked", "masked", "masked-runtime", "static", "transient", "bad")
LONGEST = 1.0  # seconds a service is watched that does not come to rest


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


def is_stale(name, shown, system):
    """Whether systemd has yet to read files of this unit: those on disk, and in check mode those that are to come.

    systemd 252 does not notice the first drop-in of a loaded unit, so drop-ins are compared here.
    """
    if shown["NeedDaemonReload"] == "yes":
        return True
    unit, drop_ins = "%s/%s" % (FOLDER, name), "%s/%s.d/" % (FOLDER, name)
    if system.check and any(path == unit or path.startswith(drop_ins) for path in system.touched):
        return True
    try:
        there = [drop_ins + f for f in os.listdir(drop_ins) if f.endswith(".conf")]
    except OSError:
        return False
    return not set(there) <= set(shown.get("DropInPaths", "").split())


def is_up(shown):
    return shown["ActiveState"] in UP


def is_enabled(name, system):
    """Asked of the links themselves: what a loaded unit shows can be older than they are."""
    return system.run(["systemctl", "is-enabled", "-q", "--", name], ok=None).rc == 0


def must_be_up(names, since, settle, system):
    """Raise Failed unless all these units are up and stay so; a oneshot may be over, if it ended well.

    A plain process counts as started as soon as it exists, so it is watched for `settle` seconds more, and longer
    while it has not come to rest. `since` is when they were told to start (time.time()).
    """
    shown = {name: show(name, system) for name in names}
    watched = [s for s in shown.values() if s.get("Type") in ("simple", "exec", "idle") and is_up(s)]
    if _one_ends([int(s["MainPID"]) for s in watched if s.get("MainPID", "0") != "0"], settle):
        system.forget("systemd")
        shown = {name: show(name, system) for name in names}
    for name, s in shown.items():
        over = s.get("Type") == "oneshot" and s["ActiveState"] == "inactive" and s["Result"] == "success"
        if not is_up(s) and not over:
            what = "%s, %s" % (s["ActiveState"], s.get("Result", ""))
            raise Failed("%s does not stay up (%s)%s" % (name, what, journal(name, since, system)))


def _one_ends(pids, settle):
    """Whether one of these processes ends. Waits for that event, where the kernel tells it."""
    import select

    poll, fds, start = select.poll(), [], time.monotonic()
    try:
        for pid in pids:
            fds.append(os.pidfd_open(pid))
            poll.register(fds[-1], select.POLLIN)
        while fds:
            if poll.poll(settle * 1000):
                return True
            if time.monotonic() - start > LONGEST or not any(_is_busy(pid) for pid in pids):
                break
            settle = 0.02
        return False
    except ProcessLookupError:
        return True
    except (OSError, AttributeError):  # a kernel or Python without pidfd
        time.sleep(settle)
        return True
    finally:
        for fd in fds:
            os.close(fd)


def _is_busy(pid):
    """Whether a process is at work or waits for a processor, rather than for something to do."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] in "RD"
    except OSError:
        return False


def journal(unit, since, system):
    """What the unit said since then (time.time()), for the end of a sentence.

    By time and not by invocation, since the last words of a process that is gone carry no invocation.
    """
    system.run(["journalctl", "--sync"], ok=None)
    which = ["-u", unit, "--since=@%.3f" % since]
    said = system.run(["journalctl", "-n", "8", "--no-pager", "-o", "cat", *which], ok=None)
    return "".join("\n  " + line[:300] for line in said.stdout.splitlines() if line != "-- No entries --")
