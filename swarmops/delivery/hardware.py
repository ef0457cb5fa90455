"""What a host has against what `hardware` of distributed.yaml says it has at least (S4-15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmops.model.inventory import Host
from swarmops.model.local import is_rootless
from swarmops.model.project import Project

ROOM = 0.9  # of the declared memory: firmware and kernel keep some for themselves


def shortfalls(project: Project, host: Host, has: Mapping[str, Any]) -> list[str]:
    """One sentence for everything that is less than declared for a group of the host.

    `has` is what the host said of itself: cores, memory_mb, gpu, npu (whether there is a device of that kind).
    """
    said: list[str] = []
    groups = () if is_rootless(host) else host.groups  # groups are meant for six machines, and this is somebody's own
    for name, declared in project.distributed.section("hardware").items():
        if name not in groups and name != host.name:
            continue
        cores, memory = declared.get("cores"), declared.get("memory")
        if cores and has["cores"] < cores:
            said.append(f"{has['cores']} cores, declared are {cores}")
        if memory and has["memory_mb"] << 20 < memory * ROOM:
            said.append(f"{has['memory_mb'] / 1024:.1f} GiB of memory, declared are {memory / (1 << 30):.1f}")
        said += [f"no {k.upper()}, declared is {declared[k]}" for k in ("gpu", "npu") if declared.get(k) and not has[k]]
    return said
