"""How long things take at the desk for remote agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import number


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds. heartbeat: an agent is asked to say something so often; grace: a connection that broke may come back
    within; silent: a plain HTTP agent not heard of for so long is gone; lease: how long tasks stay with their agents
    when this process dies."""

    heartbeat: float = 10.0
    grace: float = 10.0
    silent: float = 30.0
    lease: float = 45.0

    @classmethod
    def of(cls, value: Any) -> Times:
        """From the configuration. Raises Invalid."""
        if not isinstance(value, Mapping):
            raise Invalid("agents", "is not an object")
        found = {}
        for field, seconds in value.items():
            if field not in cls.__slots__:
                raise Invalid(f"agents.{field}", f"is none of {', '.join(cls.__slots__)}")
            found[field] = number(seconds, f"agents.{field}", 0.1, 86400)
        return cls(**found)
