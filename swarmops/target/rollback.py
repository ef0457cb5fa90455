"""The dead-man's timer for changes that can lock us out: firewall, sshd, authorized keys, tunnels.

Before the first such change the present state is saved and a systemd timer is armed that puts it back. Only a *new*
connection of the controller disarms it. The timer does its work when the controller, the network or this process
dies; a unit for the next boot does it when the host does.
"""

import os
import shutil
import time

from swarmops.target.system import Failed

BOOT_UNIT = "/etc/systemd/system/swarmops-undo.service"
BOOT_TEXT = """[Unit]
Description=Put back what an unconfirmed swarmops deploy changed
DefaultDependencies=no
After=local-fs.target
Before=network-pre.target nftables.service ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for d in %s/rollback/*/; do /bin/sh "$d/undo.sh"; done; true'
[Install]
WantedBy=sysinit.target
"""


class Rollback:
    """One armed window. `cover` what is about to change, then `confirm`."""

    def __init__(self, system, run, seconds):
        self.system, self.seconds = system, seconds
        self.token = run
        self.folder = os.path.join(system.state, "rollback", run)
        self.unit = "swarmops-rollback-" + run
        self.sign = os.path.join(system.volatile, "confirm-" + run)
        self.armed, self.paths, self.after = False, [], []

    def cover(self, paths, nft=False, reload=()):
        """Save `paths`, the nft rule set if asked, and the units to reload after; arm the timer if it is not."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        for path in paths:
            if path not in self.paths:
                self.paths.append(path)
                if os.path.lexists(path):
                    shutil.copy2(path, self._saved(path), follow_symlinks=False)
                    s = os.lstat(path)
                    os.chown(self._saved(path), s.st_uid, s.st_gid, follow_symlinks=False)
        rules = os.path.join(self.folder, "rules.nft")
        if nft and not os.path.exists(rules):
            _write(rules, "flush ruleset\n" + self.system.run(["nft", "list", "ruleset"]).stdout)
        self.after += [u for u in reload if u not in self.after]
        self._write_undo(os.path.exists(rules))
        if not self.armed:
            self._arm()

    def confirm(self):
        """Ask the controller for a new connection and wait for its sign. False: everything was put back."""
        system = self.system
        system.emit({"e": "confirm", "sign": self.sign, "within": self.seconds})
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and not os.path.exists(self.sign):
            time.sleep(0.02)  # the sign is a file, made by another process
        if os.path.exists(self.sign) and self._spend():
            system.run(["systemctl", "stop", self.unit + ".timer"], ok=None)
            self._clear()
            return True
        system.run(["systemctl", "start", self.unit + ".service"], ok=None)
        self._clear()
        return False

    def _saved(self, path):
        return os.path.join(self.folder, "%d" % self.paths.index(path))

    def _spend(self):
        """Whoever moves `armed` away first, undo or confirm, has the say."""
        try:
            os.rename(os.path.join(self.folder, "armed"), os.path.join(self.folder, "spent"))
            return True
        except OSError:
            return False

    def _write_undo(self, rules):
        quoted = _quote(self.folder)
        lines = ["mv %s/armed %s/spent 2>/dev/null || exit 0" % (quoted, quoted)]
        for path in self.paths:
            saved = self._saved(path)
            if os.path.lexists(saved):
                lines.append("cp -a %s %s" % (_quote(saved), _quote(path + ".swarmops-back")))
                lines.append("mv -fT %s %s" % (_quote(path + ".swarmops-back"), _quote(path)))
            else:
                lines.append("rm -f %s" % _quote(path))
        if rules:
            lines.append("nft -f %s/rules.nft" % quoted)
        if self.after:
            lines.append("[ -d /run/systemd/system ] && systemctl daemon-reload")
            lines += ["systemctl try-reload-or-restart --no-block %s" % _quote(u) for u in self.after]
        _write(os.path.join(self.folder, "undo.sh"), "\n".join(lines) + "\n")

    def _arm(self):
        system = self.system
        if not system.facts["systemd"]:
            raise Failed("this can lock us out, and without systemd no timer can put it back")
        os.makedirs(system.volatile, mode=0o700, exist_ok=True)
        _write(os.path.join(self.folder, "armed"), "")
        _write(BOOT_UNIT, BOOT_TEXT % system.state)
        system.run(["systemctl", "enable", "-q", os.path.basename(BOOT_UNIT)])
        undo = ["/bin/sh", os.path.join(self.folder, "undo.sh")]
        timer = ["--on-active=%ds" % self.seconds, "--timer-property=AccuracySec=100ms"]
        system.run(["systemd-run", "-q", "--collect", "--unit=" + self.unit, *timer, *undo])
        self.armed = True

    def _clear(self):
        self.armed = False
        if os.path.exists(BOOT_UNIT):
            self.system.run(["systemctl", "disable", "-q", os.path.basename(BOOT_UNIT)], ok=None)
            os.unlink(BOOT_UNIT)
        shutil.rmtree(self.folder, ignore_errors=True)
        if os.path.exists(self.sign):
            os.unlink(self.sign)


def _write(path, text):
    with open(path, "w") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())


def _quote(text):
    import shlex

    return shlex.quote(text)
