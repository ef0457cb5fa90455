"""Unpacking tar and zip archives that nobody vouches for.

Every member is looked at before the first is written. A member that is not a plain file or folder, whose name
leaves the folder or hides control characters, or that comes twice, refuses the whole archive. The filters of
tarfile are not relied on: old ones have known holes.
"""

import os
import shutil
import stat

from swarmops.target.system import Failed

MOST = 4 << 30  # bytes an archive may unpack to
RATIO = 250  # times its own size, above FREE_RATIO bytes
FREE_RATIO = 64 << 20


def unpack(source, dest, ids=(None, None), mode=None):
    """Unpack the archive in the binary file `source` into the folder `dest`.

    ids   numeric user and group of all members, None to leave them as made
    mode  octal text for all files; folders get the matching search bits
    Returns member path -> `signs` of every file. Raises Failed for a member or archive that is refused.
    """
    members = _open(source)
    check(members, _size(source), dest)
    made = {}
    for name, is_folder, bits, _, open_member in members:
        path = os.path.join(dest, name)
        if is_folder:
            _folder(dest, name, ids, _bits(mode, bits, True))
            continue
        _folder(dest, os.path.dirname(name), ids, None)
        _land(path, open_member, ids, _bits(mode, bits, False))
        made[name] = signs(path)
    return made


def signs(path):
    """Size, time, mode and owner of a plain file, by which a change shows; None when it is none."""
    try:
        s = os.lstat(path)
    except OSError:
        return None
    return [s.st_size, s.st_mtime_ns, s.st_mode, s.st_uid, s.st_gid] if stat.S_ISREG(s.st_mode) else None


def _open(source):
    """Members as (name, is folder, mode, size, function that opens it)."""
    import tarfile
    import zipfile

    try:
        if zipfile.is_zipfile(source):
            return zip_members(zipfile.ZipFile(source))
        source.seek(0)
        return _tar_members(tarfile.open(fileobj=source))
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError) as e:
        raise Failed("this is not a whole tar or zip archive: %s" % e)
    except Exception as e:  # lzma and zlib have errors of their own
        if type(e).__module__ in ("lzma", "_lzma", "zlib"):
            raise Failed("the archive is damaged: %s" % e)
        raise


def _tar_members(tar):
    found = []
    for m in tar.getmembers():
        if not (m.isreg() or m.isdir()) or m.issparse():
            raise Failed("refused: %s in the archive is neither a plain file nor a folder" % ascii(m.name))
        found.append((plain_name(m.name), m.isdir(), m.mode, m.size, lambda m=m: tar.extractfile(m)))
    return found


def zip_members(archive):
    """Members of a ZipFile as (name, is folder, mode, size, function that opens it). Raises Failed for a bad one."""
    found = []
    for m in archive.infolist():
        kind, bits = stat.S_IFMT(m.external_attr >> 16), stat.S_IMODE(m.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or m.flag_bits & 1:
            raise Failed("refused: %s in the archive is no plain file or folder" % ascii(m.filename))
        is_folder = m.filename.endswith("/")
        bits = bits or (0o755 if is_folder else 0o644)
        found.append((plain_name(m.filename), is_folder, bits, m.file_size, lambda m=m: archive.open(m)))
    return found


def plain_name(name):
    """A member's name made plain. Raises Failed when it could lead out of the folder."""
    parts = [p for p in name.split("/") if p not in ("", ".")]
    bad = name.startswith("/") or ".." in parts or not name.isprintable() or "\\" in name
    if bad or any(len(p.encode("utf-8", "replace")) > 255 for p in parts):
        raise Failed("refused: %s in the archive leaves the folder or is no fit name" % ascii(name[:300]))
    return "/".join(parts)


def _size(source):
    return source.seek(0, os.SEEK_END)


def check(members, packed, dest):
    """Refuse duplicates, bombs, what does not fit, and folders in `dest` that are links."""
    names = [m[0] for m in members if not m[1]]
    if len(set(names)) != len(names):
        raise Failed("refused: the archive holds a file twice")
    total, free = sum(m[3] for m in members), os.statvfs(dest)
    if total > MOST or total > max(FREE_RATIO, RATIO * packed):
        raise Failed("refused: %d bytes would unpack to %d" % (packed, total))
    if total > free.f_bavail * free.f_frsize:
        raise Failed("the disk is too full: %d bytes are needed in %s" % (total, dest))
    for name in {os.path.dirname(n) for n in names} | {m[0] for m in members if m[1]}:
        for path in _chain(dest, name):
            if os.path.lexists(path) and not stat.S_ISDIR(os.lstat(path).st_mode):
                raise Failed("refused: %s is no folder here, but one in the archive" % path)


def _chain(dest, name):
    """The path of every folder on the way to `name`, inside `dest`."""
    parts = name.split("/") if name else []
    return [os.path.join(dest, *parts[: i + 1]) for i in range(len(parts))]


def _bits(mode, own, folder):
    bits = int(mode, 8) if mode else own & 0o755 | 0o600
    return bits | 0o100 | (bits & 0o444) >> 2 if folder else bits


def _folder(dest, name, ids, bits):
    """Make the folders down to `name`; `bits` are for the last one, None for one that no member describes."""
    for path in _chain(dest, name):
        if not os.path.lexists(path):
            os.mkdir(path, 0o755)
            _own(path, ids)
            os.chmod(path, 0o755)
    if name and bits is not None:
        os.chmod(os.path.join(dest, name), bits)


def _land(path, open_member, ids, bits):
    """One file, whole or not at all. The caller syncs once for all of them."""
    temp = os.path.join(os.path.dirname(path), ".%s.swarmops" % os.path.basename(path)[:200])
    if os.path.lexists(temp):
        os.unlink(temp)
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as f, open_member() as member:
            shutil.copyfileobj(member, f, 1 << 18)
        _own(temp, ids)
        os.chmod(temp, bits)
        os.rename(temp, path)
    finally:
        if os.path.lexists(temp):
            os.unlink(temp)


def _own(path, ids):
    if ids != (None, None):
        os.chown(path, *(-1 if i is None else i for i in ids))
