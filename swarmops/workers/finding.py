"""Executors by the names of their files: `executors/npu.py` holds the role npu in a class `Executor`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from swarmops.runtime.errors import Invalid
from swarmops.workers.executor import Executor

FOLDER = Path(__file__).parent / "executors"


def known_roles() -> list[str]:
    """The roles there are files for. None of them is imported."""
    return sorted(p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("_"))


def executor_of(role: str) -> type[Executor]:
    """The class of a role. Raises Invalid when its libraries are not installed."""
    try:
        found: type[Executor] = import_module(f"swarmops.workers.executors.{role}").Executor
    except ModuleNotFoundError as e:
        raise Invalid("role", f"{role} needs the Python package {e.name!r} (pip install 'swarmops[{role}]')") from None
    return found
