"""The dead-man's timer for changes that can lock us out: firewall, sshd, authorized keys, tunnels.

Before the first such change the present state is saved and a systemd timer is armed that puts it back. Only a *new*
connection of the controller disarms it. The timer does its work when the controller, the network or this process
dies; a unit for the next boot does it when the host does.
"""

import os
import shlex
import shutil
import time

from swarmops.target import generations
from swarmops.target.system import Failed

BOOT_UNIT = "/etc/systemd/system/swarmops-undo.service"
BOOT_TEXT = """[Unit]
Description=Put back what an unconfirmed swarmops deploy changed
DefaultDependencies=no
After=local-fs.target
Before=network-pre.target nftables.service ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for d in %s/rollback/*/; do /bin/sh "$d/undo.sh" boot; done; true'
[Install]
WantedBy=sysinit.target
"""
# Whoever moves `armed` away first, undo or confirm, has the say. An undo that a power cut ended goes on at boot.
UNDO_HEAD = """cd %s || exit 1
mv armed undoing 2>/dev/null || { [ "$1" = boot ] && [ -e undoing ]; } || exit 0
"""
NO_LIMIT = 1 << 30  # bytes; a rule set that is cut short could not be loaded again


class Rollback:
    """One armed window. `cover` what is about to change, then `confirm`."""

    def __init__(self, system, run, seconds):
        self.system, self.seconds = system, seconds
        # A sign that comes late, made for an earlier window, must not count for this one.
        self.token = "%s-%s" % (run, os.urandom(4).hex())
        self.folder = os.path.join(_home(system), self.token)
        self.unit = _unit(self.token)
        self.sign = os.path.join(system.volatile, "confirm-" + self.token)
        self.armed, self.paths, self.after = 0.0, [], []

    def cover(self, paths, nft=False, reload=()):
        """Save `paths`, the nft rule set if asked, and the units to reload after; arm the timer if it is not."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        for path in paths:
            if path not in self.paths:
                self.paths.append(path)
                self._save(path)
        rules = os.path.join(self.folder, "rules.nft")
        if nft and not os.path.exists(rules):
            listed = self.system.run(["nft", "list", "ruleset"], most=NO_LIMIT).stdout
            _write(rules, "flush ruleset\n" + listed)
        self.after += [u for u in reload if u not in self.after]
        self._write_undo(os.path.exists(rules))
        if not self.armed:
            self._arm()

    def keep_open(self):
        """We are alive and not yet at the end of the role: start the timer anew when half of it is over."""
        if time.monotonic() - self.armed > self.seconds / 2:
            self.system.run(["systemctl", "restart", self.unit + ".timer"], ok=None)
            self.armed = time.monotonic()

    def confirm(self):
        """Ask the controller for a new connection and wait for its sign. Returns "", or why everything was put back."""
        system = self.system
        self.armed -= self.seconds  # the controller gets the whole time
        self.keep_open()
        if not os.path.exists(os.path.join(self.folder, "armed")):
            self._put_back()
            return "rolled back: the role took longer than %g s (--confirm gives it more)" % self.seconds
        system.emit({"e": "confirm", "token": self.token.rpartition("-")[2], "within": self.seconds})
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and not os.path.exists(self.sign):
            time.sleep(0.02)  # the sign is a file, made by another process
        if not (os.path.exists(self.sign) and self._spend()):
            self._put_back()
            return "rolled back: no new connection came within %g s" % self.seconds
        system.run(["systemctl", "stop", self.unit + ".timer"], ok=None)
        self.forget()
        return ""

    def _put_back(self):
        _undo(self.system, self.token)
        self.forget()

    def forget(self):
        """Nothing of this window is left."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if os.path.exists(self.sign):
            os.unlink(self.sign)
        _tidy(self.system)

    def _save(self, path):
        """Keep what undo shall put back: what is there, or for a file in doubt its last generation known to work."""
        saved, proven = self._saved(path), generations.proven(self.system, path)
        if proven:
            generations.copy(proven, saved)
        elif proven is None and os.path.isdir(path) and not os.path.islink(path):
            self.system.run(["cp", "-aT", path, saved])
        elif proven is None and os.path.lexists(path):
            shutil.copy2(path, saved, follow_symlinks=False)
            s = os.lstat(path)
            os.chown(saved, s.st_uid, s.st_gid, follow_symlinks=False)

    def _saved(self, path):
        return os.path.join(self.folder, "%d" % self.paths.index(path))

    def _spend(self):
        try:
            os.rename(os.path.join(self.folder, "armed"), os.path.join(self.folder, "spent"))
            return True
        except OSError:
            return False

    def _write_undo(self, rules):
        lines = []
        for path in self.paths:
            saved, there, temp = map(_quote, (self._saved(path), path, path + ".swarmops-back"))
            if os.path.isdir(self._saved(path)) and not os.path.islink(self._saved(path)):
                lines.append("cp -aT %s %s" % (saved, there))
            elif os.path.lexists(self._saved(path)):
                lines.append("cp -a --remove-destination %s %s && mv -fT %s %s" % (saved, temp, temp, there))
            else:
                lines.append("rmdir %s 2>/dev/null || rm -f %s" % (there, there))
        if rules:
            lines.append("nft -f rules.nft")
        if self.after:
            lines.append("[ -d /run/systemd/system ] && systemctl daemon-reload")
            lines += ["systemctl try-reload-or-restart --no-block %s" % _quote(u) for u in self.after]
        _write(
            os.path.join(self.folder, "undo.sh"),
            UNDO_HEAD % _quote(self.folder) + "\n".join([*lines, "mv undoing spent"]) + "\n",
        )

    def _arm(self):
        system = self.system
        if not system.facts["systemd"]:
            raise Failed("this can lock us out, and without systemd no timer can put it back")
        os.makedirs(system.volatile, mode=0o700, exist_ok=True)
        _write(BOOT_UNIT, BOOT_TEXT % system.state)
        system.run(["systemctl", "enable", "-q", os.path.basename(BOOT_UNIT)])
        undo = ["/bin/sh", os.path.join(self.folder, "undo.sh")]
        timer = ["--on-active=%gs" % self.seconds, "--timer-property=AccuracySec=100ms"]
        _write(os.path.join(self.folder, "armed"), "")
        # oneshot, so that who starts it by hand waits for its end
        system.run(["systemd-run", "-q", "--collect", "-p", "Type=oneshot", "--unit=" + self.unit, *timer, *undo])
        self.armed = time.monotonic()


def leftovers(system):
    """Undo what earlier runs left armed when they died, before their timers do it in the midst of this run.

    Returns how many windows were still open. Call it with the lock held.
    """
    still_open = 0
    try:
        tokens = sorted(os.listdir(_home(system)))
    except OSError:
        return 0
    for token in tokens:
        folder = os.path.join(_home(system), token)
        still_open += any(os.path.exists(os.path.join(folder, n)) for n in ("armed", "undoing"))
        _undo(system, token)
        shutil.rmtree(folder, ignore_errors=True)
    _tidy(system)
    return still_open


def _undo(system, token):
    """Put back now, and be back when that is done, whether the timer or we began it."""
    if system.facts["systemd"]:
        system.run(["systemctl", "stop", _unit(token) + ".timer"], ok=None)
        system.run(["systemctl", "start", _unit(token) + ".service"], ok=None)  # waits for one that is running
    script = os.path.join(_home(system), token, "undo.sh")
    if os.path.exists(script):
        system.run(["/bin/sh", script, "boot"], ok=None)


def _tidy(system):
    """The unit for the next boot goes with the last window."""
    if os.path.exists(BOOT_UNIT) and not (os.path.isdir(_home(system)) and os.listdir(_home(system))):
        system.run(["systemctl", "disable", "-q", os.path.basename(BOOT_UNIT)], ok=None)
        os.unlink(BOOT_UNIT)


def _home(system):
    return os.path.join(system.state, "rollback")


def _unit(token):
    return "swarmops-rollback-" + token


def _write(path, text):
    generations.land(path, lambda f: f.write(text.encode()))


def _quote(text):
    return shlex.quote(text)
