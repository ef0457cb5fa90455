"""What a measured round trip means: its class, the verdict on it, and what the link is good for (S0-38, S0-39)."""

from __future__ import annotations

from typing import NamedTuple


class Class(NamedTuple):
    """A row of the table. `below` is the upper bound of its round trips in ms."""

    name: str
    below: float
    verdict: str


CLASSES = (
    Class("localhost", 1, "Ideal"),
    Class("lan", 5, "Excellent"),
    Class("region", 20, "Good"),
    Class("cross-region", 80, "Acceptable"),
    Class("continent", 250, "Workable"),
)
AVOID = Class("too far", float("inf"), "Avoid")
USES = (
    (20, "debugging"),
    (50, "chat"),
    (80, "claiming tasks"),
    (250, "context loading"),
    (250, "asynchronous findings"),
)


def classify(ms: float) -> Class:
    """The class of a median round trip. Beyond 250 ms there is none to recommend."""
    return next((c for c in CLASSES if ms <= c.below), AVOID)


def uses(ms: float) -> list[str]:
    """What a link with this median supports, the most demanding first."""
    return [name for below, name in USES if ms <= below]


def worse_than(ms: float, declared: str) -> bool:
    """Is the link slower than the class it was declared to be of?"""
    return ms > next((c.below for c in CLASSES if c.name == declared), float("inf"))
