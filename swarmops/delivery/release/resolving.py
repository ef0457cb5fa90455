"""Which wheels fit a host, as uv chooses them."""

from __future__ import annotations

import re
import subprocess
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from swarmops.delivery.release.parts import ReleaseError, Target, Wheel

TIMEOUT = 300  # seconds for uv


def resolve(wanted: Sequence[str], target: Target, alone: bool = False) -> list[Wheel]:
    """What uv chooses of the index that this machine uses; with `alone` nothing that the packages ask for."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "requirements.in"), Path(folder, "pylock.toml")
        given.write_text("\n".join(wanted) + "\n")
        argv = [*uv(), "pip", "compile", "--quiet", "--no-python-downloads", "--only-binary", ":all:"]
        argv += ["--python-version", target.python, "--python-platform", target.platform]
        argv += ["--format", "pylock.toml", "-o", str(made), *(["--no-deps"] if alone else []), str(given)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise ReleaseError(f"the package index did not answer within {TIMEOUT} s") from None
        if done.returncode:
            raise ReleaseError(why(done.stderr, target))
        return [_wheel(p, target) for p in tomllib.loads(made.read_text()).get("packages", [])]


def uv() -> list[str]:
    """How uv is called. Raises ReleaseError."""
    try:
        import uv as package

        return [str(package.find_uv_bin())]
    except (ImportError, FileNotFoundError):
        import shutil

        if found := shutil.which("uv"):
            return [found]
    raise ReleaseError("uv is not there, which chooses the wheels (install it beside swarmops, or in PATH)")


def _wheel(package: dict[str, Any], target: Target) -> Wheel:
    name, wheels = package.get("name", "?"), package.get("wheels") or []
    if not wheels:
        raise ReleaseError(f"there is no wheel of {name} for {target}")
    one = wheels[0]
    url = one.get("url") or Path(one["path"]).absolute().as_uri()
    file = one.get("name") or unquote(urlsplit(url).path.rpartition("/")[2])
    return Wheel(name, str(package.get("version", "")), file, url, one["hashes"]["sha256"], int(one.get("size", 0)))


def why(said: str, target: Target) -> str:
    """One sentence of what uv says when it fails."""
    said = re.sub(r"//[^/@\s]+@", "//", said)  # credentials of an index
    flat = " ".join(said.replace("cause:", " ").split())
    if match := re.search(r"Because (\S+?)(?:[<>=!~][^ ]*)? (?:has no (?:usable )?wheels|only has wheels)", flat):
        return f"there is no wheel of {match[1]} for {target}"
    if match := re.search(r"Because (\S+) was not found in the package registry", flat):
        return f"the package index has no {match[1]}"
    if match := re.search(r"(?:Failed to fetch: `?|error sending request for url \()([^ `)]+)", flat):
        return f"the package index cannot be reached: {urlsplit(match[1]).netloc or match[1]}"
    errors = [line.strip() for line in said.splitlines() if line.strip().startswith(("error:", "cause:"))]
    return f"uv chose no wheels for {target}: {' '.join(errors)[:400] or flat[:400]}"
