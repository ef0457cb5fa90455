"""Imports fabric without what it loads for its users' tests and for a version number: 60 ms of CPU a start.

`invoke.context` wants a Mock for its MockContext, which brings unittest and asyncio along; paramiko asks
importlib.metadata for its own version, which brings the e-mail package along. Both get stand-ins that do the same
and load the real module when they are called.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any


class Later(ModuleType):
    """A module whose functions and classes, when called, are those of the real one."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(_real(self), name)(*args, **kwargs)

        return call


class LaterMetadata(Later):
    """importlib.metadata for those who only ask for their own version."""

    def version(self, name: str) -> str:
        found = _versions_beside(name)
        return found[0] if len(found) == 1 else _real(self).version(name)


@contextmanager
def stand_ins() -> Iterator[None]:
    """While this lasts, modules that are imported get the stand-ins, if nobody has loaded the real ones yet."""
    made = [Later("unittest.mock"), LaterMetadata("importlib.metadata")]
    mine = [m for m in made if m.__name__ not in sys.modules]
    for module in mine:
        sys.modules[module.__name__] = module
    try:
        yield
    finally:
        for module in mine:
            _take_out(module)


def _take_out(module: ModuleType) -> None:
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]


def _real(module: ModuleType) -> ModuleType:
    _take_out(module)
    return importlib.import_module(module.__name__)


def _versions_beside(name: str) -> list[str]:
    """Versions in the names of the metadata folders beside an installed package."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        return []
    folders = Path(spec.origin).parent.parent.glob(f"{name}-*.dist-info")
    return [f.name.removeprefix(f"{name}-").removesuffix(".dist-info") for f in folders]
