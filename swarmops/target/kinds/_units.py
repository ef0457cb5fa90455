"""Units as systemd shows them: one `systemctl show` for all units of a plan, asked again after a change."""

import os

from swarmops.target.system import Failed

SUFFIXES = (".service", ".socket", ".timer", ".target", ".path", ".mount", ".automount", ".swap", ".slice")
SHOWN = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,Type,Result,MainPID"
UP = ("active", "reloading", "refreshing")
DISABLED = ("", "disabled", "linked", "masked", "masked-runtime", "static", "transient", "bad")
SETTLE = 0.1  # seconds in which a service without a readiness message must not die again


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


def must_be_up(unit, system):
    """Raise Failed unless the unit is up and stays so; a oneshot may be over, if it ended well.

    A plain process counts as started as soon as it exists, so it is watched for a moment longer.
    """
    shown = show(unit, system)
    watched = shown.get("Type") in ("simple", "exec", "idle") and is_up(shown)
    if watched and _dies(int(shown.get("MainPID") or 0), SETTLE):
        system.forget("systemd")
        shown = show(unit, system)
    over = shown.get("Type") == "oneshot" and shown["ActiveState"] == "inactive"
    if not is_up(shown) and not (over and shown["Result"] == "success"):
        what = "%s, %s" % (shown["ActiveState"], shown.get("Result", ""))
        raise Failed("%s does not stay up (%s)%s" % (unit, what, journal(unit, system)))


def _dies(pid, within):
    """Whether a process ends within so many seconds. Waits for the event, where the kernel tells it."""
    if not pid or not os.path.exists("/proc/%d" % pid):
        return True
    try:
        import select

        fd = os.pidfd_open(pid)
    except (OSError, AttributeError):
        return False
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(within * 1000))
    finally:
        os.close(fd)


def journal(unit, system):
    """The unit's last words, for the end of a sentence."""
    said = system.run(["journalctl", "-u", unit, "-n", "8", "--no-pager", "-o", "cat"], ok=None)
    return "".join("\n  " + line[:300] for line in said.stdout.splitlines())
