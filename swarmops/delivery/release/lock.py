"""Which wheels a release is made of: resolved once for a host's Python and platform, and kept in a lock."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swarmops.delivery import records
from swarmops.delivery.release.cache import download, there
from swarmops.delivery.release.parts import Target, Wheel
from swarmops.delivery.release.resolving import resolve
from swarmops.delivery.release.wanted import requirements


def lock_path(folder: Path, extras: Sequence[str], target: Target) -> Path:
    return folder / f"{'+'.join(sorted(extras)) or 'runtime'}-{target.label}.json"


def read_lock(path: Path, wanted: Sequence[Sequence[str]]) -> list[Wheel]:
    """The wheels of a lock; none when there is no lock, or it was made for other requirements."""
    found = records.read(path)
    if found.get("requirements") != [list(w) for w in wanted]:
        return []
    try:
        return [Wheel(**w) for w in found["wheels"]]
    except (KeyError, TypeError):
        return []


@dataclass(frozen=True)
class Lock:
    """One lock as it is in its folder."""

    folder: Path
    extras: tuple[str, ...]
    target: Target
    wheels: tuple[Wheel, ...]

    @property
    def name(self) -> str:
        return "+".join(self.extras) or "runtime"

    def as_dict(self) -> dict[str, Any]:
        return {"extras": self.extras, "target": asdict(self.target), "wheels": [asdict(w) for w in self.wheels]}


def locks(folder: Path) -> list[Lock]:
    """All locks of a folder, those that can be read."""
    found = []
    for path in sorted(folder.glob("*.json")):
        note = records.read(path)
        with contextlib.suppress(KeyError, TypeError):
            wheels = tuple(Wheel(**w) for w in note["wheels"])
            found.append(Lock(folder, tuple(note["extras"]), Target(**note["target"]), wheels))
    return found


def ready(folder: Path, extras: Sequence[str], target: Target) -> bool:
    """Whether `locked` needs no index."""
    wheels = read_lock(lock_path(folder, extras, target), requirements(extras))
    return bool(wheels) and all(map(there, wheels))


def locked(folder: Path, extras: Sequence[str], target: Target, *, fresh: bool = False) -> list[Wheel]:
    """The wheels of a release, from its lock in `folder`; resolved when there is none or with `fresh`, and downloaded.

    Raises ReleaseError: uv or the index cannot be reached, or something has no wheel for the target.
    """
    wanted = requirements(extras)
    path = lock_path(folder, extras, target)
    wheels = [] if fresh else read_lock(path, wanted)
    if not wheels:
        wheels = resolve(wanted[0], target) + (resolve(wanted[1], target, alone=True) if wanted[1] else [])
        wheels = sorted({w.name: w for w in wheels}.values(), key=lambda w: w.name)
    full = download(wheels)
    if fresh or full != wheels or not path.is_file():
        note = {"requirements": [list(w) for w in wanted], "target": asdict(target), "extras": sorted(extras)}
        records.write(path, {**note, "wheels": [asdict(w) for w in full]})
    return full
