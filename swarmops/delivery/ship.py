"""What goes over the wire: the engine as a reproducible zip, the bootstrap that loads it, and the frames."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import shlex
import zipfile
import zlib
from pathlib import Path

from swarmops.target import wire

TARGET = Path(wire.__file__).parent

# Runs on the host before anything of ours is there. It says whether the host has this engine (kept by an earlier
# deploy), reads the envelope, reads the engine where it is lacking, and hands over. The envelope is sent without
# waiting for that word, so a host that has the engine costs no extra round trip.
BOOTSTRAP = """\
import os,sys
h=%(id)r
d=("/var/lib/swarmops" if os.geteuid()==0 else os.path.expanduser("~/.local/state/swarmops"))+"/engine/"+h
k=os.path.isdir(d)
os.write(1,b"\\n%(sentinel)s "+(b"have\\n" if k else b"need\\n"))
r=sys.stdin.buffer
f=lambda:r.read(int(r.read(8),16))
e=f();z=None
if not k:
 import hashlib
 z=f()
 if hashlib.sha256(z).hexdigest()!=h:sys.exit(97)
 m=os.memfd_create("swarmops");os.write(m,z);d="/proc/self/fd/%%d"%%m
sys.path.insert(0,d)
from swarmops.target.main import main
main(e,r,z,h)
"""

PLAIN_INIT = '"""swarmops, as it runs on hosts."""\n'


@functools.cache
def bundle() -> tuple[str, bytes]:
    """The engine with all kinds, probes and sources: (sha256, zip bytes), the same bytes on every machine."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        _add(z, "swarmops/__init__.py", PLAIN_INIT.encode())
        for file in sorted(TARGET.rglob("*.py")):
            _add(z, f"swarmops/target/{file.relative_to(TARGET).as_posix()}", file.read_bytes())
    data = buffer.getvalue()
    return hashlib.sha256(data).hexdigest(), data


def _add(z: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.external_attr = 0o600 << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    z.writestr(info, data)


def command(python: str, become: bool, password: bool) -> str:
    """The one command line that is executed on a host. Holds nothing of the plan and no secret."""
    program = BOOTSTRAP % {"id": bundle()[0], "sentinel": wire.SENTINEL}
    run = f"{shlex.quote(python)} -I -S -c {shlex.quote(program)}"
    if become:
        run = ("sudo -S -p '' " if password else "sudo -n ") + run
    return run


def envelope_frame(envelope: dict) -> bytes:
    """The envelope as its frame."""
    text = json.dumps({"v": wire.VERSION, **envelope}, separators=(",", ":"))
    return wire.frame(zlib.compress(text.encode(), 6))


def content_frame(sha: str, data: bytes) -> bytes:
    return wire.frame(b"c" + sha.encode() + zlib.compress(data, 6))


def word_frame(word: str) -> bytes:
    return wire.frame(b"w" + word.encode())


BEAT_FRAME = wire.frame(b"h")
