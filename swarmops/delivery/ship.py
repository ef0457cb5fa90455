"""What goes over the wire: the engine as a reproducible zip, the bootstrap that loads it, and the frames."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shlex
import threading
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from struct import pack
from typing import Any, BinaryIO, TypeVar

from swarmops.target import wire

TARGET = Path(wire.__file__).parent
PIECE = 1 << 18  # bytes of a file that are in memory at once

# Runs on the host before anything of ours is there. It says whether the host has this engine (kept by an earlier
# deploy), reads the envelope, reads the engine where it is lacking, and hands over. The envelope is sent without
# waiting for that word, so a host that has the engine costs no extra round trip. It begins so that any Python can read
# it, and holds no double quote and no backslash, see `command`.
BOOTSTRAP = """\
import os,sys
h='%(id)s'
n=chr(10).encode()
w=n+b'%(sentinel)s '
if sys.version_info<(3,9):os.write(1,w+('old %%d.%%d'%%sys.version_info[:2]).encode()+n);sys.exit(96)
d='/var/lib/swarmops' if os.geteuid()==0 else os.path.expanduser('~/.local/state/swarmops')
d=(bytes.fromhex('%(state)s').decode() or d)+'/engine/'+h
k=os.path.isdir(d)
os.write(1,w+(b'have' if k else b'need')+n)
r=sys.stdin.buffer
f=lambda:r.read(int(r.read(8),16))
e=f();z=None
if not k:
 import hashlib,zlib
 z=zlib.decompress(f())
 if hashlib.sha256(z).hexdigest()!=h:sys.exit(97)
 m=os.memfd_create('swarmops');os.write(m,z);d='/proc/self/fd/%%d'%%m
sys.path.insert(0,d)
from swarmops.target.main import main
main(e,r,z,h)
"""

PLAIN_INIT = '"""swarmops, as it runs on hosts."""\n'


T = TypeVar("T")


def _once(make: Callable[[], T]) -> Callable[[], T]:
    """`make` called once, though the threads of all hosts ask at the same time."""
    lock, made = threading.Lock(), list[T]()

    @functools.wraps(make)
    def get() -> T:
        with lock:
            if not made:
                made.append(make())
            return made[0]

    return get


@_once
def bundle() -> tuple[str, bytes]:
    """The engine with all kinds, probes and sources: (sha256, zip bytes), the same bytes on every machine."""
    members = [("swarmops/__init__.py", PLAIN_INIT.encode())]
    for folder, _, names in os.walk(TARGET):
        inside = Path(folder).relative_to(TARGET.parent.parent).as_posix()
        members += [(f"{inside}/{n}", Path(folder, n).read_bytes()) for n in names if n.endswith(".py")]
    data = stored_zip(sorted(members))
    return hashlib.sha256(data).hexdigest(), data


def stored_zip(members: list[tuple[str, bytes]]) -> bytes:
    """A zip of these files, not compressed: made in each run for its sha256, in a fifth of zipfile's time.

    The same files give the same bytes on every machine, which no compressor promises.
    """
    files, index = bytearray(), bytearray()
    for name, data in members:
        size = len(data)
        # version 2.0, no flags, stored, 1 January 1980, crc, both sizes, lengths of name and extra field
        head = pack("<5H3L2H", 20, 0, 0, 0, 33, zlib.crc32(data), size, size, len(name), 0) + name.encode()
        fixed, tail = head[:26], head[26:]
        index += b"PK\1\2\x14\3" + fixed + pack("<3H2L", 0, 0, 0, 0o600 << 16, len(files)) + tail
        files += b"PK\3\4" + head + data
    count = len(members)
    return bytes(files + index + b"PK\5\6" + pack("<4H2LH", 0, 0, count, count, len(index), len(files), 0))


@_once
def engine_frame() -> bytes:
    """The engine as its frame, for hosts that lack it."""
    return wire.frame(zlib.compress(bundle()[1], 6))


def command(python: str, become: bool, prompt: str = "", writes: bool = True, state: str = "") -> str:
    """The one command line that is executed on a host. Holds nothing of the plan and no secret.

    It is one line in quotes that sh, csh and fish read alike, whichever the login shell is. `prompt` is what sudo says
    when it wants a password ("" forbids it to ask); without `writes` Python leaves no compiled files behind. `state`
    is where the host keeps what it remembers, when not in its usual place.
    """
    program = BOOTSTRAP % {"id": bundle()[0], "sentinel": wire.SENTINEL, "state": os.fsencode(state).hex()}
    flags = "-I -S" if writes else "-I -S -B"
    one_line = 'exec("' + program.replace("\n", "\\n") + '")'
    run = f"{shlex.join(shlex.split(python))} {flags} -c {shlex.quote(one_line)}"
    if become:
        run = (f"env LC_ALL=C sudo -S -p {prompt} " if prompt else "env LC_ALL=C sudo -n ") + run
    return run


def envelope_frame(envelope: Mapping[str, Any]) -> bytes:
    """The envelope as its frame."""
    text = json.dumps({"v": wire.VERSION, **envelope}, separators=(",", ":"))
    return wire.frame(zlib.compress(text.encode(), 6))


def content_frame(sha: str, data: bytes) -> bytes:
    return wire.frame(b"c" + sha.encode() + zlib.compress(data, 6))


def word_frame(word: str) -> bytes:
    return wire.frame(b"w" + word.encode())


class Pieces:
    """Files that a host has asked for, in pieces that are read only as fast as it takes them."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Path]] = deque()
        self._file: BinaryIO | None = None

    def add(self, sha: str, path: Path) -> None:
        self._waiting.append((sha, path))

    def next(self) -> bytes:
        """The next frame, b"" when all is sent. Raises OSError for a file that cannot be read."""
        if not self._waiting:
            return b""
        sha, path = self._waiting[0]
        self._file = self._file or path.open("rb")
        data = self._file.read(PIECE)
        if not data:
            self._file.close()
            self._file = None
            self._waiting.popleft()
        return wire.frame(b"p" + sha.encode() + data)

    def clear(self) -> None:
        self._waiting.clear()
        if self._file:
            self._file.close()
            self._file = None


BEAT_FRAME = wire.frame(b"h")
