"""What this machine has, by what Python has everywhere. What is not found is not mentioned (S0-46, S1-03)."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import socket
from pathlib import Path
from typing import Any

PROGRAMS = {
    "gpu": ("nvidia-smi", "rocm-smi"),
    "browser": ("chromium", "chromium-browser", "google-chrome", "firefox"),
    "ollama": ("ollama",),
}


def detect() -> tuple[dict[str, Any], list[str]]:
    """(facts, capabilities) of this machine."""
    found: dict[str, Any] = {"system": platform.system(), "cpu_cores": os.cpu_count() or 1}
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found["memory_gb"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1)
    with contextlib.suppress(OSError):
        disk = shutil.disk_usage(Path.cwd().anchor)
        found["storage_gb"], found["storage_free_gb"] = (
            round(disk.total / (1 << 30), 1),
            round(disk.free / (1 << 30), 1),
        )
    able = []
    for capability, programs in PROGRAMS.items():
        if path := next((p for program in programs if (p := shutil.which(program))), None):
            found[capability] = path
            able.append(capability)
    return found, able


def stable_id(name: str = "") -> str:
    """The same after every start: `<host>-<name>`, or the host's name alone; two on one host need names (S1-15)."""
    host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().split(".")[0].lower()).strip("-") or "host"
    return f"{host[: 62 - len(name)]}-{name}" if name else host[:63]
