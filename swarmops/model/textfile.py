"""Reading a text file that a user wrote: each way in which it can be unreadable is a fault with its place."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from swarmops.model.faults import Faults, Mark

MAX_BYTES = 1024 * 1024
# What no configuration file needs and what can make a line look like another one: control characters, the
# characters that reverse the direction of text, and invisible ones.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\u061c\u200b\u200e\u200f\u2028\u2029"
    "\u202a-\u202e\u2060-\u2069\ufeff\ufffe\uffff]"
)


def absolute(path: Path) -> Path:
    """The absolute path with its links kept, so that messages name what the user wrote."""
    return Path(os.path.abspath(path))


def project_root(path: Path) -> Path | None:
    """The nearest folder above `path` that holds a `distributed.yaml`; None outside a project."""
    place = absolute(path)
    return next((p for p in place.parents if (p / "distributed.yaml").is_file()), None)


def shown(path: Path, root: Path | None = None) -> str:
    """How a message names a file: relative to the project (or else to the current folder) when inside it."""
    place = absolute(path)
    for base in (root and absolute(root), project_root(place), Path.cwd()):
        if base and place.is_relative_to(base) and place != base:
            return str(place.relative_to(base))
    return str(path)


def within(path: Path, root: Path | None) -> bool:
    """Whether following every symbolic link of `path` stays inside `root` (or inside its project, or folder)."""
    place = absolute(path)
    base = absolute(root) if root else project_root(place)
    if base is None or not place.is_relative_to(base):
        base = place.parent
    return place.resolve().is_relative_to(base.resolve())


def read_text(path: Path, faults: Faults, *, root: Path | None = None, hint: str = "") -> str | None:
    """The text of a file, or None and a fault (reliability-security 3b, cases 1-3, 7-10, 42).

    `hint` says how to make the file when it is missing.
    """
    mark = Mark(shown(path, root))
    data = _read_bytes(path, mark, faults, root, hint)
    return None if data is None else decode(data, mark, faults)


def _read_bytes(path: Path, mark: Mark, faults: Faults, root: Path | None, hint: str) -> bytes | None:
    try:
        if not within(path, root):
            faults.add(mark, "", f"is a link to {path.resolve()}, outside the project", "copy the file into it")
            return None
        kind = _unusual(path.stat().st_mode)
        if kind:
            faults.add(mark, "", f"is {kind}, not a file")
            return None
        # Not blocking, should the file have become a fifo since.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        link = " (a link to nothing)" if path.is_symlink() else ""
        faults.add(mark, "", f"there is no such file{link}", hint)
    except PermissionError:
        faults.add(mark, "", "may not be read by you", f"look at 'ls -l {path}'")
    except (OSError, RuntimeError) as e:
        faults.add(mark, "", f"cannot be read: {getattr(e, 'strerror', None) or 'its links go in a circle'}")
    else:
        if len(data) <= MAX_BYTES:
            return data
        faults.add(mark, "", "is larger than 1 MiB", "a directory of smaller files loads too")
    return None


def _unusual(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a fifo",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "")


def decode(data: bytes, mark: Mark, faults: Faults) -> str | None:
    """UTF-8 text (a byte order mark is dropped), free of hidden characters; else None and faults."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (len(data) > 3 and 0 in data[:2] and data[:2] != b"\0\0"):
        faults.add(mark, "", "is UTF-16", "save it as UTF-8")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        start = data.rfind(b"\n", 0, e.start) + 1
        column = len(data[start : e.start].decode("utf-8", "replace")) + 1
        place = Mark(mark.file, data.count(b"\n", 0, e.start) + 1, column)
        faults.add(place, "", f"byte {e.start} (0x{data[e.start]:02x}) is not UTF-8", "save it as UTF-8")
        return None
    return text if hidden_characters(text, mark.file, faults) else None


def hidden_characters(text: str, file: str, faults: Faults) -> bool:
    """Whether the text is free of them; the first ten are faults with their place."""
    if text.isascii() and text.isprintable():
        return True
    found = [m for _, m in zip(range(10), _HIDDEN.finditer(text), strict=False)]
    for match in found:
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - text.rfind("\n", 0, match.start())
        name = "a NUL character" if match[0] == "\0" else f"the hidden character U+{ord(match[0]):04X}"
        faults.add(Mark(file, line, column), "", f"holds {name}", "delete it")
    return not found
