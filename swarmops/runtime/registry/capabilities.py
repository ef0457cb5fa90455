"""What this host has: processors, memory, disk, accelerators, programs (S1-03). What is not found is not mentioned."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GPUS = ("dev/nvidia[0-9]*", "dev/dri/renderD*", "dev/kfd")
NPUS = ("dev/accel/accel*", "dev/davinci[0-9]*", "dev/apex_*", "dev/hailo*")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "firefox", "firefox-esr")


@dataclass(frozen=True, slots=True)
class Detected:
    """facts: cpu_cores, memory_gb, storage_gb, storage_free_gb (of 2^30 bytes), gpu and npu (device nodes), browser and
    ollama (paths); only those that are there. capabilities: the names by which tasks may ask for them."""

    facts: dict[str, Any]
    capabilities: tuple[str, ...]


def detect(root: str | Path = "/", path: str | None = None) -> Detected:
    """Look at this host. `root` and `path` (as in $PATH) are for looking at another place."""
    at = Path(root)
    facts: dict[str, Any] = {"cpu_cores": len(os.sched_getaffinity(0))}
    if memory := _memory(at):
        facts["memory_gb"] = round(memory / (1 << 30), 1)
    disk = shutil.disk_usage(at)
    facts["storage_gb"] = round(disk.total / (1 << 30), 1)
    facts["storage_free_gb"] = round(disk.free / (1 << 30), 1)
    found = {
        "gpu": _nodes(at, GPUS),
        "npu": _nodes(at, NPUS),
        "browser": next((p for b in BROWSERS if (p := shutil.which(b, path=path))), None),
        "ollama": shutil.which("ollama", path=path),
    }
    facts |= {which: value for which, value in found.items() if value}
    return Detected(facts, tuple(sorted(which for which, value in found.items() if value)))


def _nodes(at: Path, patterns: tuple[str, ...]) -> list[str]:
    return sorted(f"/{node.relative_to(at)}" for pattern in patterns for node in at.glob(pattern))


def _memory(at: Path) -> int | None:
    """Bytes that we may use: what the machine has, or what our cgroup is allowed if that is less."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = (at / "proc/meminfo").read_text()
        found.append(int(text.split("MemTotal:")[1].split()[0]) * 1024)
    if not found and at == Path("/"):  # a service may see nothing of /proc but processes (ProcSubset=pid)
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):  # "max" is no number and no limit
        found.append(int((at / "sys/fs/cgroup/memory.max").read_text()))
    return min(found) if found else None
