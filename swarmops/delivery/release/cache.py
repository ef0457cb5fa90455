"""Wheels on the controller, each once under its sha256, shared by all projects of the user."""

from __future__ import annotations

import contextlib
import hashlib
import netrc
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from swarmops.delivery.release.own import own_wheel
from swarmops.delivery.release.parts import ReleaseError, Wheel

AT_ONCE = 6
OWN_KEPT = 8
STALL = 60  # seconds without a byte


def folder() -> Path:
    """$SWARMOPS_CACHE, else the user's cache."""
    if named := os.environ.get("SWARMOPS_CACHE"):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "swarmops"


def path_of(wheel: Wheel) -> Path:
    return folder() / "wheels" / wheel.sha256 / wheel.file


def own() -> tuple[Wheel, Path]:
    """Our own wheel as a file. Earlier ones are kept for a while: another deploy may just be sending one."""
    name, data = own_wheel()
    sha = hashlib.sha256(data).hexdigest()
    home = folder() / "own"
    path = home / f"{sha}.whl"
    if not path.is_file():
        _land(path, lambda f: f.write(data))
        for old in sorted(home.glob("*.whl"), key=lambda p: p.stat().st_mtime)[:-OWN_KEPT]:
            old.unlink(missing_ok=True)
    return Wheel("swarmops", name.split("-")[1], name, "", sha, len(data)), path


def download(wheels: Sequence[Wheel]) -> list[Wheel]:
    """The same wheels with their sizes, all of them in the cache. Raises ReleaseError."""
    if lacking := [w for w in wheels if not there(w)]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(_fetch, lacking))
    return [replace(w, size=path_of(w).stat().st_size) for w in wheels]


def there(wheel: Wheel) -> bool:
    """Whether the cache has it."""
    try:
        size = path_of(wheel).stat().st_size
    except OSError:
        return False
    return wheel.size in (0, size)


def _fetch(wheel: Wheel) -> None:
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(_request(wheel.url), timeout=STALL) as source:  # noqa: S310 - the index's own URL

            def fill(f: BinaryIO) -> None:
                while data := source.read(1 << 18):
                    digest.update(data)
                    f.write(data)
                if digest.hexdigest() != wheel.sha256:
                    raise ReleaseError(f"{wheel.file} is not what the lock names: its sha256 differs")

            _land(path_of(wheel), fill)
    except (urllib.error.URLError, OSError, ValueError) as e:
        reason = getattr(e, "reason", None) or e
        raise ReleaseError(f"cannot download {wheel.file} from {urlsplit(wheel.url).netloc}: {reason}") from None


def _request(url: str) -> urllib.request.Request:
    """With the login that ~/.netrc has for the index, if any."""
    request = urllib.request.Request(url, headers={"User-Agent": "swarmops"})  # noqa: S310
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        if login := netrc.netrc().authenticators(urlsplit(url).hostname or ""):
            import base64

            words = base64.b64encode(f"{login[0]}:{login[2]}".encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {words}")
    return request


def _land(path: Path, fill: Callable) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temp = tempfile.mkstemp(dir=path.parent)
    try:
        with open(fd, "wb") as f:
            fill(f)
        Path(temp).rename(path)
    finally:
        Path(temp).unlink(missing_ok=True)
