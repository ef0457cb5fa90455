"""Mode `backup`: send the controller what this host's roles declare worth keeping, one after the other.

Each backup is a source, `sources/<source>.py`, with `collect(args, system, out)` and, where it can be put
back, `restore(args, files, options, system)`. Memory stays flat whatever the size of a file. Events, in
order:

  {"e": "about", "machine_id", "hostname"}
  {"e": "file", "backup", "name", "size", "sha256", "mode", "owner", "group"} and then `size` raw bytes
  {"e": "backup", "id", "ok": true, "facts": {...}, "files": n, "bytes": n} or "ok": false with "reason"
  {"e": "restore", "id", "ok", "status": "restored|would|refused|failed", "reason", "facts"}
"""

import hashlib
import os
import stat
import time

from swarmops.target.system import Failed

CHUNK = 256 * 1024
SMALL = 8 * 1024 * 1024  # files up to this size are read once, into memory
TRIES = 5  # reads of a file that someone else is writing


def run(envelope, system):
    """Collect every backup of the envelope (`backups`), or put some back (`restore`). One that fails is
    reported and does not keep the others from being collected."""
    import importlib

    system.emit({"e": "about", "machine_id": machine_id(), "hostname": os.uname().nodename})
    for item in envelope.get("backups", ()):
        out = Out(system, item["id"])
        try:
            source = importlib.import_module("swarmops.target.sources." + item["source"])
            facts = source.collect(item["args"], system, out) or {}
            event = {"e": "backup", "id": item["id"], "ok": True, "facts": facts}
            event.update(files=out.files, bytes=out.sent)
        except Exception as e:  # whatever it is, it concerns this backup only
            event = {"e": "backup", "id": item["id"], "ok": False, "reason": sentence(e)}
        system.emit(event)
    if envelope.get("restore"):
        _restore_all(envelope, system)


def _restore_all(envelope, system):
    """A restore holds the same lock as a deploy: never both at once."""
    from swarmops.target.lock import Held, Lock

    lock = Lock(system, envelope.get("by", "?"), envelope.get("run", "?"))
    try:
        lock.acquire(lambda holder: None)
    except Held as e:
        for item in envelope["restore"]:
            refused = {"e": "restore", "id": item["id"], "ok": False, "status": "refused"}
            system.emit(dict(refused, reason=str(e)))
        return
    if system.link is not None:
        system.link.on_beat = lock.beat
    try:
        for item in envelope["restore"]:
            system.emit(dict(_restore(item, envelope.get("expect", {}), system), e="restore", id=item["id"]))
    finally:
        lock.release()


def _restore(item, expect, system):
    import importlib

    recorded, here = expect.get("machine_id"), machine_id()
    if recorded and recorded != here and not item["options"].get("force"):
        text = "another machine: its machine-id is %s, the backup is of %s (--force if it was reinstalled)"
        return {"ok": False, "status": "refused", "reason": text % (here[:8] or "unknown", recorded[:8])}
    try:
        source = importlib.import_module("swarmops.target.sources." + item["source"])
        return source.restore(item["args"], item["files"], item["options"], system)
    except Exception as e:
        return {"ok": False, "status": "failed", "reason": sentence(e)}


def parts(file, system):
    """The pieces of a file that is put back, one at a time, so that memory stays flat. Raises Failed at the
    end when they are not together what the backup holds."""
    digest = hashlib.sha256()
    for sha in file["parts"]:
        piece = system.content(sha)
        system.forget("content:" + sha)
        digest.update(piece)
        yield piece
    if digest.hexdigest() != file["sha256"]:
        raise Failed("%s did not arrive as it was sent" % file["name"])


def machine_id():
    """The id systemd gave this machine, or "" when it has none."""
    try:
        with open("/etc/machine-id") as f:
            return f.readline().strip()
    except OSError:
        return ""


def sentence(error):
    """One line for the user from any exception."""
    if isinstance(error, OSError) and error.strerror:
        text = "%s: %s" % (error.filename, error.strerror) if error.filename else error.strerror
    else:
        text = str(error)
    text = " ".join(text.split())[:2000]
    known = isinstance(error, (Failed, OSError)) or type(error).__module__ == "swarmops.target.resp"
    return text if known else "%s: %s" % (type(error).__name__, text)


class Out:
    """Where a source puts its files. `name` is relative, with `/` between folders."""

    def __init__(self, system, backup):
        self.system, self.backup = system, backup
        self.files = self.sent = 0

    def file(self, name, path, limit=None):
        """Send the plain file at `path`, as it was at one moment. Links are not followed. Raises Failed when
        it will not hold still, is no plain file, or holds more than `limit` bytes."""
        fd = open_plain(path)
        try:
            self.descriptor(name, fd, path, limit=limit)
        finally:
            os.close(fd)

    def descriptor(self, name, fd, path, size=None, limit=None):
        """Send an open file, or its first `size` bytes when it only grows."""
        s = os.fstat(fd)
        if limit is not None and (s.st_size if size is None else size) > limit:
            raise Failed("%s has %d bytes, more than the %d it may have" % (path, s.st_size, limit))
        if (s.st_size if size is None else size) <= SMALL:
            data = _steady(fd, path, size, lambda n: _read(fd, n))
            self._head(name, len(data), hashlib.sha256(data).hexdigest(), s)
            self._chunks(data)
            return
        total, sha = _steady(fd, path, size, lambda n: (n, _digest(fd, n)))
        self._head(name, total, sha, s)
        if _digest(fd, total, self._emit) != sha:
            raise Failed("%s changed while it was read" % path)

    def bytes(self, name, data, mode=0o600):
        """Send `data` as a file of that name."""
        self._head(name, len(data), hashlib.sha256(data).hexdigest(), None, mode)
        self._chunks(data)

    def _head(self, name, size, sha, s, mode=0o600):
        event = {"e": "file", "backup": self.backup, "name": name, "size": size, "sha256": sha, "mode": mode}
        if s is not None:
            event.update(mode=stat.S_IMODE(s.st_mode), owner=_name(self.system.users(), 2, s.st_uid))
            event.update(group=_name(self.system.groups(), 2, s.st_gid))
        self.system.emit(event, now=False)
        self.files += 1

    def _chunks(self, data):
        view = memoryview(data)
        for start in range(0, len(data), CHUNK):
            self._emit(bytes(view[start : start + CHUNK]))

    def _emit(self, chunk):
        if self.system.link is not None and self.system.link.gone:
            raise Failed("the controller went away")
        self.system.emit_bytes(chunk)
        self.sent += len(chunk)


def open_plain(path):
    """A descriptor of a plain file, never of what a link at `path` points to. Raises OSError or Failed."""
    import errno

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        if e.errno == errno.ELOOP:
            raise Failed("%s is a link" % path)
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Failed("%s is not a plain file" % path)
    return fd


def _steady(fd, path, size, read):
    """What `read` gives for a file that did not change meanwhile; one that only grows is read up to
    `size`."""
    for _ in range(TRIES):
        before = os.fstat(fd)
        result = read(before.st_size if size is None else size)
        after = os.fstat(fd)
        if size is not None and after.st_size >= size:
            return result
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            continue
        # Kernels stamp times some milliseconds coarse: two writes within one look like none.
        if time.time() - after.st_mtime > 1 or read(after.st_size) == result:
            return result
    raise Failed("%s changed each of the %d times it was read" % (path, TRIES))


def _read(fd, size):
    parts, at = [], 0
    while at < size:
        part = os.pread(fd, size - at, at)
        if not part:
            break
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _digest(fd, size, each=None):
    """sha256 of the first `size` bytes; `each` is given them, in chunks. A file that got shorter is a
    failure."""
    digest, at = hashlib.sha256(), 0
    while at < size:
        part = os.pread(fd, min(CHUNK, size - at), at)
        if not part:
            raise Failed("the file became shorter while it was read")
        digest.update(part)
        if each:
            each(part)
        at += len(part)
    return digest.hexdigest()


def _name(entries, index, number):
    return next((name for name, entry in entries.items() if entry[index] == number), str(number))
