"""What the demo's workers can do."""

from __future__ import annotations

import threading
from typing import Any

from swarmops.runtime.worker import Handlers

handlers = Handlers()


@handlers.task("square")
def square(n: int, seconds: float = 0.01) -> int:
    """Some milliseconds of work."""
    threading.Event().wait(seconds)
    return n * n


@handlers.task("collect")
def collect(topic: str) -> dict[str, Any]:
    return {"topic": topic, "words": len(topic) * 100}


@handlers.task("summarize")
def summarize() -> str:
    return "three sources read"
