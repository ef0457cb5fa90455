"""How a verdict is told: one file a format, each with `text(verdict, verbose=False) -> str`, found by its name."""

from __future__ import annotations

NAMES = ("table", "json", "jsonl", "prometheus", "junit", "nagios")


def text(name: str, verdict: object, *, verbose: bool = False) -> str:
    """`verdict` in the format `name`."""
    import importlib

    return importlib.import_module(f"swarmops.health.formats.{name}").text(verdict, verbose)
