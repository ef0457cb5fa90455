"""A command of Redis itself, past the operations of the runtime."""

from __future__ import annotations

from typing import Any

from swarmops.runtime import Runtime
from swarmops.runtime.op import Op


def raw(rt: Runtime, *args: Any) -> Any:
    """What Redis answers to a command."""
    return rt.run(Op("", ("x",), args))
