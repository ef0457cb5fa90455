"""What kinds that land or keep files have in common: attributes, content, bounded diffs."""

import os
import stat

from swarmops.target.system import Failed, Missing

DIFF_INPUT = 1 << 18  # bytes of a file above which no diff is made
DIFF_LINES = 50  # kept from the start and from the end of a long diff
DIFF_BYTES = 8192
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
ATTRIBUTES = ("owner", "group", "mode")


def kind_of(path):
    """file, directory, link, other, or None when nothing is there. The last component is never followed."""
    try:
        return TYPES.get(stat.S_IFMT(os.lstat(path).st_mode), "other")
    except (FileNotFoundError, NotADirectoryError):
        return None


def mode_text(mode):
    """Permission bits as text, "0640". Takes text or a number; raises ValueError for what is not octal."""
    try:
        return "%04o" % (int(mode, 8) if isinstance(mode, str) else mode)
    except ValueError:
        raise ValueError('mode %s is not octal (example "0640")' % mode)


def wanted_attributes(args):
    """owner, group and mode of `args`, as far as they are given."""
    want = {key: str(args[key]) for key in ("owner", "group") if args.get(key) is not None}
    if args.get("mode") is not None:
        want["mode"] = mode_text(args["mode"])
    return want


def attributes(path, want):
    """Those of owner, group and mode that `want` names, as `path` has them; None when nothing is there."""
    try:
        s = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {key: None for key in ATTRIBUTES if key in want}
    have = {}
    if "owner" in want:
        have["owner"] = owner_name(s.st_uid, want["owner"])
    if "group" in want:
        have["group"] = group_name(s.st_gid, want["group"])
    if "mode" in want:
        have["mode"] = mode_text(stat.S_IMODE(s.st_mode))
    return have


def owner_name(uid, like=""):
    """Name of a user id; its number when it has no name or when `like` is a number too."""
    import pwd

    try:
        return str(uid) if str(like).isdigit() else pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid, like=""):
    """Name of a group id; its number when it has no name or when `like` is a number too."""
    import grp

    try:
        return str(gid) if str(like).isdigit() else grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def set_attributes(path, want, system):
    """Give `path` the owner, group and mode of `want`. Never follows a link at the last component.

    Raises Missing for an unknown user or group, Failed when the system refuses.
    """
    uid, gid = system.uid(want.get("owner")), system.gid(want.get("group"))
    try:
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # The inode is held, so that nobody can put a link in its place between look and deed.
            s, held = os.fstat(fd), "/proc/self/fd/%d" % fd
            link = stat.S_ISLNK(s.st_mode)
            if uid not in (None, s.st_uid) or gid not in (None, s.st_gid):
                ids = (-1 if uid is None else uid, -1 if gid is None else gid)
                os.lchown(path, *ids) if link else os.chown(held, *ids)
            if want.get("mode") is not None and not link:
                os.chmod(held, int(want["mode"], 8))  # after chown, which clears setuid
        finally:
            os.close(fd)
    except OSError as e:
        raise Failed("cannot set owner or mode of %s: %s" % (path, e.strerror))


# -- files with a content from the controller: template, copy, get_url, nftables


def wanted_file(path, sha, args):
    """The desired state of a plain file at `path` whose content has this sha256."""
    if not sha:
        raise ValueError("content was not resolved for %s" % path)
    return dict({"type": "file", "content": sha}, **wanted_attributes(args))


def read_file(path, want, system):
    """State of `path` with the keys of `want`."""
    have = dict(attributes(path, want), type=kind_of(path))
    have["content"] = system.sha256(path) if have["type"] == "file" else None
    return have


def land(path, want, state, system, validate=None):
    """Make a file as `want` says: content by one atomic replacement, attributes alone where that will do."""
    if state["type"] == "directory":
        raise Failed("%s is a folder; take it away first (file: state: absent)" % path)
    if state["type"] == "file" and state["content"] == want["content"]:
        return set_attributes(path, want, system)
    replace(path, system.content(want["content"]), want, system, validate)


def replace(path, data, want, system, validate=None):
    """Put `data` at `path`. What `want` does not say stays as the old file had it; a new file is 0644."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise Failed("the folder %s does not exist (make it first, with file: state: directory)" % folder)
    uid, gid, mode = system.uid(want.get("owner")), system.gid(want.get("group")), 0o644
    if kind_of(path) == "file":
        old = os.lstat(path)
        uid, gid = old.st_uid if uid is None else uid, old.st_gid if gid is None else gid
        mode = stat.S_IMODE(old.st_mode)
    if want.get("mode") is not None:
        mode = int(want["mode"], 8)
    system.write(path, data, mode, uid, gid, validate)
    system.forget("systemd")  # it may have been a unit's file


def argv(command, name="validate"):
    """A command given as text or list as a list of words; None stays None. Raises ValueError."""
    if command is None or isinstance(command, list):
        return command and [str(word) for word in command]
    import shlex

    try:
        words = shlex.split(command)
    except ValueError as e:
        raise ValueError("%s: %s in `%s`" % (name, str(e).lower(), command))
    for word in words:
        if word in ("|", "||", "&&", ";", "&") or word[:1] in ("<", ">"):
            raise ValueError("%s: '%s' needs a shell (write argv: [sh, -c, ...])" % (name, word))
    return words


def validator(args):
    """The validate argument as argv. Raises ValueError when it does not say where the file goes."""
    words = argv(args.get("validate"))
    if words and not any("%s" in word for word in words):
        raise ValueError("validate needs %s where the name of the new file goes")
    return words


def made(path):
    """Names of what exists once `path` does."""
    names = ["file:" + path]
    if path.startswith(("/etc/systemd/system/", "/run/systemd/system/", "/lib/systemd/system/")):
        names.append("unit:" + path.split("/")[4])
    return names


# -- diffs


def content_diff(path, want, system):
    """Unified diff from what is at `path` to the wanted content, for people."""
    if system.sha256(path) == want["content"]:
        return ""
    return diff(path, current(path, DIFF_INPUT + 1), system.content(want["content"]))


def current(path, limit=None):
    """Bytes of a plain file, the first `limit` where given; nothing when there is none."""
    if kind_of(path) != "file":
        return b""
    with open(path, "rb") as f:
        return f.read(limit)


def diff(path, old, new):
    """Unified diff of two contents, first and last 50 lines, 8 KiB at most. A binary content says so."""
    if max(len(old), len(new)) > DIFF_INPUT:
        return "%s: too large for a diff (new size %d bytes)" % (path, len(new))
    try:
        before, after = old.decode(), new.decode()
    except UnicodeDecodeError:
        before = after = "\0"
    if "\0" in before or "\0" in after:
        return "%s: binary, %d -> %d bytes" % (path, len(old), len(new))
    import difflib

    sides = before.splitlines(), after.splitlines()
    lines = list(difflib.unified_diff(*sides, path, path, "was", "wanted", lineterm=""))
    if not lines and old != new:
        return "%s: only line ends differ" % path
    return bounded(lines)


def bounded(lines):
    """Lines as one text, cut in the middle, control characters made visible."""
    if len(lines) > 2 * DIFF_LINES:
        cut = len(lines) - 2 * DIFF_LINES
        lines = [*lines[:DIFF_LINES], "... %d lines not shown" % cut, *lines[-DIFF_LINES:]]
    text = "\n".join(map(visible, lines))
    if len(text) > DIFF_BYTES:
        half = DIFF_BYTES // 2
        text = text[:half] + "\n... %d characters not shown\n" % (len(text) - 2 * half) + text[-half:]
    return text


def visible(line):
    """A line with control characters escaped, so that a terminal only shows them."""
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in line)


def need_folder(path):
    """Raise Missing when `path` is no folder yet."""
    if not os.path.isdir(path):
        raise Missing("file:" + path)
