"""Waiting for what happens, with a deadline that a slow, busy machine keeps too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LONG = 30.0  # seconds: only a test that fails waits so long


def until(
    look: Callable[[], Any],
    what: str = "it",
    within: float = LONG,
    despite: type[Exception] | tuple[type[Exception], ...] = (),
) -> Any:
    """The first true answer of `look`. Fails, naming `what`, when there is none within so many seconds; an exception of
    `despite` means that there is none yet."""
    end = time.monotonic() + within
    while True:
        try:
            if found := look():
                return found
        except despite:
            pass
        assert time.monotonic() < end, f"{what}: not within {within:g} s"
        time.sleep(0.01)
