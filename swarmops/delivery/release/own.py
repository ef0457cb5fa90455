"""Our own wheel, made of the files of the package that runs: the same bytes wherever the files are the same."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import swarmops
from swarmops.delivery.ship import stored_zip

PACKAGE = Path(swarmops.__file__).parent
# Rooms of the controller. Their libraries are on no host, and what changes there is no reason to restart a service.
LEFT_OUT = {"backups", "delivery", "health", "lab", "operate", "planning", "share", "target"}
WHEEL = "Wheel-Version: 1.0\nGenerator: swarmops\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def own_wheel(package: Path = PACKAGE, version: str = swarmops.__version__) -> tuple[str, bytes]:
    """(file name, bytes) of the wheel of `package`. Not compressed, since compressors differ between machines."""
    members = {f"swarmops/{inside}": (package / inside).read_bytes() for inside in _files(package)}
    info = f"swarmops-{version}.dist-info"
    members[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: swarmops\nVersion: {version}\n".encode()
    members[f"{info}/WHEEL"] = WHEEL.encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in sorted(members.items())]
    members[f"{info}/RECORD"] = "".join([*record, f"{info}/RECORD,,\n"]).encode()
    return f"swarmops-{version}-py3-none-any.whl", stored_zip(sorted(members.items()))


def _files(package: Path) -> list[str]:
    """What services need of the package: code, scripts of Redis, the built page."""
    found = (p.relative_to(package) for p in package.rglob("*") if p.is_file())
    return [p.as_posix() for p in found if p.suffix != ".pyc" and not _left_out(p)]


def _left_out(path: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    return hidden or (len(path.parts) > 1 and path.parts[0] in LEFT_OUT)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
