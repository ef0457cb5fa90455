"""An inventory's files, written and read back."""

from __future__ import annotations

from pathlib import Path

from swarmops.model.faults import Faults
from swarmops.model.inventory import Inventory, load

ALL = "all: {hosts: {h: {%s}}}\n"


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read(folder: Path, name: str = "hosts.yaml") -> tuple[Inventory, list[str]]:
    faults = Faults()
    inventory = load(folder / name, faults, root=folder)
    return inventory, [str(fault) for fault in faults]
