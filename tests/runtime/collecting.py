"""A message to send, and a handler that remembers what it got."""

from __future__ import annotations

from typing import Any

from swarmops.runtime.messages.envelope import Envelope

HELLO = {"text": "hello"}


class Collector:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.got: list[tuple[Any, Envelope]] = []

    def __call__(self, payload: Any, envelope: Envelope) -> None:
        self.got.append((payload, envelope))
