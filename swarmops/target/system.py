"""The host as a kind, a probe or a source sees it: files, names, commands, and what is remembered during a run."""

import os
import stat
import time

from swarmops.target.digests import sha256
from swarmops.target.wire import MAX_TEXT

QUOTED = 4096  # bytes of a command's output kept with a failure
SMALL = 1 << 17  # bytes of a content that is remembered for a second use


class Failed(Exception):
    """A step could not do its work. The text is a sentence for the user."""


class Missing(Exception):
    """Something cannot be read because what it hangs on does not exist, named like "user:redis"."""

    def __init__(self, resource):
        self.resource = resource
        kind, _, name = resource.partition(":")
        Exception.__init__(self, "%s '%s' does not exist" % (kind, name))


class Result:
    """What a command said."""

    __slots__ = ("rc", "stderr", "stdout")

    def __init__(self, rc, stdout, stderr):
        self.rc, self.stdout, self.stderr = rc, stdout, stderr


class System:
    """One per run. Holds caches, the log of commands of the current step, and the way back to the controller."""

    def __init__(self, link=None, state=None, check=False):
        root = os.geteuid() == 0
        home = os.path.expanduser("~/.local/state/swarmops")
        self.state = state or ("/var/lib/swarmops" if root else home)
        self.volatile = (state + "/run") if state else ("/run/swarmops" if root else home + "/run")
        self.link, self.check = link, check
        self.commands = []
        self.keep_for = None  # the handler that answers for the files written now, if there is one
        self.ours = False  # whether this run may leave its engine here
        self.touched = set()  # files changed in this run, or in check mode to be changed
        self._memo = {}

    # -- remembered within a run

    def memo(self, key, make):
        """`make()` once per run for `key`, until it is forgotten."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]

    def forget(self, key):
        self._memo.pop(key, None)

    @property
    def facts(self):
        from swarmops.target import facts

        return self.memo("facts", facts.gather)

    # -- users and groups

    def users(self):
        """name -> pwd entry, of this host's /etc/passwd and its other sources."""
        import pwd

        return self.memo("users", lambda: {u.pw_name: u for u in pwd.getpwall()})

    def groups(self):
        import grp

        return self.memo("groups", lambda: {g.gr_name: g for g in grp.getgrall()})

    def uid(self, name):
        """Numeric id of a user given by name or number. Raises Missing."""
        if name is None or isinstance(name, int) or str(name).isdigit():
            return None if name is None else int(name)
        if name not in self.users():
            raise Missing("user:" + name)
        return self.users()[name].pw_uid

    def gid(self, name):
        """Numeric id of a group given by name or number. Raises Missing."""
        if name is None or isinstance(name, int) or str(name).isdigit():
            return None if name is None else int(name)
        if name not in self.groups():
            raise Missing("group:" + name)
        return self.groups()[name].gr_gid

    # -- commands

    def run(self, argv, input=None, timeout=60, ok=(0,), env=None, cwd=None, user=None, most=MAX_TEXT):
        """Run a command without a shell; stdout and stderr as text, the last `most` bytes of each.

        Raises Failed when the exit code is not in `ok` (None: any), when it takes longer than `timeout` seconds
        or is not installed. Every command is remembered and quoted with a failure.
        """
        from swarmops.target import commands

        if self.link:
            self.link.flush()
        extra = {"user": user, "group": self.users()[user].pw_gid, "extra_groups": []} if user else {}
        data = input.encode() if isinstance(input, str) else input
        try:
            rc, stdout, stderr = commands.run(list(map(str, argv)), data, timeout, most, env or {}, cwd, extra)
            result = Result(rc, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))
        except commands.TooLong as e:
            result = Result(-1, e.stdout.decode("utf-8", "replace"), "took longer than %g s" % timeout)
        except (OSError, ValueError) as e:
            result = Result(-1, "", getattr(e, "strerror", None) or str(e))
        self.commands.append([list(map(str, argv)), result.rc, (result.stderr or result.stdout)[-QUOTED:]])
        if ok is not None and result.rc not in ok:
            raise Failed("`%s` failed with exit code %d" % (" ".join(map(str, argv))[:200], result.rc))
        return result

    # -- contents from the controller

    def content(self, sha):
        """Bytes of the content with this sha256. Raises Failed when the controller is gone."""
        kept = self._memo.get("content:" + sha)
        if kept is None:
            if not self.link:
                raise Failed("content %s was not sent" % sha[:12])
            asked = self.memo("asked", set)
            if sha not in asked:
                asked.add(sha)
                self.link.emit({"e": "need", "contents": [sha]})
            kept = self.link.content(sha)
            if kept is None or sha256(kept).hexdigest() != sha:
                raise Failed("the controller went away before the file content came")
            asked.discard(sha)
            if len(kept) <= SMALL:  # memory stays flat; who needs a large one again asks again
                self._memo["content:" + sha] = kept
        return kept

    def has_content(self, sha):
        return "content:" + sha in self._memo

    def offer(self, data):
        """Make a content known without asking for it. Returns its sha256."""
        sha = sha256(data).hexdigest()
        self._memo["content:" + sha] = data
        return sha

    # -- files

    def sha256(self, path, limit=1 << 28):
        """sha256 of a plain file, or None when there is none. Remembered until the file's stat changes."""
        try:
            s = os.lstat(path)
        except OSError:
            return None
        if not stat.S_ISREG(s.st_mode):
            return None
        sign = (s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        known = self._memo.get("sha:" + path)
        if known and known[0] == sign:
            return known[1]
        digest = sha256(size=s.st_size)
        with open(path, "rb") as f:
            for chunk in iter(lambda: f.read(1 << 20), b""):
                digest.update(chunk)
        self._memo["sha:" + path] = (sign, digest.hexdigest())
        return digest.hexdigest()

    def write(self, path, data, mode=0o644, uid=None, gid=None, validate=None):
        """Land `data` at `path` whole or not at all: temp file, fsync, validator, rename, fsync of the folder.

        `validate` is an argv in which "%s" stands for the temp file; a non-zero exit keeps the old file. The file
        that stood there before is kept (see `generations`). Raises Failed, naming free bytes when the disk is full.
        """
        from swarmops.target import generations

        folder, base = os.path.split(path)
        temp = os.path.join(folder, ".%s.swarmops" % base[:200])
        try:
            _sweep(folder, "." + base[:200] + ".swarmops")
            self._land(temp, data, mode, uid, gid)
            if validate:
                self._validate(validate, temp, path)
            generations.keep(self, path)
            os.rename(temp, path)
            _fsync_folder(folder)
        except OSError as e:
            raise Failed(_why(e, path, folder))
        finally:
            _unlink(temp)

    def _land(self, temp, data, mode, uid, gid):
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            if uid is not None or gid is not None:
                os.fchown(fd, -1 if uid is None else uid, -1 if gid is None else gid)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _validate(self, argv, temp, path):
        result = self.run([a.replace("%s", temp) for a in argv], ok=None)
        if result.rc != 0:
            said = (result.stderr or result.stdout).strip().replace(temp, path)
            raise Failed("the new %s is not valid, the old one stays: %s" % (path, said[-1000:] or "(no words)"))

    @property
    def incoming(self):
        """Large contents from the controller, as files."""
        from swarmops.target.incoming import Incoming

        return self.memo("asked files", lambda: Incoming(self))

    # -- words to the controller

    def emit(self, event, now=True):
        if self.link:
            self.link.emit(event, now)

    def emit_bytes(self, chunk):
        self.link.emit_bytes(chunk)


def _sweep(folder, name):
    """Remove what an interrupted run left under the temp name of this very file."""
    _unlink(os.path.join(folder, name))


def _unlink(path):
    try:
        os.unlink(path)
    except OSError:
        pass


def _fsync_folder(folder):
    fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _why(e, path, folder):
    import errno

    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        try:
            v = os.statvfs(folder)
            free = "%d bytes free" % (v.f_bavail * v.f_frsize)
        except OSError:
            free = "free space unknown"
        return "the disk is full: cannot write %s (%s); the old file stays" % (path, free)
    if e.errno == errno.ENOENT and not os.path.isdir(folder):
        return "cannot write %s: the folder %s does not exist" % (path, folder)
    hint = " (is it immutable? lsattr tells)" if e.errno == errno.EPERM and os.geteuid() == 0 else ""
    return "cannot write %s: %s%s" % (path, e.strerror or e, hint)


def stopwatch():
    """A function that gives the milliseconds since now."""
    start = time.perf_counter()
    return lambda: round((time.perf_counter() - start) * 1000, 2)
