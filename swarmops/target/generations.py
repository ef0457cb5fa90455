"""The generation of a file before ours: kept when a file is replaced, put back when its service does not come up.

A file that a handler answers for is *pending* from its first replacement until that handler succeeded; while it is
pending the kept generation is the last one known to work and is not overwritten, not even by a later run.
"""

import json
import os
import shutil
import stat
import time

from swarmops.target.digests import sha256


def _spot(system, path):
    return os.path.join(system.state, "previous", sha256(path.encode()).hexdigest()[:32])


def _note(spot):
    try:
        with open(spot + ".json") as f:
            return json.load(f)
    except (OSError, ValueError):
        return None


def _write_note(spot, note):
    land(spot + ".json", lambda f: f.write(json.dumps(note).encode()))


def keep(system, path):
    """Keep what stands at `path` now, before it is replaced. Raises OSError when there is no room for it."""
    spot = _spot(system, path)
    note = _note(spot)
    if note and note["pending"]:
        return
    os.makedirs(os.path.dirname(spot), mode=0o700, exist_ok=True)
    note = {"path": path, "there": False, "pending": bool(system.keep_for)}
    if os.path.islink(path):
        note["link"] = os.readlink(path)
    elif os.path.isfile(path):
        copy(path, spot + ".data")
        note["there"] = True
    _write_note(spot, note)


def settle(system, paths, run=""):
    """The service runs with these files: their kept generations are history now, the history of this run."""
    for path in paths:
        spot = _spot(system, path)
        note = _note(spot)
        if note and note["pending"]:
            now = os.readlink(path) if os.path.islink(path) else None
            _write_note(spot, dict(note, pending=False, run=run, at=time.time(), now=now))


def settled(system, path):
    """What is noted of the run since which the service runs with `path`: run, at (seconds since 1970, by this host's
    clock), for a link also where it points to since then (now) and pointed to before (link); {} when that is unknown,
    in doubt, or no longer so."""
    note = _note(_spot(system, path)) or {}
    if note.get("pending") or not note.get("run"):
        return {}
    return note if note["now"] == (os.readlink(path) if os.path.islink(path) else None) else {}


def doubt(system, paths, run):
    """Take back that the service runs with what this run has landed. Returns those of the paths that are in doubt now,
    so that `restore` puts back what was there before the run."""
    found = []
    for path in paths:
        note = settled(system, path)
        if note.get("run") == run:
            _write_note(_spot(system, path), dict(note, pending=True))
            found.append(path)
    return found


def proven(system, path):
    """The last generation known to work of a pending file: where it is kept, or "" when there was none; None when
    what stands at `path` is not in doubt."""
    spot = _spot(system, path)
    note = _note(spot)
    if not note or not note["pending"] or note.get("link"):
        return None
    return spot + ".data" if note["there"] else ""


def pending_link(system, path):
    """Where the last link known to work pointed to, when what stands at `path` is in doubt."""
    note = _note(_spot(system, path))
    return note.get("link") if note and note["pending"] else None


def restore(system, paths):
    """Put back the last generation known to work of those that are pending. Returns the paths put back."""
    back = []
    for path in paths:
        spot = _spot(system, path)
        note = _note(spot)
        if not note or not note["pending"]:
            continue
        if note["there"]:
            copy(spot + ".data", path)
        elif note.get("link"):
            temp = _temp(path)
            os.symlink(note["link"], temp)
            os.rename(temp, path)
        elif os.path.lexists(path):
            os.unlink(path)
        back.append(path)
    return back


# -- files landed whole, also in folders that belong to others: no link at either end is followed


def copy(source, path):
    """Land a copy of the plain file `source` at `path`, with its owner, mode and times."""
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(fd, "rb") as old:
        s = os.fstat(fd)

        def fill(f):
            shutil.copyfileobj(old, f, 1 << 20)
            os.fchown(f.fileno(), s.st_uid, s.st_gid)
            os.fchmod(f.fileno(), stat.S_IMODE(s.st_mode))
            os.utime(f.fileno(), ns=(s.st_atime_ns, s.st_mtime_ns))

        land(path, fill)


def land(path, fill):
    """Put what `fill(file)` writes at `path`, whole and on the disk, or leave what was there."""
    temp = _temp(path)
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as f:
            fill(f)
            f.flush()
            os.fsync(fd)
        os.rename(temp, path)
    except BaseException:
        os.unlink(temp)
        raise


def _temp(path):
    """A name beside `path` that nothing has: what an interrupted run left there goes."""
    folder, base = os.path.split(path)
    temp = os.path.join(folder, ".%s.swarmops-back" % base[:200])
    if os.path.lexists(temp):
        os.unlink(temp)
    return temp
