"""Releases on a host: a folder composed of wheels' trees by hard links, a program, and a note of what it is made of."""

import json
import os
import shutil

from swarmops.target.kinds import _wheel as wheel

LAUNCHER = """#!%s -IS
import os
import sys

sys.dont_write_bytecode = True
# Its own release by its real path: what a running service imports later is of the release that it began with.
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib"))
try:
    from swarmops.cli import main

    main()
except ModuleNotFoundError as e:
    sys.exit("swarmops: this release has no module '%%s' (is it a verb for the controller?)" %% e.name)
"""


def folder(root, release):
    return os.path.join(root, "releases", release)


def note(root, release):
    """What a release says of itself, {} when there is none."""
    try:
        with open(os.path.join(folder(root, release), "release.json")) as f:
            found = json.load(f)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def whole(root, release):
    """Whether the release is there and no file of it was touched."""
    said = note(root, release).get("signs")
    return bool(said) and said == _signs(folder(root, release))


def compose(root, release, args):
    """Make the release's folder, whole or not at all; one that is no longer as it was gives way."""
    home, new = folder(root, release), folder(root, ".new-" + release)
    shutil.rmtree(new, ignore_errors=True)
    for part in ("bin", "lib"):
        wheel.make_folder(os.path.join(new, part))
    try:
        for one in args["wheels"]:
            _link_tree(wheel.tree(root, one["sha256"]), new)
        _write(os.path.join(new, "bin", "swarmops"), LAUNCHER % wheel.python(), 0o755)
        made = {"name": args["name"], "python": args["python"], "wheels": args["wheels"], "signs": _signs(new)}
        _write(os.path.join(new, "release.json"), json.dumps(made, indent=1), 0o644)
        os.sync()
        shutil.rmtree(home, ignore_errors=True)
        os.rename(new, home)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _signs(home):
    """Of all but the note, which holds it."""
    return [wheel.signs(os.path.join(home, part)) for part in sorted(os.listdir(home)) if part != "release.json"]


def _link_tree(source, dest):
    """The first wheel that brings a path has it: ours, then the others by name."""
    for where, folders, names in os.walk(source):
        inside = os.path.normpath(os.path.join(dest, os.path.relpath(where, source)))
        for name in folders:
            wheel.make_folder(os.path.join(inside, name))
        for name in names:
            old, new = os.path.join(where, name), os.path.join(inside, name)
            if os.path.lexists(new):
                continue
            try:
                os.link(old, new)
            except OSError:  # a file system without hard links, or with too many of one file
                shutil.copy2(old, new)


def _write(path, text, mode):
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "w") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    os.chmod(path, mode)


def point(link, target):
    """Switch: the link points to the one or to the other, and never to nothing."""
    temp = link + ".swarmops"
    if os.path.lexists(temp):
        os.unlink(temp)
    os.symlink(target, temp)
    os.rename(temp, link)
    fd = os.open(os.path.dirname(link), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# -- which are there


def of(root, name):
    """The releases of this name, the one used last first."""
    found = [r for r in _names(root, "releases") if r.rpartition("-")[0] == name and not r.startswith(".")]
    return sorted(found, key=lambda r: os.stat(folder(root, r)).st_mtime, reverse=True)


def current(link):
    """The release that a link names, None when there is no link."""
    return os.path.basename(os.readlink(link)) if os.path.islink(link) else None


def prune(root, name, keep, needed):
    """Remove releases of this name beyond `keep`, none of `needed`, and then wheels that no release is made of."""
    others = [r for r in of(root, name) if r not in needed]
    for release in others[max(0, keep - len(needed)) :]:
        shutil.rmtree(folder(root, release), ignore_errors=True)
    used = {w["sha256"] for r in _names(root, "releases") for w in note(root, r).get("wheels", ())}
    for sha in _names(root, "wheels"):
        if sha not in used:
            shutil.rmtree(os.path.join(root, "wheels", sha), ignore_errors=True)


def _names(root, room):
    try:
        return sorted(os.listdir(os.path.join(root, room)))
    except OSError:
        return []
