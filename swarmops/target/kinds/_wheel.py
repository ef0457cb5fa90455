"""Wheels of Python, laid out as their specification says, each once under its sha256.

wheels/<sha256>/tree/lib/...     what is imported, compiled
wheels/<sha256>/tree/bin/...     scripts;  tree/...  other data, as they would lie in a prefix
wheels/<sha256>/wheel.json       {"name", "signs"}: written last
"""

import json
import os
import shutil
import stat
import sys

from swarmops.target.digests import sha256
from swarmops.target.kinds import _archive as archive
from swarmops.target.system import Failed

SCHEMES = {"purelib": "lib", "platlib": "lib", "scripts": "bin", "headers": "include", "data": ""}
COMPILE = 600  # seconds


def tree(root, sha):
    return os.path.join(root, "wheels", sha, "tree")


def held(root, sha):
    """Whether this wheel was laid out here once. Whether it still is as it was, see `whole`."""
    return os.path.isfile(os.path.join(root, "wheels", sha, "wheel.json"))


def whole(root, sha):
    """Whether it is there and no file of it was touched."""
    try:
        with open(os.path.join(root, "wheels", sha, "wheel.json")) as f:
            return json.load(f)["signs"] == signs(tree(root, sha))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def place(member):
    """Where a member of a wheel goes, as a path in the tree. Raises Failed for one that has no place."""
    first, _, rest = member.partition("/")
    if not (rest and first.endswith(".data")):
        return "lib/" + member
    scheme, _, inside = rest.partition("/")
    if scheme not in SCHEMES or not inside:
        raise Failed("refused: %s in the wheel is of no known scheme" % ascii(member))
    return os.path.join(SCHEMES[scheme], inside)


def lay_out(root, sha, name, path, system):
    """Unpack the wheel file at `path`, whole or not at all. Raises Failed for a wheel that is refused."""
    home = os.path.join(root, "wheels", sha)
    new = os.path.join(root, "wheels", ".new-" + sha)
    for old in (new, home):
        shutil.rmtree(old, ignore_errors=True)
    make_folder(os.path.join(new, "tree"))
    try:
        _unpack(path, os.path.join(new, "tree"))
        _compile(os.path.join(new, "tree", "lib"), system)
        note = {"name": name, "signs": signs(os.path.join(new, "tree"))}
        with open(os.path.join(new, "wheel.json"), "w") as f:
            json.dump(note, f)
        os.sync()  # the note says that all is there: it must not outlive its files in a crash
        os.rename(new, home)
    except Failed as e:
        raise Failed("%s: %s" % (name, e))
    except OSError as e:
        raise Failed("%s cannot be unpacked: %s" % (name, e.strerror or e))
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _unpack(path, dest):
    import zipfile

    try:
        with zipfile.ZipFile(path) as wheel:
            members = archive.zip_members(wheel)
            archive.check(members, os.path.getsize(path), dest)
            placed = [(place(m[0]), m) for m in members if not m[1]]
            if len({p for p, _ in placed}) != len(placed):
                raise Failed("refused: two files of it have one place")
            for where, member in placed:
                _land(dest, where, member)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as e:
        raise Failed("this is not a whole wheel: %s" % e)
    except Exception as e:
        if type(e).__module__ in ("zlib", "lzma", "_lzma"):
            raise Failed("the wheel is damaged: %s" % e)
        raise


def _land(dest, where, member):
    make_folder(os.path.dirname(os.path.join(dest, where)))
    path = os.path.join(dest, where)
    with member[4]() as source, open(path, "xb") as f:
        if where.startswith("bin/"):
            first = source.readline(1000)
            f.write(b"#!" + python().encode() + b"\n" if first.startswith(b"#!python") else first)
        shutil.copyfileobj(source, f, 1 << 18)
    os.chmod(path, 0o755 if member[2] & 0o111 or where.startswith("bin/") else 0o644)


def make_folder(path):
    """A folder that all may read, with its parents, whatever the mask of this process is."""
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)


def _compile(lib, system):
    """Services may not write here, so they start fast only with what is compiled now. What does not compile, stays."""
    if not os.path.isdir(lib):
        return
    system.run([python(), "-IS", "-m", "compileall", "-q", "-j", "0", lib], ok=None, timeout=COMPILE)
    for where, _, names in os.walk(lib):
        if os.path.basename(where) == "__pycache__":
            os.chmod(where, 0o755)
            for name in names:
                os.chmod(os.path.join(where, name), 0o644)


def python():
    """This host's interpreter, as services shall start it."""
    return sys.executable or "/usr/bin/python3"


def signs(folder):
    """Digest of all names, sizes, times and modes below `folder`, by which a change shows. Compiled files aside."""
    found = sha256()
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f != "__pycache__")
        for name in sorted(names):
            s = os.lstat(os.path.join(where, name))
            plain = stat.S_ISREG(s.st_mode)
            inside = os.path.relpath(where, folder)
            found.update(repr([inside, name, plain and s.st_size, plain and s.st_mtime_ns, s.st_mode]).encode())
    return found.hexdigest()
