"""S4-15: what a host has is compared with what `hardware` declares, in its group's name or in its own."""

from __future__ import annotations

from typing import Any

import pytest

from swarmops.delivery.hardware import shortfalls

ENOUGH = {"cores": 22, "memory_mb": 30_000, "gpu": True, "npu": True}
FULL = "{cores: 22, memory: 32gb, gpu: RTX 4070, npu: Intel, cpu: any}"


@pytest.mark.parametrize(
    ("has", "said"),
    [
        ({}, []),
        ({"cores": 8}, ["8 cores, declared are 22"]),
        ({"memory_mb": 16_000}, ["15.6 GiB of memory, declared are 32.0"]),
        ({"gpu": False}, ["no GPU, declared is RTX 4070"]),
        ({"npu": False, "cores": 2}, ["2 cores, declared are 22", "no NPU, declared is Intel"]),
    ],
)
@pytest.mark.parametrize("name", ["redis", "r1"])
def test_less_than_declared_is_told(declared: Any, name: str, has: dict[str, Any], said: list[str]) -> None:
    project, faults = declared.write(f"version: 1\nhardware: {{{name}: {FULL}}}\n").open()
    assert not list(faults.errors)
    assert shortfalls(project, project.inventory.hosts["r1"], {**ENOUGH, **has}) == said
    assert shortfalls(project, project.inventory.hosts["c1"], {**ENOUGH, **has}) == []


def test_without_root_only_the_host_itself_is_meant(declared: Any) -> None:
    """Groups are declared for six machines, and this is somebody's own."""
    own = "local: {hosts: {mine: {ansible_connection: local}}}\n"
    small = {**ENOUGH, "cores": 2}
    for name, said in (("local", []), ("mine", ["2 cores, declared are 22"])):
        project, _ = declared.write(f"version: 1\nhardware: {{{name}: {FULL}}}\n", own).open()
        assert shortfalls(project, project.inventory.hosts["mine"], small) == said
