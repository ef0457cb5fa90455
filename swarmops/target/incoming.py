"""Large contents, which the controller sends in pieces and which go straight to a file: the wheels of a release.

A file that has landed whole stays under its sha256 until it is used, so that a broken line costs only the one it cut.
"""

import os
import threading

from swarmops.target.digests import LARGE, sha256
from swarmops.target.system import Failed

PART = ".part"


class Incoming:
    """One per run. `take` is called on the thread that listens, all else on the one that works."""

    def __init__(self, system):
        self.folder = os.path.join(system.state, "incoming")
        self._system, self._link = system, system.link
        self._asked, self._ended = set(), {}
        self._file, self._digest = None, sha256()
        self._news = threading.Condition()
        for name in _names(self.folder):
            if name.endswith(PART):
                os.unlink(os.path.join(self.folder, name))
        if self._link:
            self._link.pieces = self.take

    def ask(self, shas):
        """Ask for those of `shas` that are not here and were not asked for, all at once."""
        new = [sha for sha in shas if sha not in self._asked]
        self._asked.update(new)
        lacking = [sha for sha in new if not self._kept(sha)]
        if lacking and self._link:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            for sha in lacking:
                self._ended.pop(sha, None)
            self._link.emit({"e": "need", "contents": lacking})

    def _kept(self, sha):
        """Whether an earlier run was sent this file. Looked at as a whole: a power cut may have left it hollow."""
        path = self._path(sha)
        if os.path.isfile(path) and self._system.sha256(path) != sha:
            os.unlink(path)
        return os.path.isfile(path)

    def get(self, sha, name):
        """Path of the file with this sha256; waits until it is here. Raises Failed when it does not come."""
        self.ask([sha])
        with self._news:
            while not os.path.isfile(self._path(sha)):
                if self._ended.get(sha):
                    raise Failed("%s could not be kept: %s" % (name, self._ended[sha]))
                if not self._link or self._link.gone:
                    raise Failed("the controller went away before %s came" % name)
                self._news.wait(1)
        return self._path(sha)

    def drop(self, sha):
        """The file was used. Who needs it again asks again."""
        self._asked.discard(sha)
        self._ended.pop(sha, None)
        if os.path.isfile(self._path(sha)):
            os.unlink(self._path(sha))

    def tidy(self):
        """Remove what an earlier run was sent and this one does not ask for."""
        for name in _names(self.folder):
            if name not in self._asked and not name.endswith(PART):
                os.unlink(os.path.join(self.folder, name))

    # -- on the listening thread

    def take(self, sha, data):
        """The next piece of the file, nothing at its end. What the disk refuses is told to who waits."""
        try:
            self._write(sha, data)
        except OSError as e:
            self._end(sha, e.strerror or str(e))

    def _write(self, sha, data):
        if self._ended.get(sha) or sha not in self._asked:
            return
        if self._file is None:
            self._digest = sha256(size=LARGE)
            self._file = open(self._path(sha) + PART, "wb")
        if data:
            self._digest.update(data)
            self._file.write(data)
            return
        if self._digest.hexdigest() != sha:
            return self._end(sha, "what came is something else")
        self._file.flush()  # and no more: while a disk is waited for, nobody would listen
        os.rename(self._path(sha) + PART, self._path(sha))
        self._end(sha, "")

    def _end(self, sha, why):
        file, self._file = self._file, None
        try:
            if file:
                file.close()
            if why and os.path.lexists(self._path(sha) + PART):
                os.unlink(self._path(sha) + PART)
        except OSError:  # what could not be flushed
            pass
        with self._news:
            self._ended[sha] = why
            self._news.notify_all()

    def _path(self, sha):
        return os.path.join(self.folder, sha)


def _names(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []
