"""A project: the folder with `distributed.yaml`, one inventory of it, and what belongs to both."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from swarmops.model import distributed
from swarmops.model.distributed import Deployment
from swarmops.model.faults import Faults, Mark, closest
from swarmops.model.inventory import Inventory
from swarmops.model.secrets import Store
from swarmops.model.textfile import shown

FILE = "distributed.yaml"
_PACKAGE = Path(__file__).parent.parent
# The roles and templates that come with swarmops: inside an installed wheel, beside the package in a checkout.
SHARE = _PACKAGE / "share" if (_PACKAGE / "share").is_dir() else _PACKAGE.parent
SUFFIXES = ("", ".yaml", ".yml", ".ini")


class Project:
    """What every verb starts from.

    root: the project's folder. distributed: the `Deployment` (defaults where there is no file). inventory:
    the `Inventory`. Both may be stand-ins after faults: call `faults.stop_if_any()` before using them.
    """

    def __init__(self, root: Path, deployment: Deployment, inventory: Inventory, inventory_path: Path):
        self.root = root
        self.distributed = deployment
        self.inventory = inventory
        self.inventory_path = inventory_path

    @classmethod
    def open(cls, root: Path | str | None, inventory: str | None, faults: Faults) -> Project:
        """Loads a project. `root`: its folder, else the nearest one above. `inventory`: a name under
        `inventory/` or a path, else the tier that `distributed.yaml` names. Adds faults; never raises for user
        mistakes.
        """
        home = find_root(root, inventory, faults)
        deployment = _deployment(home, faults)
        path = find_inventory(home, inventory, deployment, faults, home if root is not None else None)
        if path is None:
            return cls(home, deployment, Inventory(path=home), home / "inventory")
        from swarmops.model.inventory import load

        found = load(path, faults, root=home if path.is_relative_to(home) else None)
        return cls(home, deployment, found if found is not None else Inventory(path=path), path)

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self.distributed.name

    @property
    def tier(self) -> str:
        """The inventory's name: lan for inventory/lan and for inventory/lan.yaml."""
        path = self.inventory_path
        return path.name if path.is_dir() else path.stem

    @cached_property
    def store(self) -> Store:
        return Store.find(self)

    @property
    def state(self) -> Path:
        """Folder of what was learnt about the hosts: known_hosts, peers.json, machines.json, failed.json."""
        if named := os.environ.get("SWARMOPS_STATE"):
            return Path(named).expanduser()
        path = self.inventory_path
        return (path if path.is_dir() else path.parent) / ".swarmops"

    @property
    def roles_paths(self) -> list[Path]:
        """Where roles are looked for: the project's own first, then those that come with swarmops."""
        return [self.root / "roles", SHARE / "roles"]

    @property
    def templates_paths(self) -> list[Path]:
        """The same for templates."""
        return [self.root / "templates", SHARE / "templates"]

    def shown(self, path: Path) -> str:
        """How a message names a file of this project."""
        return shown(path, self.root)

    def urls(self, *, via: str = "lan") -> dict[str, list[str]]:
        """Service -> URLs, derived (S4-01 to S4-09)."""
        return self.distributed.urls(self.inventory, via=via)


def absolute(path: Path) -> Path:
    """The absolute path with its links kept, so that messages name what the user wrote."""
    return Path(os.path.abspath(path.expanduser()))


def find_root(root: Path | str | None, inventory: str | None, faults: Faults) -> Path:
    """The project's folder; the current folder when there is none above it."""
    if root is not None:
        given = absolute(Path(root))
        if not given.is_dir():
            faults.add(Mark(str(root)), "", "there is no such folder", "--project names the folder of a project")
        return given
    starts = [Path.cwd()]
    if inventory and (path := Path(inventory)).exists():
        starts.append(absolute(path).parent)
    for start in starts:
        for folder in (start, *start.parents):
            if (folder / FILE).exists() or _holds_inventories(folder):
                return folder
    return Path.cwd()


def _holds_inventories(folder: Path) -> bool:
    """A folder with inventories, by more than the word: an `inventory/` elsewhere may be anything."""
    return (folder / "inventory").is_dir() and (folder / "roles").is_dir()


def _deployment(home: Path, faults: Faults) -> Deployment:
    path = home / FILE
    if not os.path.lexists(path):
        return Deployment()
    return distributed.load(path, faults, root=home) or Deployment()


def tiers(home: Path) -> list[str]:
    """The inventories under `inventory/`, by name."""
    folder = home / "inventory"
    if not folder.is_dir():
        return []
    paths = [p for p in folder.iterdir() if not p.name.startswith(".") and p.name != "examples"]
    return sorted({p.name if p.is_dir() else p.stem for p in paths if p.is_dir() or p.suffix in SUFFIXES})


def find_inventory(
    home: Path, named: str | None, deployment: Deployment, faults: Faults, base: Path | None = None
) -> Path | None:
    """Where the inventory is. Relative paths count from `base`, else from the current folder, then from the project.

    An unknown name or tier is a fault that lists what there is (cases 24, 54).
    """
    wanted = named or deployment.deployment.tier
    folder = home / "inventory"
    if "/" not in wanted and wanted not in (".", ".."):
        for suffix in SUFFIXES:
            if (found := folder / f"{wanted}{suffix}").exists():
                return found
    for start in [base or Path.cwd(), home] if named else []:
        if os.path.lexists(path := absolute(start / Path(wanted).expanduser())):
            return path
    faults.add(*_no_inventory(home, named, wanted, deployment))
    return None


def _no_inventory(home: Path, named: str | None, wanted: str, deployment: Deployment) -> tuple[Mark, str, str, str]:
    known = tiers(home)
    if not named and not known and not (home / FILE).exists():
        hint = "go to your project; a file with 'version: 1' and a folder inventory/lan begin one"
        return Mark(str(home / FILE)), "", "there is no such file, nor an inventory beside it", hint
    hint = closest(wanted, known) or f"make {shown(home / 'inventory' / wanted / 'hosts.yaml', home)}"
    if named:
        what = f"there is no inventory '{named}'" if "/" not in named else "the file or folder is not there"
        return Mark(), f"inventory {named}", what, hint
    mark = deployment.mark("deployment", "tier")
    return mark, "deployment.tier", f"there is no inventory '{wanted}'", hint
