"""One deploy at a time on a host. The lock dies with its process, and says who holds it."""

import fcntl
import json
import os
import time

from swarmops.target.wire import HEARTBEAT, SILENCE


class Held(Exception):
    """Another run has the lock. `.holder` is who and since when."""

    def __init__(self, holder):
        self.holder = holder
        Exception.__init__(self, "deploy held by %s since %s" % (holder.get("by", "?"), holder.get("since", "?")))


class Lock:
    """An flock on a file. Its first line is the holder's last sign of life from its controller, on the clock that
    nobody can set and that all processes share; its second says who holds it."""

    def __init__(self, system, by, run):
        os.makedirs(system.volatile, mode=0o700, exist_ok=True)
        self.path = os.path.join(system.volatile, "lock")
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.by, self.run = by, run

    def acquire(self, on_wait, gone=lambda: False):
        """Take the lock. A holder whose controller is gone is waited for, since it ends after its current step.

        Raises Held when the holder is alive, did not end within its allowed silence and a minute, or when `gone()`:
        nobody is left who wants the lock.
        """
        end, tries = None, 0
        while not self._try():
            holder = self._holder()
            tries += 1
            if holder and holder["silent"] < 2 * HEARTBEAT or gone() or not holder and tries > 10:
                raise Held(holder)
            if holder and end is None:
                on_wait(holder)
                end = time.monotonic() + SILENCE + 60
            elif end and time.monotonic() > end:
                raise Held(holder)
            time.sleep(0.2)  # flock has no wait with a time limit
        note = {"by": self.by, "run": self.run, "pid": os.getpid(), "since": time.strftime("%F %T %z")}
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, _beat() + json.dumps(note).encode(), 0)

    def beat(self):
        """The controller has just given a sign of life."""
        os.pwrite(self.fd, _beat(), 0)

    def release(self):
        os.ftruncate(self.fd, 0)
        fcntl.flock(self.fd, fcntl.LOCK_UN)  # not closed: a late beat must not meet another file under its number

    def _try(self):
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            return False

    def _holder(self):
        """Who holds it, and for how many seconds it has been silent; {} while it comes or goes."""
        try:
            with open(self.path) as f:
                beat, _, text = f.read().partition("\n")
            return dict(json.loads(text), silent=time.monotonic() - float(beat))
        except (OSError, ValueError, TypeError):
            return {}


def _beat():
    return b"%020.3f\n" % time.monotonic()
