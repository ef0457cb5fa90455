"""Memory of a process and all that it started, from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path


def children() -> Mapping[int, list[int]]:
    """Parent -> its children, of all processes."""
    found: dict[int, list[int]] = defaultdict(list)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                told = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()
                found[int(told[1])].append(int(entry.name))
            except (OSError, IndexError):
                continue
    return found


def tree_of(pid: int, known: Mapping[int, list[int]] | None = None) -> list[int]:
    """The process and all below it, parents first."""
    known = children() if known is None else known
    found, at = [pid], 0
    while at < len(found):
        found += known.get(found[at], [])
        at += 1
    return found


def memory_of(pids: Iterable[int]) -> int:
    """Bytes that are their own: what they share (programs, libraries) is not counted."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(("RssAnon:", "RssShmem:")):
                    total += int(line.split()[1]) * 1024
        except (OSError, ValueError, IndexError):
            continue
    return total
