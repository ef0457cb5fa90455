"""The built page, read once into memory: what is not in this table is not served, whatever a path says."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from swarmops.runtime.errors import Invalid

__all__ = ["DIST", "File", "read_files"]
DIST = Path(__file__).parent / "dist"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
TEXT = ("text/", "image/svg", "application/manifest")
# Names under assets/ hold a hash of what is in them, so that a browser never has to ask for them again.
FOR_EVER = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent. zipped: the same with gzip, or None where that saves nothing."""

    body: bytes
    zipped: bytes | None
    type: str
    cache: str
    tag: str


def read_files(folder: Path = DIST) -> dict[str, File]:
    """Path below `/` -> file. Raises Invalid with the command to run when the page has not been built."""
    if not (folder / "index.html").is_file():
        raise Invalid("", "the page is not built: run scripts/page.sh in the project's folder, then try again")
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in TYPES:
            name = path.relative_to(folder).as_posix()
            found[name] = _file(name, path.read_bytes())
    return found


def _file(name: str, body: bytes) -> File:
    kind = TYPES[Path(name).suffix]
    zipped = gzip.compress(body, 9, mtime=0) if kind.startswith(TEXT) else None
    if zipped and len(zipped) > 0.9 * len(body):
        zipped = None
    cache = FOR_EVER if name.startswith("assets/") else ASK_EACH_TIME
    return File(body, zipped, kind, cache, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
