"""The generation of a file before ours: kept when a file is replaced, put back when its service does not come up.

A file that a handler answers for is *pending* from its first replacement until that handler succeeded; while it is
pending the kept generation is the last one known to work and is not overwritten, not even by a later run.
"""

import json
import os

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
    with open(spot + ".new", "w") as f:
        json.dump(note, f)
        f.flush()
        os.fsync(f.fileno())
    os.rename(spot + ".new", spot + ".json")


def keep(system, path):
    """Keep what stands at `path` now, before it is replaced. Raises OSError when there is no room for it."""
    spot = _spot(system, path)
    note = _note(spot)
    if note and note["pending"]:
        return
    os.makedirs(os.path.dirname(spot), mode=0o700, exist_ok=True)
    there = os.path.isfile(path) and not os.path.islink(path)
    if there:
        import shutil

        shutil.copy2(path, spot + ".new")
        s = os.stat(path)
        os.chown(spot + ".new", s.st_uid, s.st_gid)
        os.rename(spot + ".new", spot + ".data")
    _write_note(spot, {"path": path, "there": there, "pending": bool(system.keep_for)})


def settle(system, paths):
    """The service runs with these files: their kept generations are history now."""
    for path in paths:
        spot = _spot(system, path)
        note = _note(spot)
        if note and note["pending"]:
            _write_note(spot, dict(note, pending=False))


def restore(system, paths):
    """Put back the last generation known to work of those that are pending. Returns the paths put back."""
    back = []
    for path in paths:
        spot = _spot(system, path)
        note = _note(spot)
        if not note or not note["pending"]:
            continue
        if note["there"]:
            temp = path + ".swarmops-back"
            import shutil

            shutil.copy2(spot + ".data", temp)
            s = os.stat(spot + ".data")
            os.chown(temp, s.st_uid, s.st_gid)
            os.rename(temp, path)
        elif os.path.exists(path):
            os.unlink(path)
        back.append(path)
    return back
